// One function per panel of the Data Quality page: from the facts it holds to what it shows.

import { $, amount, clockTime, decimals, duration, exact, instrument, keyed, make, millis, num, put, rows, signed } from "/ui/dom.js";
import { w } from "/ui/words.js";

const SVG = "http://www.w3.org/2000/svg";
export const SILENT_MS = 5000;
const LIQUIDATIONS_SHOWN = 40;
const UP = new Set(["live", "rotating"]);
const lower = (value) => String(value ?? "").toLowerCase();
export const sorted = (map) => [...map.entries()].sort(([a], [b]) => a.localeCompare(b));
export const since = (fact, now) => now - fact.at;

/** Milliseconds of data's age as the desk told it; where it falls silent, the data grows old on screen. */
function aged(told, fact, now) {
  if (told === null || told === undefined) return null;
  const heard = since(fact, now);
  return Number(told) + (heard < SILENT_MS ? 0 : heard);
}

const word = (key, otherwise) => (w(key) === key ? lower(otherwise).replaceAll("_", " ") : w(key));

export function totals(facts, now) {
  const all = [...facts.quality.values()];
  const sum = (name) => all.reduce((total, { body }) => total + Number(body.counts?.[name] ?? 0), 0);
  const ready = all.filter((fact) => isReady(fact, now)).length;
  put($("ready"), `${ready} / ${all.length}`, `num ${ready === all.length ? "pos" : "warn"}`);
  const closed = all.reduce((total, { body }) => total + (body.gates?.length ?? 0), 0);
  put($("closed"), closed, `num ${closed ? "neg" : ""}`);
  const oldest = Math.max(0, ...all.map((fact) => aged(fact.body.freshness_ms, fact, now) ?? 0));
  put($("oldest"), millis(oldest), `num ${oldest > 1200 ? "neg" : ""}`);
  put($("gaps"), num(sum("seq_gaps"), 0), `num ${sum("seq_gaps") ? "warn" : ""}`);
  const failed = sum("checksum_failures");
  put($("checksums"), num(failed, 0), `num ${failed ? "neg" : ""}`);
  const handled = sum("messages") + sum("dropped");
  put($("drops"), handled ? percent(sum("dropped") / handled) : "–", `num ${sum("dropped") ? "warn" : ""}`);
  const feeds = [...facts.feed.values()];
  const up = feeds.filter((fact) => UP.has(fact.body.state) && since(fact, now) < SILENT_MS).length;
  put($("feeds-up"), `${up} / ${feeds.length}`, `num ${up === feeds.length ? "pos" : "warn"}`);
}

const isReady = (fact, now) => Boolean(fact.body.ready) && since(fact, now) < SILENT_MS;

function percent(share) {
  return share === 0 ? "0 %" : `${amount(share * 100)} %`;
}

export function symbols(facts, now) {
  const list = sorted(facts.quality).map(([id, fact]) => {
    const { body } = fact;
    const c = body.counts ?? {};
    const age = aged(body.freshness_ms, fact, now);
    const silent = since(fact, now) >= SILENT_MS;
    const limit = Number(body.freshness_limit_ms);
    const why = silent ? w("q_silent") : body.reason || (body.gates ?? []).map((gate) => gate.code).join(", ");
    const checked = Number(c.checksums_ok) + Number(c.checksum_failures);
    return {
      key: id,
      cells: [
        (td) => named(td, id), (td) => state(td, silent ? "unknown" : body.book, silent ? w("v_unknown") : word(`st_${lower(body.book)}`, body.book)),
        [millis(age), `r num ${age === null || age > limit ? "neg" : ""}`, `≤ ${limit} ${w("ms")}`], [millis(body.p99_age_ms), "r num muted"],
        count(c.misses), count(c.seq_gaps), count(c.resyncs),
        [checked ? `${short(c.checksums_ok)} / ${c.checksum_failures}` : "–", `r num ${c.checksum_failures ? "neg" : "muted"}`, w("q_ok_failed")],
        [`${num(c.shadow_checks, 0)} / ${num(c.shadow_mismatches, 0)}`, `r num ${c.shadow_mismatches ? "neg" : "muted"}`, w("q_shadow_means")],
        [percent(Number(body.drop_ratio ?? 0)), `r num ${Number(body.drop_ratio) ? "warn" : "muted"}`, `${num(c.dropped, 0)} / ${num(c.messages, 0)}`],
        [short(c.duplicates), "r num muted", `${w("q_late")} ${num(c.late, 0)}`], count(c.rejected),
        [why, `why ${isReady(fact, now) ? "" : "warn"}`, why],
      ],
    };
  });
  rows($("symbols"), list, 13);
  const messages = [...facts.quality.values()].reduce((total, { body }) => total + Number(body.counts?.messages ?? 0), 0);
  put($("symbols-note"), messages ? `${short(messages)} ${w("msgs")}` : "");
}

