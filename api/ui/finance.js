// The finance page: what the desk has and what it made, asked of the journal every few seconds.

import { $, duration, exact, instrument, keyed, make, num, put, rows, signed } from "/ui/dom.js";
import * as chart from "/ui/finance_chart.js";
import { follow } from "/ui/stream.js";
import { label, toggleLanguage, w } from "/ui/words.js";

const EVERY_MS = 5000;
const SILENT_MS = 5000;
const LINES = 200;
const live = follow(["pnl"], {});
let by = "day";
let told = null;
let lines = null;
let trouble = "";
let asking = 0;

function query(more) {
  const wanted = { from: $("from").value, to: $("to").value, venue: $("venue").value, ...more };
  return new URLSearchParams(Object.entries(wanted).filter(([, value]) => value)).toString();
}

async function get(path, more) {
  const answer = await fetch(`/api/ui/finance/${path}?${query(more)}`);
  const said = await answer.json();
  if (said.error) throw new Error(`${said.error.message}. ${said.error.mend}`);
  return said;
}

/** Ask for everything anew; an answer to an older question is thrown away. */
async function ask() {
  const mine = (asking += 1);
  try {
    const found = await get("summary", { by });
    const statement = await get("statement", { limit: LINES });
    if (mine !== asking) return;
    told = found;
    lines = statement;
    trouble = "";
  } catch (error) {
    if (mine !== asking) return;
    trouble = error.message;
  }
  draw();
}

function draw() {
  put($("banner"), trouble);
  $("banner").hidden = !trouble;
  $("csv").href = `/api/ui/finance/export?${query({ format: "csv" })}`;
  for (const el of document.querySelectorAll("[data-by]")) el.setAttribute("aria-pressed", String(el.dataset.by === by));
  if (!told) return;
  const totals = told.totals;
  put($("equity"), num(totals.equity_usd, 2));
  put($("profit"), num(totals.pnl_usd, 2, true), `num ${signed(totals.pnl_usd)}`);
  put($("open"), num(totals.unrealized_usd, 2, true), `num ${signed(totals.unrealized_usd)}`);
  put($("margin"), num(totals.margin_usd, 2), "num", `${w("f_leverage")} ${told.leverage}`);
  put($("residual"), exact(totals.ledger_residual), `num ${Number(totals.ledger_residual) ? "neg" : ""}`);
  chart.draw(told.periods);
  legend();
  periods();
  venues();
  owners();
  external();
  statement();
}

const flowCells = (flows) => [
  [num(flows.realized_usd, 2, true), `r num ${signed(flows.realized_usd)}`], [num(flows.fees_usd, 2), "r num"], [num(flows.rebates_usd, 2), "r num"],
  [num(flows.funding_usd, 2, true), `r num ${signed(flows.funding_usd)}`], [num(flows.net_usd, 2, true), `r num ${signed(flows.net_usd)}`],
];

function legend() {
  const parts = [["f_realized", "realized_usd"], ["fees", "fees_usd"], ["f_rebates", "rebates_usd"], ["funding", "funding_usd"], ["f_net", "net_usd"]];
  keyed($("legend"), parts, ([key]) => key, () => make("span", "", make("span", "name"), make("b")), (el, [key, name]) => {
    put(el.children[0], w(key));
    put(el.children[1], num(told.flows[name], 2, name !== "fees_usd"), `num ${name === "fees_usd" ? "" : signed(told.flows[name])}`);
  });
  put($("periods-note"), told.periods_left_out ? `${w("f_left_out")}: ${told.periods_left_out}` : "");
}

function periods() {
  const cells = (name, flows) => [[name, "num"], ...flowCells(flows), [num(flows.turnover_usd, 0), "r num"], [num(flows.fills, 0), "r num"]];
  const items = told.periods.map((p) => ({ key: p.label, cells: cells(p.label, p.flows) })).reverse();
  if (items.length) items.unshift({ key: "all", cls: "total", cells: cells(w("total"), told.flows) });
  rows($("periods"), items, 8);
}

