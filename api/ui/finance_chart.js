// Net profit by period as bars and its running sum as a line: SVG, drawn anew when there is something new.

import { $, make, num } from "/ui/dom.js";
import { w } from "/ui/words.js";

const NS = "http://www.w3.org/2000/svg";
const BARS_MAX = 120;
const EDGE = { left: 10, right: 66, top: 10, bottom: 20 };
let drawn = "";

function svg(tag, attributes, ...children) {
  const el = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
  el.append(...children);
  return el;
}

function niceStep(span) {
  const rough = span / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((m) => m * power).find((step) => step >= rough) ?? power * 10;
}

/** `periods` as the summary has them, oldest first; the newest are shown. */
export function draw(periods) {
  const box = $("chart");
  const width = box.clientWidth;
  const height = box.clientHeight;
  const shown = periods.slice(-BARS_MAX);
  const state = `${width}x${height}:${shown.map((p) => `${p.label}=${p.flows.net_usd}`).join()}`;
  if (state === drawn || width < 40 || height < 40) return;
  drawn = state;
  if (!shown.length) {
    box.replaceChildren(make("p", "muted empty", w("no_data")));
    return;
  }
  let sum = 0;
  for (const p of periods.slice(0, -BARS_MAX)) sum += Number(p.flows.net_usd);
  const points = shown.map((p) => {
    const net = Number(p.flows.net_usd);
    sum += net;
    return { label: p.label, net, sum };
  });
  const values = points.flatMap((p) => [p.net, p.sum]);
  const step = niceStep(Math.max(Math.max(0, ...values) - Math.min(0, ...values), 0.01));
  const low = Math.floor(Math.min(0, ...values) / step) * step;
  const high = Math.ceil(Math.max(0, ...values) / step) * step || step;
  const slot = (width - EDGE.left - EDGE.right) / points.length;
  const y = (v) => EDGE.top + ((high - v) / (high - low)) * (height - EDGE.top - EDGE.bottom);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  for (let v = low; v <= high + step / 2; v += step) {
    const zero = Math.abs(v) < step / 100;
    root.append(svg("line", { x1: EDGE.left, x2: width - EDGE.right, y1: y(v), y2: y(v), class: zero ? "zero" : "grid" }));
    root.append(svg("text", { x: width - EDGE.right + 6, y: y(v) + 3.5, class: "tick" }, num(zero ? 0 : v, step < 1 ? 2 : 0)));
  }
  const bar = Math.max(1, Math.min(46, slot * 0.7));
  points.forEach((p, i) => {
    const x = EDGE.left + slot * (i + 0.5) - bar / 2;
    const top = Math.min(y(p.net), y(0));
    const rect = svg("rect", { x, y: top, width: bar, height: Math.max(1, Math.abs(y(p.net) - y(0))), class: p.net < 0 ? "loss" : "gain" });
    rect.append(svg("title", {}, `${p.label}: ${num(p.net, 2, true)}, ${w("f_sum")} ${num(p.sum, 2, true)}`));
    root.append(rect);
  });
  const line = points.map((p, i) => `${i ? "L" : "M"}${(EDGE.left + slot * (i + 0.5)).toFixed(1)} ${y(p.sum).toFixed(1)}`).join("");
  root.append(svg("path", { d: line, class: "sum" }));
  const every = Math.ceil(points.length / 6);
  points.forEach((p, i) => {
    if (i % every === 0) root.append(svg("text", { x: EDGE.left + slot * (i + 0.5), y: height - 5, class: "tick", "text-anchor": "middle" }, p.label));
  });
  box.replaceChildren(root);
}

/** Forget what was drawn, so that a new language is drawn at once. */
export function forget() {
  drawn = "";
}
