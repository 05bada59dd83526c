"use strict";
// the map: a point for each sound; hover names it, a click opens its detection
let points = null;
let placeOf = new Map(); // of each detection on the map, its position in the columns
let framed = -1;
const MARGIN = 10; // pixels
const NEAR = 12;
const LISTED = 12;
const VERDICTS = { "1": ["#2a7", "correct"], "0": ["#d44", "not correct"], "-1": ["#c90", "unsure"], "-2": ["#8886", "no verdict"] };
const VALUES = { yes: 1, no: 0, other: 0, unsure: -1 };

// hues that differ also between neighbours in the list
const hue = index => `hsl(${(index * 137.508) % 360} 70% ${45 + 12 * (index % 3)}%)`;

function colour(at) {
  const by_ = by("colours").value;
  if (by_ === "verdict") return VERDICTS[points.verdict[at]][0];
  return hue(by_ === "cluster" ? points.cluster[at] : points.species[at]);
}

function place(at) {
  const canvas = by("canvas");
  return [
    MARGIN + points.x[at] / points.scale * (canvas.clientWidth - 2 * MARGIN),
    MARGIN + (1 - points.y[at] / points.scale) * (canvas.clientHeight - 2 * MARGIN),
  ];
}

function draw() {
  const canvas = by("canvas");
  if (!points || !canvas.clientWidth) return;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const size = points.x.length > 20000 ? 2 : points.x.length > 2000 ? 3 : 5;
  for (let at = 0; at < points.x.length; at++) {
    const [x, y] = place(at);
    context.fillStyle = colour(at);
    context.fillRect(x - size / 2, y - size / 2, size, size);
  }
  const at = placeOf.get(framed);
  if (at !== undefined) {
    const [x, y] = place(at);
    context.lineWidth = 3;
    for (const [style, radius] of [["#000", 9], ["#fd0", 7]]) {
      context.strokeStyle = style;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }
  showLegend();
}

function showLegend() {
  const counts = new Map();
  const columns = { verdict: points.verdict, cluster: points.cluster, species: points.species };
  const kind = by("colours").value;
  for (const value of columns[kind]) counts.set(value, (counts.get(value) || 0) + 1);
  const most = [...counts].sort((a, b) => b[1] - a[1]);
  const names = most.slice(0, LISTED).map(([value, count]) => {
    const line = document.createElement("span");
    const dot = document.createElement("b");
    dot.style.background = kind === "verdict" ? VERDICTS[value][0] : hue(value);
    const name = kind === "verdict" ? VERDICTS[value][1] : kind === "cluster" ? `cluster ${value}` : points.names[value];
    line.append(dot, `${name} ${count}`);
    return line;
  });
  if (most.length > LISTED) names.push(`and ${most.length - LISTED} more`);
  by("legend").replaceChildren(...names);
}

function nearest(event) {
  const box = by("canvas").getBoundingClientRect();
  let best = -1, least = NEAR * NEAR;
  for (let at = 0; at < points.x.length; at++) {
    const [x, y] = place(at);
    const far = (x - event.clientX + box.left) ** 2 + (y - event.clientY + box.top) ** 2;
    if (far < least) [best, least] = [at, far];
  }
  return best;
}

function markOnMap(index) {
  framed = index;
  draw();
}

function colourOnMap(index, verdict) {
  const at = placeOf.get(index);
  if (at !== undefined) points.verdict[at] = verdict ? VALUES[verdict] : -2;
}

async function loadMap() {
  if (points || !by("mapbox").open) return;
  by("mapstatus").textContent = "The map is being made; the first time this takes a while.";
  try {
    points = await get("map");
    placeOf = new Map(points.detection.map((index, at) => [index, at]));
    by("mapstatus").textContent = points.x.length < points.sounds ? `${points.x.length} of ${points.sounds} sounds` : `${points.sounds} sounds`;
    by("mapview").hidden = false;
    draw();
  } catch (error) {
    by("mapstatus").textContent = `There is no map: ${error.message}`;
  }
}

document.addEventListener("DOMContentLoaded", () => {
  by("mapbox").addEventListener("toggle", loadMap);
  by("colours").addEventListener("change", draw);
  window.addEventListener("resize", draw);
  by("canvas").addEventListener("mousemove", event => {
    const at = points ? nearest(event) : -1;
    by("under").textContent = at < 0 ? "" : `${points.names[points.species[at]]}, cluster ${points.cluster[at]}`;
  });
  by("canvas").addEventListener("click", event => {
    const at = points ? nearest(event) : -1;
    if (at >= 0) openDetection(points.detection[at]);
  });
});