function venues() {
  const items = told.venues.flatMap((v) => [
    { key: v.venue, cls: "group", cells: [[v.venue], [""], [""], [num(v.cash_usd, 2), "r num"], [num(v.unrealized_usd, 2, true), `r num ${signed(v.unrealized_usd)}`], [num(v.margin_usd, 2), "r num"]] },
    ...v.balances.map((b) => ({
      key: `${v.venue} ${b.asset}`,
      cells: [[b.asset, "muted"], [exact(b.amount), "r num"], [b.price_usd === null ? "–" : exact(b.price_usd), "r num"], [b.usd === null ? w("f_unvalued") : num(b.usd, 2), b.usd === null ? "r warn" : "r num"], [""], [""]],
    })),
    ...v.positions.map((p) => ({
      key: p.instrument_id,
      cells: [[instrument(p.instrument_id).join(" "), "muted", p.instrument_id], [exact(p.qty), "r num"], [exact(p.mark_px), "r num", `${w("avg_px")} ${p.avg_px}`], [num(p.notional_usd, 2), "r num muted"], [num(p.unrealized_usd, 2, true), `r num ${signed(p.unrealized_usd)}`], [num(p.margin_usd, 2), "r num"]],
    })),
  ]);
  rows($("venues"), items, 6);
  const select = $("venue");
  const known = new Set([...select.options].map((option) => option.value));
  for (const v of told.venues) if (!known.has(v.venue)) select.append(new Option(v.venue, v.venue));
  put($("venues-note"), told.unvalued.length ? `${w("f_unvalued")}: ${told.unvalued.join(", ")}` : "");
}

function owners() {
  const group = (key, found) => (found.length ? [
    { key, cls: "group", cells: [[w(key)], [""], [""], [""], [""], [""], [""]] },
    ...found.map((o) => ({ key: `${key} ${o.name}`, cells: [[o.name, "inst", o.name], ...flowCells(o.flows), [num(o.flows.fills, 0), "r num"]] })),
  ] : []);
  rows($("owners"), [...group("strategy", told.by_strategy), ...group("instrument", told.by_instrument), ...group("q_venue", told.by_venue)], 7);
  const closed = told.closed;
  put($("closed-note"), closed.count ? `FIFO: ${closed.won} + / ${closed.lost} − · ${num(closed.net_usd, 2, true)} USD` : "");
}

function external() {
  put($("paid-note"), told.paid_in.map((x) => `${w("f_paid_in")} ${exact(x.amount)} ${x.asset}, ${x.venue}`).join(" · "));
  const nowNs = (Date.now() + live.clockOffsetMs) * 1e6;
  const items = [...told.external].reverse();
  const list = items.length ? items : [{ venue: "", asset: "", since_ns: 0, none: true }];
  keyed($("external"), list, (x) => `${x.venue} ${x.asset} ${x.since_ns}`, () => make("li", "", make("p"), make("p", "muted")), (li, x) => {
    li.className = x.none ? "none" : "";
    put(li.children[0], x.none ? w("f_no_external") : `${x.venue}: ${Number(x.amount) > 0 ? "+" : ""}${exact(x.amount)} ${x.asset}`, ["healed", "booked"].includes(x.state) || x.none ? "" : "warn");
    put(li.children[1], x.none ? "" : `${x.state} · ${x.diff_class} · ${duration((nowNs - x.since_ns) / 1e9)} · ${x.text}`);
  });
}

function statement() {
  const items = (lines?.lines ?? []).map((x) => ({
    key: `${x.seq} ${x.kind} ${x.asset}`,
    cls: x.booked ? "" : "unbooked",
    cells: [
      [x.time.slice(0, 19).replace("T", " "), "num", x.time], [x.venue], [w(`f_k_${x.kind}`), "", x.text], [instrument(x.instrument_id)[0], "", x.instrument_id],
      [x.strategies, "clip", x.strategies], [x.qty === null ? "" : `${x.side ? `${w(x.side)} ` : ""}${exact(x.qty)}`, "r num"], [x.px === null ? "" : exact(x.px), "r num"],
      [exact(x.amount), `r num ${signed(x.amount)}`], [x.asset], [Number(x.realized) ? exact(x.realized) : "", `r num ${signed(x.realized)}`],
      [exact(x.balance), "r num"], [x.seq, "r num muted", x.ref],
    ],
  }));
  rows($("statement"), items, 12);
  if (lines) put($("statement-note"), `${w("shown")} ${lines.lines.length} / ${lines.found}${lines.dropped ? ` · ${w("f_dropped")}: ${lines.dropped}` : ""}`);
}

function header() {
  const stale = !live.connected || performance.now() - live.frameAt > SILENT_MS;
  const mode = live.control && !stale ? live.control.global_mode : "unknown";
  put($("mode"), w(`mode_${mode}`), `pill lvl-${mode}`);
  $("synthetic").hidden = !live.control?.synthetic;
}

// Wiring.

document.addEventListener("click", (event) => {
  const el = event.target.closest("[data-by]");
  if (!el) return;
  by = el.dataset.by;
  ask();
});
$("range").addEventListener("change", ask);
$("range").addEventListener("submit", (event) => event.preventDefault());
$("lang").addEventListener("click", () => {
  toggleLanguage();
  chart.forget();
  header();
  draw();
});
window.addEventListener("resize", draw);

label();
header();
ask();
setInterval(header, 250);
setInterval(() => document.visibilityState === "visible" && ask(), EVERY_MS);