const count = (value) => [num(value, 0), `r num ${Number(value) ? "warn" : "muted"}`];

/** 1204331 as "1.20 M": what is counted for days must not widen a column. */
export function short(value) {
  const x = Number(value ?? 0);
  if (x < 10000) return num(x, 0);
  return x < 1e6 ? `${num(x / 1e3, x < 1e5 ? 1 : 0)} k` : `${num(x / 1e6, 2)} M`;
}

export function named(td, id) {
  const [symbol, place] = instrument(id);
  if (td.title === id) return;
  td.title = id;
  td.className = "inst";
  td.replaceChildren(make("b", "", symbol), " ", make("small", "place", place));
}

export function state(td, word, text, title) {
  if (!td.firstChild) td.append(make("span", "st"));
  put(td.firstChild, text ?? lower(word).replaceAll("_", " "), `st st-${lower(word)}`, title ?? "");
}

export function gates(facts, nowNs) {
  const closed = sorted(facts.quality).flatMap(([id, { body }]) => (body.gates ?? []).map((gate) => ({ ...gate, id })));
  put($("gates-note"), closed.length || "");
  const items = closed.length ? closed : [{ code: "", id: "" }];
  keyed($("gates"), items, (gate) => `${gate.id}|${gate.code}`, (gate) => (gate.code
    ? make("li", "", make("div", "line", make("span", "pill"), make("b"), make("span", "scope")), make("p", "cause"), make("p", "muted"))
    : make("li", "none")), (li, gate) => {
    if (!gate.code) {
      put(li, w("q_no_gates"));
      return;
    }
    put(li.children[0].children[0], lower(gate.level).toUpperCase(), `pill lvl-${lower(gate.level) === "notice" ? "safe" : lower(gate.level)}`);
    put(li.children[0].children[1], gate.code);
    put(li.children[0].children[2], gate.target, "scope", gate.target);
    put(li.children[1], gate.cause);
    put(li.children[2], `${w("since")} ${duration((nowNs - Number(gate.since_ns)) / 1e9)}`);
  });
}

export function venues(facts) {
  const names = [...new Set([...facts.registry.keys(), ...facts.quorum.keys(), ...facts.clock.keys()])].sort();
  rows($("venues"), names.map((name) => {
    const registry = facts.registry.get(name)?.body;
    const quorum = facts.quorum.get(name)?.body;
    const clock = facts.clock.get(name)?.body;
    const score = registry?.health?.parts?.score;
    const parts = Object.entries(registry?.health?.parts ?? {}).map(([key, value]) => `${key} ${value}`).join(" · ");
    const window = registry?.windows?.[0];
    const planned = window ? `${window.condition} ${clockTime(window.begin_ns)}–${window.end_ns ? clockTime(window.end_ns) : "…"}: ${window.cause}` : "";
    const mark = registry?.condition === "normal" && window ? ` · ${w("q_ahead")} ${clockTime(window.begin_ns)}` : "";
    const skewed = clock && clock.state !== "ok";
    return {
      key: name,
      cells: [
        (td) => venueCell(td, name), (td) => state(td, registry?.condition ?? "none", registry ? `${word(`v_${registry.condition}`, registry.condition)}${mark}` : "–", registry?.cause || planned),
        [num(score, 0), `r num ${score < 70 ? "neg" : score < 90 ? "warn" : ""}`, parts],
        (td) => state(td, quorum?.state ?? "none", quorum ? `${quorum.fresh} / ${quorum.views.length} · ${w(`v_${quorum.state}`)}` : "–", quorum ? `${w("q_needed")} ${quorum.needed}, ${w("q_leader")} ${quorum.leader}` : ""),
        [quorum?.failovers ? `${quorum.failovers} · ${millis(quorum.failover_ms)}` : "–", `r num ${quorum?.failovers ? "warn" : "muted"}`],
        [clock ? `${num(clock.skew_ms, 1, true)} ${w("ms")}` : "–", `r num ${skewed ? "warn" : ""}`, clock ? `± ${clock.limit_ms} ${w("ms")}` : ""],
        (td) => spark(td, clock),
      ],
    };
  }), 7);
  put($("venues-note"), w("q_course_means"));
}

