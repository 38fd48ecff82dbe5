// One function per panel: from the facts the page holds to what it shows. Keeps no state of its own.

import { totalOf } from "/ui/chart.js";
import { $, amount, clockTime, decimals, duration, exact, instrument, keyed, make, millis, num, put, rows, signed } from "/ui/dom.js";
import { w } from "/ui/words.js";

const LEVELS = ["run", "safe", "pause", "hold", "kill"];
const FINISHED = new Set(["filled", "canceled", "replaced", "rejected", "denied", "expired"]);
const SHOWN = 120;
const lower = (value) => String(value ?? "").toLowerCase();
const levelOf = (value) => (typeof value === "number" ? LEVELS[value] : lower(value)) ?? "hold";

/** Milliseconds since the page took this fact in: a book that falls silent grows old on screen too. */
const since = (fact, now) => now - fact.at;

export function books(facts, now) {
  const list = [...facts.book.entries()].sort(([a], [b]) => a.localeCompare(b));
  keyed($("books"), list, ([id]) => id, ([id]) => bookCard(id), (card, [, fact]) => fillBook(card, fact, now));
  const venues = [...facts.venue.values()].map(({ body }) => `${body.venue} ${num(body.msgs_per_s, 0)}${w("per_s")}`);
  put($("books-note"), venues.join(" · "));
}

function bookCard(id) {
  const [symbol, place] = instrument(id);
  const ladder = make("div", "ladder");
  for (let i = 0; i < 5; i += 1) {
    ladder.append(make("span", "qty bid"), make("span", "px bid"), make("span", "px ask"), make("span", "qty ask"));
  }
  const head = make("header", "", make("b", "", symbol), make("span", "place", place), make("span", "state"));
  const foot = make("footer", "", make("span"), make("span"), make("span"), make("span"));
  const card = make("article", "book", head, ladder, foot);
  card.setAttribute("aria-label", id);
  return card;
}

function fillBook(card, fact, now) {
  const body = fact.body;
  const age = Number(body.age_ms ?? 0) + since(fact, now);
  const state = lower(body.state);
  const proved = state === "synced" && age < 3000;
  const cls = `book ${proved ? "" : state === "synced" ? "old" : "suspect"}`;
  if (card.className !== cls) card.className = cls;
  put(card.children[0].children[2], `${w(`st_${state}`)}${body.bbo_only ? " · bbo" : ""}`, `state ${proved ? "ok" : "bad"}`);
  const bids = body.bids ?? [];
  const asks = body.asks ?? [];
  const most = Math.max(...[...bids, ...asks].slice(0, 10).map(([, qty]) => Number(qty)), 1e-12);
  const cells = card.children[1].children;
  for (let i = 0; i < 5; i += 1) {
    fillLevel(cells[i * 4], cells[i * 4 + 1], bids[i], most);
    fillLevel(cells[i * 4 + 3], cells[i * 4 + 2], asks[i], most);
  }
  const foot = card.children[2].children;
  put(foot[0], `${w("spread")} ${num(body.spread_bps, 2)} bps`);
  put(foot[1], `${w("age")} ${millis(age)}`, age < 1000 ? "" : age < 3000 ? "warn" : "neg");
  put(foot[2], `${w("skew")} ${millis(body.skew_ms)}`, Math.abs(Number(body.skew_ms ?? 0)) > 1000 ? "neg" : "");
  put(foot[3], `${w("gaps")} ${num(body.gaps, 0)}`, Number(body.gaps) ? "warn" : "");
}

function fillLevel(qty, px, level, most) {
  put(qty, level ? exact(level[1]) : "");
  put(px, level ? exact(level[0]) : "");
  const share = level ? `${Math.min(100, (Number(level[1]) / most) * 100).toFixed(1)}%` : "0%";
  if (qty.style.getPropertyValue("--share") !== share) qty.style.setProperty("--share", share);
}

