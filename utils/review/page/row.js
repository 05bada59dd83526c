"use strict";
// a row of detections that a search found: each can be opened and verified, or one after the other
let row = null;

class Row {
  constructor(found) {
    this.shown = found.shown;
    this.items = found.items;
    this.marks = new Map(); // verdicts by index
    this.buttons = this.items.map(item => this.button(item));
    by("items").replaceChildren(...this.buttons);
  }

  button(item) {
    const button = Object.assign(document.createElement("button"), { type: "button", title: item.recording });
    const image = Object.assign(document.createElement("img"), { src: `small/${item.index}`, alt: "", loading: "lazy" });
    const like = item.similarity === undefined ? "" : `like it ${item.similarity.toFixed(2)}, `;
    const lines = [["i", item.species], ["span", `${like}score ${item.score.toFixed(2)}`], ["span", `${item.recording} ${clock(item.start)}`]];
    button.append(image, ...lines.map(([tag, textContent]) => Object.assign(document.createElement(tag), { textContent })));
    button.addEventListener("click", () => { this.frame(item.index); openDetection(item.index); });
    return button;
  }

  has(index) { return this.items.some(item => item.index === index); }

  frame(index) {
    this.items.forEach((item, at) => {
      this.buttons[at].setAttribute("aria-current", item.index === index);
      if (item.index === index) this.buttons[at].scrollIntoView({ block: "nearest", inline: "center" });
    });
  }

  mark(index, verdict) {
    if (verdict) this.marks.set(index, verdict); else this.marks.delete(index);
    const at = this.items.findIndex(item => item.index === index);
    if (at < 0) return;
    const line = this.buttons[at].children[2];
    line.className = verdict || "";
    line.textContent = verdict || `score ${this.items[at].score.toFixed(2)}`;
  }

  // the next one without a verdict, from here on and then from the start; null: all have one
  verified(index, verdict) {
    this.mark(index, verdict);
    const at = this.items.findIndex(item => item.index === index);
    const order = [...this.items.slice(at + 1), ...this.items.slice(0, at + 1)];
    const left = order.find(item => !this.marks.has(item.index));
    if (!left) return null;
    this.frame(left.index);
    return left.index;
  }

  withdrawn(index) {
    this.mark(index, null);
    this.frame(index);
  }

  step(count) {
    const at = this.items.findIndex(item => shown && item.index === shown.index);
    const item = this.items[Math.min(Math.max(at + count, 0), this.items.length - 1)];
    this.frame(item.index);
    openDetection(item.index);
  }
}

const search = kind => alone(async () => {
  if (!shown || by("searches").hidden) return;
  const from = shown;
  by("problem").textContent = kind === "cluster" ? "Looking for its cluster; the first time, the map is made, which takes a while." : "";
  const found = await get(`${kind}/${from.index}`);
  by("problem").textContent = "";
  if (!found.items.length) {
    by("problem").textContent = "There is nothing like it without a verdict.";
    return;
  }
  row = new Row(found);
  by("rowtitle").textContent = kind === "similar" ? `Most like this ${from.species}` : `Of one cluster: ${found.left} without a verdict`;
  by("row").hidden = false;
  row.frame(found.items[0].index);
  showDetection(await get(`detection/${found.items[0].index}`));
}, "Not found");

function endRow() {
  row = null;
  by("row").hidden = true;
}

function backToOrder() {
  endRow();
  showDetection(next);
}

document.addEventListener("DOMContentLoaded", () => {
  by("more").addEventListener("click", () => search("similar"));
  by("cluster").addEventListener("click", () => search("cluster"));
  by("back").addEventListener("click", backToOrder);
});
