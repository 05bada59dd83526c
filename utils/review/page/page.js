"use strict";
// every name comes from files: text is only ever set as text, never as HTML
const by = name => document.getElementById(name);
let shown = null; // the detection that verdicts are about
let next = null; // the one that is next in the order
let busy = false;

const clock = seconds => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
const percent = share => `${Math.round(100 * share)}%`;

function showTable(species) {
  const rows = species.map(one => {
    const row = document.createElement("tr");
    const precision = one.verified ? `${percent(one.precision)} ± ${percent(one.half)}${one.known ? " ✓" : ""}` : "";
    for (const text of [one.name, one.detections, one.verified, precision]) {
      row.append(Object.assign(document.createElement("td"), { textContent: text }));
    }
    return row;
  });
  by("table").replaceChildren(...rows);
}

function showTicks(ticks) {
  by("ticks").replaceChildren(...ticks.map(([text, height]) => {
    const tick = Object.assign(document.createElement("span"), { textContent: text });
    tick.style.bottom = `${100 * height}%`;
    return tick;
  }));
}

function showState(state) {
  const again = state.again ? `; read again: ${state.again[0]} of ${state.again[1]}` : "";
  by("progress").textContent = `${state.seen} of ${state.all} detections have a verdict; the precision of ` +
    `${state.known} of ${state.species.length} species is known within ±${percent(state.target)}${again}`;
  by("bar").style.width = percent(state.again ? state.again[0] / Math.max(1, state.again[1]) : state.known / Math.max(1, state.species.length));
  showTable(state.species);
  by("names").replaceChildren(...state.species.map(one => Object.assign(document.createElement("option"), { value: one.name })));
  by("searches").hidden = !state.searchable;
  by("mapbox").hidden = !state.searchable;
  by("whynot").textContent = state.why_not;
  next = state.detection;
}

function showDetection(detection) {
  shown = detection;
  by("card").hidden = shown === null;
  by("end").hidden = shown !== null;
  by("other").hidden = true;
  by("problem").textContent = "";
  if (shown === null) return;
  by("species").textContent = shown.species;
  by("score").textContent = `score ${shown.score.toFixed(3)}`;
  by("where").textContent = `${shown.recording}, ${clock(shown.start)} to ${clock(shown.end)}`;
  by("image").src = `image/${shown.index}`;
  by("sound").src = `sound/${shown.index}`;
  const length = shown.to - shown.from;
  by("span").style.left = percent((shown.start - shown.from) / length);
  by("span").style.right = percent(Math.max(0, shown.to - shown.end) / length);
  showTicks(shown.ticks);
  markOnMap(shown.index);
  by("sound").play().catch(() => {}); // browsers play no sound before the first key or click
}

async function get(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const response = await fetch(path, options);
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

// one request at a time: what a key asks for while another is under way is left out
async function alone(task, failed) {
  if (busy) return;
  busy = true;
  try {
    await task();
  } catch (error) {
    by("problem").textContent = `${failed}: ${error.message}. Is the program still running?`;
  } finally {
    busy = false;
  }
}

const openDetection = index => alone(async () => showDetection(await get(`detection/${index}`)), "Not shown");

const send = verdict => alone(async () => {
  const body = { index: shown.index, ...verdict };
  if (row && row.has(shown.index)) body.shown = row.shown;
  showState(await get("verdict", body));
  colourOnMap(body.index, verdict.verdict);
  const following = row ? row.verified(body.index, verdict.verdict) : null;
  if (row && following === null) endRow();
  showDetection(following === null ? next : await get(`detection/${following}`));
}, "Not saved");

const undo = () => alone(async () => {
  const state = await get("undo", {});
  showState(state);
  if (state.detection) {
    colourOnMap(state.detection.index, null);
    if (row) row.withdrawn(state.detection.index);
  }
  showDetection(state.detection);
}, "Not undone");

function judge(kind) {
  if (shown === null || busy) return;
  if (kind === "other") {
    by("other").hidden = false;
    by("name").value = "";
    by("name").focus();
  } else {
    send({ verdict: kind });
  }
}

function play() {
  const sound = by("sound");
  if (sound.paused) sound.play().catch(() => {}); else sound.pause();
}

by("other").addEventListener("submit", event => {
  event.preventDefault();
  const name = by("name").value.trim();
  if (name) send({ verdict: "other", other: name });
});
by("cancel").addEventListener("click", () => { by("other").hidden = true; });
by("undo").addEventListener("click", undo);
for (const button of document.querySelectorAll("[data-verdict]")) {
  button.addEventListener("click", () => judge(button.dataset.verdict));
}
by("image").addEventListener("error", () => { by("problem").textContent = "The recording cannot be read here."; });
by("sound").addEventListener("timeupdate", () => {
  const sound = by("sound");
  by("cursor").style.left = sound.duration ? percent(sound.currentTime / sound.duration) : "-2px";
});
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "Escape") {
    if (!by("other").hidden) by("other").hidden = true; else if (row) backToOrder();
    return;
  }
  if (event.target.matches("input, select")) return;
  const keys = { y: "yes", n: "no", o: "other", u: "unsure" };
  const key = event.key.toLowerCase();
  if (keys[key]) judge(keys[key]);
  else if (key === "z") undo();
  else if (key === "m" && shown) search("similar");
  else if (key === "c" && shown) search("cluster");
  else if (row && event.key === "ArrowRight" && !event.target.matches("audio")) row.step(1);
  else if (row && event.key === "ArrowLeft" && !event.target.matches("audio")) row.step(-1);
  else if (key === " " && !event.target.matches("button, audio, summary")) play();
  else return;
  event.preventDefault();
});
alone(async () => { showState(await get("state")); showDetection(next); }, "Not shown");