export function brakes(control, nowNs) {
  const list = [...(control?.brakes ?? [])].sort((a, b) => LEVELS.indexOf(levelOf(b.level)) - LEVELS.indexOf(levelOf(a.level)));
  put($("brakes-note"), list.length || "");
  const items = list.length ? list : [{ code: "", scope: "none" }];
  keyed($("brakes"), items, (b) => `${b.code}|${b.scope}`, brakeRow, (li, b) => fillBrake(li, b, nowNs));
}

function brakeRow(b) {
  if (!b.code) return make("li", "none");
  const button = (action) => {
    const el = make("button", `act small ${action}`);
    el.type = "button";
    el.dataset.action = action;
    el.dataset.scope = b.scope;
    return el;
  };
  return make("li", "",
    make("div", "line", make("span", "pill"), make("b"), make("span", "scope")),
    make("p", "cause"),
    make("div", "line foot", make("span", "muted"), button("hold"), button("resume")));
}

function fillBrake(li, b, nowNs) {
  if (!b.code) {
    put(li, w("no_brakes"));
    return;
  }
  const level = levelOf(b.level);
  const release = lower(b.release);
  put(li.children[0].children[0], level.toUpperCase(), `pill lvl-${level}`);
  put(li.children[0].children[1], b.code);
  put(li.children[0].children[2], b.scope, "scope", b.scope);
  put(li.children[1], b.cause);
  const who = b.set_by && b.set_by !== "auto" ? ` · ${b.set_by}` : "";
  put(li.children[2].children[0], `${w("since")} ${duration((nowNs - Number(b.since_ns)) / 1e9)} · ${w(`release_${release}`)}${who}`);
  const [hold, resume] = [li.children[2].children[1], li.children[2].children[2]];
  put(hold, w("hold_here"));
  put(resume, w("lift"));
  hold.hidden = level === "hold" || level === "kill";
  resume.hidden = release === "auto";
}

export function positions(facts) {
  let net = 0;
  let gross = 0;
  const list = [...facts.position.entries()].sort(([a], [b]) => a.localeCompare(b)).map(([id, { body }]) => {
    const qty = Number(body.qty ?? 0);
    const notional = Math.abs(Number(body.notional_usd ?? 0));
    net += Math.sign(qty) * notional;
    gross += qty ? notional : 0;
    const split = Object.entries(body.by_strategy ?? {}).map(([name, share]) => `${name} ${share}`).join(", ");
    return {
      key: id,
      cls: qty ? "" : "flat",
      cells: [
        (td) => named(td, id), [exact(body.qty), `r num ${signed(qty)}`, split], [num(body.avg_px, Math.max(2, decimals(body.mark))), "r num", exact(body.avg_px)],
        [exact(body.mark), "r num"], [num(notional, 0), "r num"],
        [num(body.unrealized_usd, 2, true), `r num ${signed(body.unrealized_usd)}`],
        [num(body.realized_usd, 2, true), `r num ${signed(body.realized_usd)}`],
      ],
    };
  });
  rows($("positions"), list, 7);
  put($("positions-note"), list.length ? `${w("net")} ${num(net, 0, true)} · ${w("gross")} ${num(gross, 0)} USD` : "");
}

function named(td, id) {
  const [symbol, place] = instrument(id);
  if (td.title === id) return;
  td.title = id;
  td.className = "inst";
  // What kind it is stands in the title: most venues' names say it, and a cut venue would say nothing.
  td.replaceChildren(make("b", "", symbol), " ", make("small", "place", place.split(" ")[0]));
}