function venueCell(td, name) {
  if (!td.firstChild) td.append(make("b"));
  put(td.firstChild, name);
}

/** The clock's course: the last ten minutes, zero and the limit of notice where they are in sight. */
function spark(td, clock) {
  const course = clock?.course ?? [];
  const key = `${course.length}:${course[course.length - 1]?.[0]}`;
  if (td.drawn === key) return;
  td.drawn = key;
  if (course.length < 2) {
    td.replaceChildren(make("span", "muted", "–"));
    return;
  }
  const [width, height, pad] = [200, 26, 3];
  const values = course.map(([, ms]) => ms);
  const most = Math.max(10, ...values.map(Math.abs)) * 1.1;
  const x = (t) => ((t - course[0][0]) / Math.max(1, course[course.length - 1][0] - course[0][0])) * width;
  const y = (ms) => pad + ((most - ms) / (2 * most)) * (height - 2 * pad);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: `spark ${clock.state === "ok" ? "" : "bad"}`, role: "img", "aria-label": w("q_course") });
  root.append(svg("line", { x1: 0, x2: width, y1: y(0), y2: y(0), class: "zero" }));
  for (const limit of [clock.notice_ms, -clock.notice_ms]) {
    if (Math.abs(limit) < most) root.append(svg("line", { x1: 0, x2: width, y1: y(limit), y2: y(limit), class: "limit" }));
  }
  const path = course.map(([t, ms], i) => `${i ? "L" : "M"}${x(t).toFixed(1)} ${y(ms).toFixed(1)}`).join("");
  root.append(svg("path", { d: path, "vector-effect": "non-scaling-stroke" }));
  td.replaceChildren(root);
}

function svg(tag, attributes) {
  const el = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
  return el;
}

export function feeds(facts, now) {
  rows($("feeds"), sorted(facts.feed).map(([key, fact]) => {
    const { body } = fact;
    const silent = since(fact, now) >= SILENT_MS;
    const channels = body.channels ?? [];
    const good = channels.filter((channel) => channel.state === "acked").length;
    const bad = channels.filter((channel) => channel.state !== "acked").map((channel) => `${channel.channel}: ${channel.state} ${channel.reason}`);
    const why = silent ? w("q_silent") : [body.reason, ...bad].filter(Boolean).join("; ");
    const age = aged(body.age_ms, fact, now);
    return {
      key,
      cells: [
        [`${key}${body.reserve ? ` · ${w("q_reserve")}` : ""}`, "", body.url], [body.region, "muted"],
        (td) => state(td, silent ? "unknown" : body.state, silent ? w("v_unknown") : word(`v_${body.state}`, body.state)),
        (td) => state(td, body.role, word(`v_${body.role}`, body.role)),
        [millis(age), `r num ${age === null || age > 1200 ? "neg" : ""}`], [`${num(silent ? 0 : body.messages_per_s, 0)}${w("per_s")}`, "r num"],
        count(body.reconnects), [`${good} / ${channels.length + Number(body.channels_hidden ?? 0)}`, `r num ${good < channels.length ? "warn" : ""}`, bad.join("\n")],
        [why, `why ${silent || bad.length || !UP.has(body.state) ? "warn" : ""}`, why],
      ],
    };
  }), 9);
  put($("feeds-note"), facts.feed.size || "");
}

export function regions(facts, now) {
  const found = new Map();
  for (const fact of facts.feed.values()) {
    const { body } = fact;
    const name = body.region || "–";
    const region = found.get(name) ?? { feeds: 0, live: 0, leaders: 0, out: 0, rate: 0 };
    const up = UP.has(body.state) && since(fact, now) < SILENT_MS;
    region.feeds += 1;
    region.live += up ? 1 : 0;
    region.leaders += body.role === "leader" ? 1 : 0;
    region.out += body.role === "quarantined" ? 1 : 0;
    region.rate += up ? Number(body.messages_per_s) : 0;
    found.set(name, region);
  }
  rows($("regions"), sorted(found).map(([name, region]) => ({
    key: name,
    cells: [
      [name], [`${region.live} / ${region.feeds}`, `r num ${region.live < region.feeds ? "warn" : "pos"}`], [region.leaders, "r num"],
      [region.out, `r num ${region.out ? "neg" : "muted"}`], [`${num(region.rate, 0)}${w("per_s")}`, "r num"],
    ],
  })), 5);
}

