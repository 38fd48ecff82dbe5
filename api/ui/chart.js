// The PnL chart: total and strategies over time, as SVG drawn anew when there is a new sample or size.

import { $, make, num, put, keyed, signed } from "/ui/dom.js";
import { w } from "/ui/words.js";

const NS = "http://www.w3.org/2000/svg";
const COLOURS = ["#f0b84a", "#b394ff", "#4fc4cf", "#ff8f6b", "#8bd450", "#ff7eb6", "#9fb3c8", "#d4a373"];
const POINTS_MAX = 1440;
const history = [];
let drawn = "";

export const colourOf = (names, name) => COLOURS[names.indexOf(name) % COLOURS.length];

export function load(points) {
  history.length = 0;
  for (const p of points) history.push(sample(p.ts_ns, p.total_usd, p.by_strategy));
}

export function add(tsNs, total, byStrategy) {
  const last = history[history.length - 1];
  if (last && Number(tsNs) / 1e6 - last.t < 1000) return;
  history.push(sample(tsNs, total, byStrategy));
  if (history.length > POINTS_MAX) history.splice(0, history.length, ...history.filter((_, i) => i % 2 === 0));
}

function sample(tsNs, total, byStrategy) {
  const parts = {};
  for (const [name, row] of Object.entries(byStrategy ?? {})) parts[name] = Number(totalOf(row));
  return { t: Number(tsNs) / 1e6, total: Number(total), parts };
}

export function totalOf(row) {
  if (row === null || typeof row !== "object") return row;
  return row.total_usd ?? Number(row.realized_usd ?? 0) + Number(row.unrealized_usd ?? 0);
}

function svg(tag, attributes, text) {
  const el = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
  if (text !== undefined) el.textContent = text;
  return el;
}

function niceStep(span) {
  const rough = span / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((m) => m * power).find((step) => step >= rough) ?? power * 10;
}

export function draw() {
  const box = $("chart");
  const width = box.clientWidth;
  const height = box.clientHeight;
  const last = history[history.length - 1];
  const state = `${width}x${height}:${history.length}:${last?.t}`;
  if (state === drawn || width < 40 || height < 40) return;
  drawn = state;
  if (history.length < 2) {
    box.replaceChildren(make("p", "muted empty", w("no_data")));
    return;
  }
  const names = [...new Set(history.flatMap((p) => Object.keys(p.parts)))].sort();
  const values = history.flatMap((p) => [p.total, ...Object.values(p.parts)]).filter(Number.isFinite);
  let low = Math.min(0, ...values);
  let high = Math.max(0, ...values);
  const step = niceStep(Math.max(high - low, 0.01));
  low = Math.floor(low / step) * step;
  high = Math.ceil(high / step) * step || step;
  const left = 8;
  const right = 62;
  const top = 8;
  const bottom = 18;
  const t0 = history[0].t;
  const t1 = last.t;
  const x = (t) => left + ((t - t0) / Math.max(1, t1 - t0)) * (width - left - right);
  const y = (v) => top + ((high - v) / (high - low)) * (height - top - bottom);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  for (let v = low; v <= high + step / 2; v += step) {
    const zero = Math.abs(v) < step / 100;
    root.append(svg("line", { x1: left, x2: width - right, y1: y(v), y2: y(v), class: zero ? "zero" : "grid" }));
    root.append(svg("text", { x: width - right + 6, y: y(v) + 3.5, class: "tick" }, num(zero ? 0 : v, step < 1 ? 2 : 0)));
  }
  for (let i = 0; i <= 4; i += 1) {
    const t = t0 + ((t1 - t0) * i) / 4;
    const anchor = i === 0 ? "start" : i === 4 ? "end" : "middle";
    const words = new Date(t).toTimeString().slice(0, 8);
    root.append(svg("text", { x: x(t), y: height - 4, class: "tick", "text-anchor": anchor }, words));
  }
  const line = (read, attributes) => {
    const points = history.map((p) => [x(p.t), y(read(p))]).filter(([, py]) => Number.isFinite(py));
    const path = points.map(([px, py], i) => `${i ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
    root.append(svg("path", { d: path, fill: "none", ...attributes }));
    return points;
  };
  for (const name of names) line((p) => p.parts[name] ?? NaN, { stroke: colourOf(names, name), class: "part" });
  const points = line((p) => p.total, { class: "total" });
  if (points.length > 1) {
    const area = points.map(([px, py], i) => `${i ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
    const base = `L${points[points.length - 1][0].toFixed(1)} ${y(0)}L${points[0][0].toFixed(1)} ${y(0)}Z`;
    root.insertBefore(svg("path", { d: area + base, class: "area" }), root.firstChild);
    const [px, py] = points[points.length - 1];
    root.append(svg("circle", { cx: px, cy: py, r: 3, class: "dot" }));
  }
  box.replaceChildren(root);
  const entries = [["", last.total], ...names.map((name) => [name, last.parts[name]])];
  keyed($("legend"), entries, ([name]) => name, ([name]) => {
    const mark = make("i");
    mark.style.background = name ? colourOf(names, name) : "var(--accent)";
    return make("span", "", mark, make("span", "name"), make("b"));
  }, (el, [name, value]) => {
    put(el.children[1], name || w("total"));
    put(el.children[2], num(value, 2, true), `num ${signed(value)}`);
  });
}

/** Forget what was drawn, so that a new size or language is drawn at once. */
export function invalidate() {
  drawn = "";
}
