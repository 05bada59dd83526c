"use strict";
// every name comes from files: text is only ever set as text, never as HTML
const by = name => document.getElementById(name);
let shown = null;
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

function show(state) {
  shown = state.detection;
  by("progress").textContent = `${state.seen} of ${state.all} detections have a verdict; the precision of ` +
    `${state.known} of ${state.species.length} species is known within ±${percent(state.target)}`;
  by("bar").style.width = percent(state.known / Math.max(1, state.species.length));
  showTable(state.species);
  by("names").replaceChildren(...state.species.map(one => Object.assign(document.createElement("option"), { value: one.name })));
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
  by("sound").play().catch(() => {}); // browsers play no sound before the first key or click
}

async function ask(path, body) {
  if (busy) return;
  busy = true;
  try {
    const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const response = await fetch(path, options);
    if (!response.ok) throw new Error(await response.text());
    show(await response.json());
  } catch (error) {
    by("problem").textContent = `Not saved: ${error.message}. Is the program still running?`;
  } finally {
    busy = false;
  }
}

function judge(kind) {
  if (shown === null || busy) return;
  if (kind === "other") {
    by("other").hidden = false;
    by("name").value = "";
    by("name").focus();
  } else {
    ask("verdict", { index: shown.index, verdict: kind });
  }
}

function play() {
  const sound = by("sound");
  if (sound.paused) sound.play().catch(() => {}); else sound.pause();
}

by("other").addEventListener("submit", event => {
  event.preventDefault();
  const name = by("name").value.trim();
  if (name) ask("verdict", { index: shown.index, verdict: "other", other: name });
});
by("cancel").addEventListener("click", () => { by("other").hidden = true; });
by("undo").addEventListener("click", () => ask("undo", {}));
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
  if (event.key === "Escape") { by("other").hidden = true; return; }
  if (event.target.matches("input")) return;
  const keys = { y: "yes", n: "no", o: "other", u: "unsure" };
  const key = event.key.toLowerCase();
  if (keys[key]) judge(keys[key]);
  else if (key === "z") ask("undo", {});
  else if (key === " " && !event.target.matches("button, audio, summary")) play();
  else return;
  event.preventDefault();
});
ask("state");