export function derivatives(facts, nowNs) {
  rows($("derivatives"), sorted(facts.derivatives).map(([id, { body }]) => {
    const left = body.next_funding_ns ? (Number(body.next_funding_ns) - nowNs) / 1e9 : null;
    const past = (body.history ?? []).slice(-3).map((one) => `${clockTime(one.funding_ns)} ${bps(one.rate)} bps`).join("\n");
    return {
      key: id,
      cells: [
        (td) => named(td, id), [num(body.mark, Math.min(4, Math.max(2, decimals(body.last)))), "r num", `${w("q_index")} ${exact(body.index)} · ${w("q_last")} ${exact(body.last)}`],
        [body.basis === null ? "–" : `${num(body.basis * 1e4, 1, true)} bps`, "r num"],
        [body.funding_rate === null ? "–" : `${bps(body.funding_rate)} bps`, `r num ${signed(body.funding_rate)}`, past],
        [body.funding_a_year === null ? "–" : `${num(body.funding_a_year * 100, 1, true)} %`, "r num muted"],
        [left === null ? "–" : left < 0 ? w("q_due") : duration(left), "r num muted", `${body.interval_min} ${w("min")}`],
        [body.open_interest_usd === null ? "–" : `${short(body.open_interest_usd)}`, "r num", exact(body.open_interest)],
        [body.long_short_ratio === null ? "–" : num(body.long_short_ratio, 2), "r num muted"],
      ],
    };
  }), 8);
}

const bps = (rate) => num(Number(rate) * 1e4, 2, true);

export function flow(facts) {
  rows($("flow"), sorted(facts.flow).map(([id, { body }]) => {
    const delta = Object.fromEntries((body.delta ?? []).map((one) => [one.timeframe, one.qty]));
    const ofi = (body.ofi ?? []).find((one) => one.window_s === 10)?.qty;
    const depth = facts.liquidity.get(id)?.body;
    const band = (depth?.bands ?? []).filter((one) => one.bid_usd !== null && one.ask_usd !== null && one.bps <= 10).pop();
    const both = band ? `${short(Math.round(band.bid_usd))} / ${short(Math.round(band.ask_usd))}${band.bps < 10 ? ` @ ${band.bps}` : ""}` : "–";
    const all = (depth?.bands ?? []).map((one) => `${one.bps} bps: ${num(one.bid_usd, 0)} / ${num(one.ask_usd, 0)}`).join("\n");
    return {
      key: id,
      cells: [
        (td) => named(td, id), (td) => tilt(td, body.imbalance_5), figure(ofi), figure(delta["1m"]), figure(delta["5m"]),
        [depth?.spread_bps === null || depth === undefined ? "–" : `${num(depth.spread_bps, 2)} bps`, "r num muted"], [both, "r num muted", all],
      ],
    };
  }), 7);
}

const figure = (qty) => [qty === null || qty === undefined ? "–" : `${qty > 0 ? "+" : ""}${amount(qty)}`, `r num ${signed(qty)}`];

/** A bar from the middle: to the right where bids outweigh, to the left where asks do. */
function tilt(td, value) {
  if (!td.firstChild) {
    const bar = make("i", "", make("b"));
    td.append(make("div", "tilt", bar, make("span", "num")));
  }
  const [bar, text] = td.firstChild.children;
  const share = Number(value ?? 0);
  put(text, value === null || value === undefined ? "–" : num(share, 2, true), `num ${signed(share)}`);
  const fill = bar.firstChild;
  fill.className = share < 0 ? "neg" : "pos";
  fill.style.left = `${share < 0 ? 50 + share * 50 : 50}%`;
  fill.style.width = `${Math.abs(share) * 50}%`;
}