/** What was made, and how far the books are from themselves (residual) and from the venues' (differences). */
export function pnlFacts(pnl, recon) {
  const items = pnl ? [
    ["total", pnl.total_usd, true], ["realized", pnl.realized_usd, true], ["unrealized", pnl.unrealized_usd, true],
    ["fees", pnl.fees_usd, false], ["funding", pnl.funding_usd, true], ["residual", residualOf(pnl.ledger_residual), false],
    ...(recon ? [["differences", recon.open, false]] : []),
  ] : [];
  keyed($("pnl-facts"), items, ([key]) => key, () => make("div", "", make("dt"), make("dd")), (el, [key, value, sign]) => {
    put(el.children[0], w(key));
    const counted = key === "differences";
    const bad = (counted || key === "residual") && Number(value) !== 0;
    put(el.children[1], counted ? String(value) : num(value, 2, sign), `num ${bad ? "neg" : sign ? signed(value) : ""}`);
  });
  put($("pnl-note"), pnl ? `${num(totalOf(pnl), 2, true)} USD` : "");
}

/** One number for a residual given as a number or by asset: the largest, because zero is the only good one. */
export function residualOf(residual) {
  if (residual === null || typeof residual !== "object") return residual ?? 0;
  return Math.max(0, ...Object.values(residual).map((part) => Math.abs(Number(part))));
}

export function tree(facts, now) {
  const cells = [...facts.tree.entries()].sort(([a], [b]) => a.localeCompare(b));
  let actors = 0;
  let restarts = 0;
  const lines = [];
  for (const [name, fact] of cells) {
    const body = fact.body;
    const age = Number(body.heartbeat_age_ms ?? 0) + since(fact, now);
    restarts += Number(body.restarts ?? 0);
    lines.push({
      key: name, depth: 0, id: name, state: age > 5000 ? "silent" : lower(body.state),
      note: `pid ${body.pid ?? "–"} · ${num(body.rss_mb, 0)} MB · ${millis(age)}`,
      means: `pid · ${w("memory")} · ${w("heartbeat")}`,
      restarts: Number(body.restarts ?? 0),
    });
    const walk = (nodes, depth, path) => {
      for (const node of nodes ?? []) {
        actors += 1;
        restarts += Number(node.restarts ?? 0);
        lines.push({
          key: `${path}/${node.id}`, depth, id: node.id, state: lower(node.state),
          note: node.handled === undefined ? "" : `${num(node.handled, 0)}${Number(node.mailbox) ? ` · ▤ ${node.mailbox}` : ""}`,
          means: `${w("handled")}${Number(node.mailbox) ? ` · ▤ ${w("mailbox")}` : ""}`,
          restarts: Number(node.restarts ?? 0),
        });
        walk(node.children, depth + 1, `${path}/${node.id}`);
      }
    };
    walk(body.children, 1, name);
  }
  keyed($("tree"), lines, (line) => line.key,
    () => make("div", "", make("i"), make("span", "id"), make("span", "rst"), make("span", "note")),
    (el, line) => {
      const good = ["running", "up", "ok"].includes(line.state);
      const idle = ["stopped", "done"].includes(line.state);
      const cls = `node d${Math.min(line.depth, 4)} ${good ? "ok" : idle ? "idle" : "bad"}`;
      if (el.className !== cls) el.className = cls;
      put(el.children[1], good ? line.id : `${line.id} · ${line.state}`);
      put(el.children[2], line.restarts ? `↻ ${line.restarts}` : "", "rst", line.restarts ? `${w("restarts")} ${line.restarts}` : "");
      put(el.children[3], line.note, undefined, line.means);
    });
  put($("tree-note"), cells.length ? `${actors} ${w("actors")} · ↻ ${restarts}` : "");
}

export function orders(facts) {
  const newest = [...facts.order.entries()].reverse();
  const live = newest.filter(([, { body }]) => !FINISHED.has(lower(body.ord_status))).length;
  const list = newest.slice(0, SHOWN).map(([id, { body, ts }]) => {
    const status = lower(body.ord_status);
    return {
      key: id,
      cells: [
        [clockTime(ts), "muted num"], (td) => whyButton(td, id), (td) => named(td, body.instrument_id),
        [body.side ? w(lower(body.side)) : "–", lower(body.side) === "buy" ? "pos" : "neg"],
        [exact(body.order_qty), "r num"], [exact(body.price), "r num"],
        [exact(body.cum_qty), `r num ${Number(body.cum_qty) ? "" : "muted"}`],
        (td) => statusCell(td, status, body.text), [(body.strategies ?? []).join(", "), "muted clip", (body.strategies ?? []).join(", ")],
      ],
    };
  });
  rows($("orders"), list, 9);
  put($("orders-note"), `${w("live")} ${live} · ${w("shown")} ${list.length}`);
}

