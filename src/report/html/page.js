"use strict";
(() => {
  const doc = document;
  doc.documentElement.classList.add("script");

  // Paper shows everything.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...doc.querySelectorAll("details:not([open])")];
    for (const d of closed) d.open = true;
  });
  addEventListener("afterprint", () => {
    for (const d of closed) d.open = false;
  });
  // A link to a row in a closed part opens it.
  const reveal = () => {
    const target = location.hash && doc.getElementById(location.hash.slice(1));
    const part = target && target.closest("details");
    if (part && !part.open) {
      part.open = true;
      target.scrollIntoView({ block: "center" });
    }
  };
  addEventListener("hashchange", reveal);
  reveal();

  const data = doc.getElementById("moves-data");
  const canvas = doc.querySelector(".canvas");
  if (!data || !canvas) return;
  const moves = JSON.parse(data.textContent);
  const byRow = new Map();
  const put = (row, move) => byRow.get(row)?.push(move) ?? byRow.set(row, [move]);
  for (const move of moves) {
    put(move[0], move);
    if (move[1] !== move[0]) put(move[1], move);
  }
  const layer = doc.querySelector(".arcs");
  const rowOf = (index) => canvas.querySelector(`[data-row="${index}"]`);
  // A row in a closed group stands for itself at the group's line.
  const place = (index) => {
    const row = rowOf(index);
    const group = row.closest("details");
    const track = group.open ? row.querySelector(".track") : group.querySelector("summary .track");
    return track.getBoundingClientRect();
  };
  const shape = (name, attributes) => {
    const element = doc.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    layer.append(element);
  };
  let shown = null;
  const draw = (index) => {
    shown = index;
    layer.replaceChildren();
    for (const lit of canvas.querySelectorAll("tr.lit")) lit.classList.remove("lit");
    if (index === null) return;
    rowOf(index).classList.add("lit");
    const base = canvas.getBoundingClientRect();
    for (const [from, to, begin, end, live] of byRow.get(index) ?? []) {
      const a = place(from);
      const b = place(to);
      const x1 = a.left - base.left + (a.width * begin) / 100;
      const x2 = b.left - base.left + (b.width * end) / 100;
      const y1 = a.top - base.top + a.height / 2;
      const y2 = b.top - base.top + b.height / 2;
      const bend = 18 + Math.abs(y2 - y1) / 6;
      const kind = (live ? "arc" : "arc cold") + (from === index ? "" : " in");
      shape("path", { class: kind, d: `M${x1} ${y1} C ${x1 + bend} ${y1} ${x2 + bend} ${y2} ${x2} ${y2}` });
      shape("circle", { class: kind, cx: x1, cy: y1, r: 2.5 });
      shape("path", { class: `${kind} tip`, d: `M${x2} ${y2} l7 -4 v8 z` });
    }
  };
  const over = (event) => {
    const row = event.target.closest?.("tr[data-row]");
    if (row) draw(Number(row.dataset.row));
  };
  canvas.addEventListener("pointerover", over);
  canvas.addEventListener("focusin", over);
  canvas.addEventListener("pointerleave", () => {
    const row = doc.activeElement?.closest?.("tr[data-row]");
    draw(row ? Number(row.dataset.row) : null);
  });
  canvas.addEventListener("focusout", () => draw(null));
  canvas.addEventListener("toggle", () => draw(shown), true);
  addEventListener("resize", () => draw(shown));
})();