export function liquidations(facts, nowNs) {
  const sums = new Map();
  const newest = [];
  for (const [id, { body }] of facts.liquidations) {
    for (const one of body.windows ?? []) {
      const into = sums.get(one.window_s) ?? { long: 0, short: 0 };
      into.long += Number(one.long_usd);
      into.short += Number(one.short_usd);
      sums.set(one.window_s, into);
    }
    for (const one of body.newest ?? []) newest.push({ ...one, id });
  }
  keyed($("liquidation-sums"), [...sums.entries()].sort(([a], [b]) => a - b), ([window]) => window,
    () => make("div", "", make("dt"), make("dd", "num neg"), make("dd", "num pos")), (el, [window, sum]) => {
      put(el.children[0], span(window));
      put(el.children[1], `▼ ${short(Math.round(sum.long))}`, undefined, w("q_longs"));
      put(el.children[2], `▲ ${short(Math.round(sum.short))}`, undefined, w("q_shorts"));
    });
  newest.sort((a, b) => Number(b.ts_ns) - Number(a.ts_ns));
  const seen = new Map();
  rows($("liquidations"), newest.slice(0, LIQUIDATIONS_SHOWN).map((one) => {
    const same = `${one.id}/${one.ts_ns}/${one.price}/${one.qty}`;
    seen.set(same, (seen.get(same) ?? 0) + 1);
    return {
      key: `${same}/${seen.get(same)}`,
      cells: [
        [clockTime(one.ts_ns), "muted num", `${duration((nowNs - Number(one.ts_ns)) / 1e9)}`], (td) => named(td, one.id),
        [w(`q_${one.side}`), one.side === "long" ? "neg" : "pos"], [exact(one.price), "r num"], [`${short(Math.round(one.notional_usd))} USD`, "r num"],
      ],
    };
  }), 5, w("q_no_liquidations"));
  put($("liquidations-note"), newest.length ? "USD" : "");
}

function span(seconds) {
  if (seconds >= 86400) return `${seconds / 86400} ${w("d")}`;
  return seconds >= 3600 ? `${seconds / 3600} ${w("h")}` : `${seconds / 60} ${w("min")}`;
}

const NEXT = {
  draft: ["submit", "delete"], review: ["approve", "reject", "delete"], second_wanted: ["approve", "reject", "delete"],
  approved: ["delete"], suspended: ["submit", "delete"], delisted: ["draft", "delete"],
};

export const entryOf = (facts, id) => facts.universe.get("all")?.body.entries.find((entry) => entry.instrument_id === id);

export function universe(facts) {
  const body = facts.universe.get("all")?.body;
  const entries = body?.entries ?? [];
  rows($("universe"), entries.map((entry) => ({
    key: entry.instrument_id,
    cells: [
      (td) => named(td, entry.instrument_id), (td) => state(td, entry.status, w(`u_${entry.status}`), entry.note),
      [entry.approvals.map((one) => one.by).join(", ") || entry.drafted_by, "muted clip", entry.facts_hash.slice(0, 16)],
      (td) => stepButtons(td, entry),
    ],
  })), 4, body?.trouble || w(body ? "q_no_universe" : "q_universe_untold"));
  const held = (body?.tradable ?? []).length;
  put($("universe-note"), body?.trouble ? body.trouble : body ? `${w("q_tradable")} ${held} · ${w("q_auto_add")} ${w(body.rules.auto_add ? "q_on" : "q_off")}${body.rules.two_man ? ` · ${w("q_two_man")}` : ""}` : "", body?.trouble ? "neg" : "");
  const known = [...facts.meta.keys()].sort().slice(0, 500);
  const list = $("known");
  if (list.children.length !== known.length) list.replaceChildren(...known.map((id) => new Option(id, id)));
}

function stepButtons(td, entry) {
  const steps = NEXT[entry.status] ?? [];
  const key = `${entry.status}:${w("u_submit")}`;
  if (td.drawn === key) return;
  td.drawn = key;
  td.replaceChildren(...steps.map((step) => {
    const button = make("button", `act small ${step === "approve" ? "resume" : step === "delete" || step === "reject" ? "hold" : ""}`, w(`u_${step}`));
    button.type = "button";
    button.dataset.step = step;
    button.dataset.id = entry.instrument_id;
    return button;
  }));
}

/** What was drawn in another language is drawn again. */
export function forget() {
  for (const td of document.querySelectorAll("td")) td.drawn = "";
}
