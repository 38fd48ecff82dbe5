// Small ways of making and patching elements. Text only, never HTML: what the desk says cannot become markup.

import { w } from "/ui/words.js";

export const $ = (id) => document.getElementById(id);

/** Set text, class or title only where they differ, so that four patches a second disturb nobody. */
export function put(el, text, cls, title) {
  const words = text === null || text === undefined ? "–" : String(text);
  if (el.textContent !== words) el.textContent = words;
  if (cls !== undefined && el.className !== cls) el.className = cls;
  if (title !== undefined && el.title !== title) el.title = title;
  return el;
}

export function make(tag, cls, ...children) {
  const el = document.createElement(tag);
  if (cls) el.className = cls;
  el.append(...children);
  return el;
}

/** Keep one child per key, in order: `create(key)` makes it, `update(el, item)` fills it. */
export function keyed(parent, items, keyOf, create, update) {
  const known = parent.keyed ?? (parent.keyed = new Map());
  const wanted = new Set();
  let previous = null;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let el = known.get(key);
    if (!el) known.set(key, (el = create(item)));
    update(el, item);
    const expected = previous ? previous.nextSibling : parent.firstChild;
    if (el !== expected) parent.insertBefore(el, expected);
    previous = el;
  }
  for (const [key, el] of known) {
    if (!wanted.has(key)) {
      el.remove();
      known.delete(key);
    }
  }
}

/** Table rows: each item is {key, cls, cells: [[text, class, title]]}; a cell may also be a function of its td. */
export function rows(tbody, items, columns, emptyText) {
  const list = items.length ? items : [{ key: "∅", cls: "empty", cells: [[emptyText ?? w("no_data"), "muted"]] }];
  keyed(tbody, list, (item) => item.key, () => {
    const tr = make("tr");
    for (let i = 0; i < columns; i += 1) tr.append(make("td"));
    return tr;
  }, (tr, item) => {
    if (tr.className !== (item.cls ?? "")) tr.className = item.cls ?? "";
    item.cells.forEach((cell, i) => {
      if (typeof cell === "function") cell(tr.children[i]);
      else put(tr.children[i], cell[0], cell[1] ?? "", cell[2] ?? "");
    });
  });
}

const formats = new Map();

/** A number with grouped digits; "–" for what is no number. */
export function num(value, digits = 2, sign = false) {
  const x = Number(value);
  if (value === null || value === undefined || value === "" || !Number.isFinite(x)) return "–";
  const key = `${digits}${sign}`;
  if (!formats.has(key)) {
    formats.set(key, new Intl.NumberFormat("en-US", {
      minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: sign ? "exceptZero" : "auto",
    }));
  }
  return formats.get(key).format(x).replaceAll(",", "\u202f");
}

/** Digits as the venue gave them: "0.040" stays "0.040". */
export function exact(value) {
  if (value === null || value === undefined || value === "") return "–";
  const [whole, part] = String(value).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
  return part === undefined ? grouped : `${grouped}.${part}`;
}

/** An amount that may be tiny, in three significant digits and never as a power of ten. */
export function amount(value) {
  const x = Number(value);
  if (value === null || value === undefined || value === "" || !Number.isFinite(x)) return "–";
  return x.toLocaleString("en-US", { maximumSignificantDigits: 3, maximumFractionDigits: 20 }).replaceAll(",", "\u202f");
}

/** How many digits stand behind the point. */
export const decimals = (value) => (String(value ?? "").split(".")[1] ?? "").length;

export const signed = (value) => (Number(value) > 0 ? "pos" : Number(value) < 0 ? "neg" : "");

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} ${w("s")}`;
  if (s < 3600) return `${Math.floor(s / 60)} ${w("min")} ${s % 60} ${w("s")}`;
  if (s < 86400) return `${Math.floor(s / 3600)} ${w("h")} ${Math.floor((s % 3600) / 60)} ${w("min")}`;
  return `${Math.floor(s / 86400)} ${w("d")} ${Math.floor((s % 86400) / 3600)} ${w("h")}`;
}

export function millis(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(Number(ms))) return "–";
  const x = Number(ms);
  return x < 10000 ? `${Math.round(x)} ${w("ms")}` : duration(x / 1000);
}

export function clockTime(ns) {
  if (!ns) return "–";
  const at = new Date(Number(ns) / 1e6);
  return at.toTimeString().slice(0, 8);
}

/** BINANCEUSDM:PERP:BTC-USDT:LINEAR as ["BTC-USDT", "BINANCEUSDM perp"]. */
export function instrument(id) {
  const [venue, kind, symbol] = String(id ?? "").split(":");
  return symbol ? [symbol, `${venue} ${kind.toLowerCase()}`] : [String(id ?? "–"), ""];
}