function statusCell(td, status, text) {
  if (!td.firstChild) td.append(make("span", "st"));
  put(td.firstChild, status.replaceAll("_", " "), `st st-${status}`, text ?? "");
}

function whyButton(td, id) {
  if (td.firstChild?.dataset?.why === id) return;
  const button = make("button", "link num", id.length > 22 ? `…${id.slice(-20)}` : id);
  button.type = "button";
  button.dataset.why = id;
  button.title = `${w("story_of")} ${id}`;
  td.replaceChildren(button);
}

export function fills(facts) {
  const newest = [...facts.fill.entries()].reverse().slice(0, SHOWN);
  rows($("fills"), newest.map(([id, { body, ts }]) => ({
    key: id,
    cells: [
      [clockTime(ts), "muted num", body.cl_ord_id ?? ""], (td) => named(td, body.instrument_id),
      [w(lower(body.side)), lower(body.side) === "buy" ? "pos" : "neg"], [exact(body.last_qty), "r num"],
      [exact(body.last_px), "r num"], [`${amount(body.fee)} ${body.fee_asset ?? ""}`, "r num muted", exact(body.fee)],
      [body.liquidity ? w(lower(body.liquidity)) : "–", "muted"],
    ],
  })), 7);
  put($("fills-note"), facts.fill.size || "");
}

export function latency(facts) {
  const list = [];
  for (const [path, { body }] of facts.latency) {
    const stages = Object.entries(body.stages ?? {});
    const most = Math.max(...stages.filter(([name]) => name !== "total").map(([, row]) => Number(row.p99_us ?? 0)), 1);
    for (const [stage, row] of stages) {
      list.push({
        key: `${path}/${stage}`,
        cls: stage === "total" ? "total" : "",
        cells: [
          [facts.latency.size > 1 ? `${path} · ${stage}` : stage, "", path], [micros(row.p50_us), "r num"], [micros(row.p99_us), "r num", row.p95_us === undefined ? "" : `p95 ${micros(row.p95_us)}`],
          [micros(row.p999_us), "r num"], (td) => bar(td, stage === "total" ? 0 : Number(row.p99_us ?? 0) / most), [num(row.n, 0), "r num muted"],
        ],
      });
    }
  }
  rows($("latency"), list, 6);
  put($("latency-note"), [...facts.latency.keys()].join(", "));
}

function bar(td, share) {
  if (!td.firstChild) td.append(make("i", "bar"));
  td.firstChild.style.width = `${(share * 100).toFixed(0)}%`;
}

function micros(us) {
  const x = Number(us);
  if (us === null || us === undefined || !Number.isFinite(x)) return "–";
  return x < 1000 ? `${Math.round(x)} µs` : `${(x / 1000).toFixed(x < 10000 ? 2 : 1)} ms`;
}

function eventText(td, body) {
  if (!td.firstChild) td.append(make("b", "code"), " ", make("span"), " ", make("small", "place"));
  td.className = "text";
  put(td.children[0], body.code);
  put(td.children[1], body.text);
  put(td.children[2], body.cell);
}

export function events(facts) {
  const newest = [...facts.event.entries()].reverse().slice(0, SHOWN);
  rows($("events"), newest.map(([id, { body, ts }]) => ({
    key: id,
    cls: `ev-${lower(body.level)}`,
    cells: [
      [clockTime(body.ts_ns ?? ts), "muted num", `${body.level ?? ""} ${body.cell ?? ""}`], (td) => eventText(td, body),
    ],
  })), 2);
  put($("events-note"), facts.event.size || "");
}
