"use strict";
// every name comes from files: text is only ever set as text, never as HTML
const by = name => document.getElementById(name);
const EVERY = 3000; // milliseconds
const made = (tag, properties) => Object.assign(document.createElement(tag), properties);
const clock = seconds => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
const percent = share => `${(100 * share).toFixed(2)}%`;

function moment(when, day) {
  const [date, time] = when.split("T");
  // a time in UTC is shown by the clock of the browser, one of a recorder as its clock showed it
  if (when.endsWith("Z")) {
    const local = new Date(when);
    const hours = local.toTimeString().slice(0, 5);
    return local.toDateString() === new Date(`${day}T12:00`).toDateString() ? hours : `${local.toLocaleDateString()} ${hours}`;
  }
  return time ? `${date === day ? "" : `${date} `}${time.slice(0, 5)}` : date;
}

function showSpecies(state) {
  by("day").textContent = state.day;
  by("species").hidden = !state.species.length;
  by("nothing").hidden = state.species.length > 0;
  by("rows").replaceChildren(...state.species.map(one => {
    const row = made("tr", {});
    for (const text of [one.name, one.count.toLocaleString("en"), moment(one.last, state.day)]) row.append(made("td", { textContent: text }));
    return row;
  }));
}

function card(one, state) {
  const article = made("article", {});
  article.dataset.key = one.key;
  const title = made("h3", { textContent: `${one.species} ` });
  title.append(made("small", { textContent: `${one.score.toFixed(2)} · ${moment(one.when, state.day)}` }));
  const figure = made("figure", {});
  const image = made("img", { loading: "lazy", alt: "spectrogram", src: `image/${one.key}` });
  const sound = made("audio", { controls: true, preload: "none", src: `sound/${one.key}` });
  const gone = () => { image.alt = "The recording is no longer there, or cannot be read."; sound.hidden = true; };
  image.addEventListener("error", gone);
  figure.append(image);
  const length = one.to - one.from;
  const span = made("div", { className: "span" });
  span.style.left = percent((one.start - one.from) / length);
  span.style.right = percent(Math.max(0, one.to - one.end) / length);
  figure.append(span);
  for (const [text, height] of state.ticks) {
    const tick = made("span", { className: "tick", textContent: text });
    tick.style.bottom = percent(height);
    figure.append(tick);
  }
  article.append(title, made("p", { className: "hint", textContent: `${one.recording}, ${clock(one.start)} to ${clock(one.end)}` }), figure, sound);
  return article;
}

function showCards(state) {
  // cards that are there stay, so that a sound that is playing plays on
  const there = new Map([...by("cards").children].map(one => [Number(one.dataset.key), one]));
  by("cards").querySelectorAll("article").forEach(one => {
    if (!state.detections.some(kept => kept.key === Number(one.dataset.key))) one.remove();
  });
  let before = by("cards").firstChild;
  for (const one of state.detections) {
    if (there.has(one.key)) before = there.get(one.key).nextSibling;
    else by("cards").insertBefore(card(one, state), before);
  }
}

function show(state) {
  by("folder").textContent = `Recordings in ${state.folder}`;
  const parts = [`${state.done.toLocaleString("en")} done`, `${state.waiting.toLocaleString("en")} waiting`, `${state.failed.toLocaleString("en")} failed`];
  if (state.undelivered) parts.push(`${state.undelivered.toLocaleString("en")} to be delivered`);
  by("counts").textContent = parts.join(" · ");
  by("problem").textContent = state.problem;
  showSpecies(state);
  showCards(state);
  by("failed").hidden = !state.failures.length;
  by("failures").replaceChildren(...state.failures.map(one => made("li", { textContent: `${one.recording}: ${one.reason}` })));
}

async function refresh() {
  try {
    if (!document.hidden) {
      const response = await fetch("state");
      if (!response.ok) throw new Error(await response.text());
      show(await response.json());
    }
  } catch (error) {
    by("problem").textContent = "The program does not respond; this is how it was last. After a new start, open the new address.";
  }
  setTimeout(refresh, EVERY);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) fetch("state").then(found => found.json()).then(show).catch(() => {}); });
refresh();
