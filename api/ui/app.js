// The live page: takes frames in, keeps the newest facts, draws four times a second, sends commands.

import * as chart from "/ui/chart.js";
import { $, duration, make, millis, num, put, signed } from "/ui/dom.js";
import * as panels from "/ui/panels.js";
import { follow } from "/ui/stream.js";
import { label, lang, toggleLanguage, w } from "/ui/words.js";

const LIMITS = { order: 300, fill: 200, event: 200 };
const TOPICS = ["book", "venue", "brakes", "tree", "position", "pnl", "order", "fill", "latency", "strategy", "event", "recon"];
const SILENT_MS = 3000;
const live = follow(TOPICS, LIMITS, { onFrame: sample, onOpen: loadHistory });
const facts = live.facts;

function sample(frame) {
  const pnl = frame.facts.pnl?.desk;
  if (pnl) chart.add(frame.ts_ns, pnl.total_usd, pnl.by_strategy);
}

async function loadHistory() {
  try {
    const answer = await fetch("/api/ui/pnl");
    chart.load((await answer.json()).history);
    chart.invalidate();
    live.dirty = true;
  } catch {
    // The stream's own samples draw the chart until the next connection brings the history.
  }
}

// Drawing.

function draw() {
  const now = performance.now();
  const nowNs = (Date.now() + live.clockOffsetMs) * 1e6;
  header(now);
  if (live.dirty || document.visibilityState === "visible") {
    panels.books(facts, now);
    panels.tree(facts, now);
    panels.brakes(live.control, nowNs);
  }
  if (live.dirty) {
    panels.positions(facts);
    panels.pnlFacts(facts.pnl.get("desk")?.body, facts.recon.get("status")?.body);
    panels.orders(facts);
    panels.fills(facts);
    panels.latency(facts);
    panels.events(facts);
    live.dirty = false;
  }
  chart.draw();
}

function header(now) {
  const pnl = facts.pnl.get("desk")?.body;
  const feedAge = live.control?.permit?.feed_age_ms;
  const silent = live.control !== null && (feedAge === null || feedAge === undefined || feedAge > SILENT_MS);
  const stale = !live.connected || now - live.frameAt > SILENT_MS;
  const banner = stale && live.frameAt > -Infinity ? "disconnected" : stale ? "disconnected" : silent ? "silent" : "";
  $("banner").hidden = !banner;
  if (banner) put($("banner"), w(banner), `banner ${banner}`);
  document.body.classList.toggle("stale", Boolean(banner));
  // What cannot be vouched for is not shown as running.
  const mode = live.control && !stale ? live.control.global_mode : "unknown";
  put($("mode"), w(`mode_${mode}`), `pill big lvl-${mode}`);
  const permit = live.control?.permit;
  const valid = Boolean(permit?.valid) && !stale;
  const heard = valid ? `${w("permit_seen")} ${millis(feedAge)}` : "";
  put($("permit"), valid ? `${w("permit")} #${permit.epoch}` : w("no_permit"), `pill permit ${valid ? "lvl-run" : "lvl-hold"}`, heard);
  const status = stale ? "unknown" : live.control?.readiness?.status ?? "unknown";
  const reasons = live.control?.readiness?.reasons?.length ?? 0;
  put($("readiness"), `${w(`ready_${status}`)}${reasons ? ` · ${reasons}` : ""}`, `pill as-button rd-${status}`);
  $("synthetic").hidden = !live.control?.synthetic;
  put($("equity"), num(pnl?.equity_usd, 2));
  put($("day"), num(pnl?.day_usd, 2, true), `num ${signed(pnl?.day_usd)}`);
  // Who fills the orders, and why: said where the profile stands, because a profile alone is only a wish.
  const fills = Object.entries(live.control?.orders ?? {}).filter(([, told]) => told.backend);
  const backends = [...new Set(fills.map(([, told]) => told.backend))].sort().join(", ");
  const because = fills.map(([venue, told]) => `${venue}: ${told.backend}, ${told.reason}`).join("\n");
  const shown = [live.control?.profile || "–", backends, live.control?.version ?? ""].filter(Boolean).join(" · ");
  put($("profile"), live.control ? shown : "–", "", because);
  put($("uptime"), live.control ? duration(Math.max(live.control.uptime_s, ...[...facts.tree.values()].map(({ body }) => Number(body.uptime_s ?? 0)))) : "–");
  put($("feed"), millis(stale ? now - live.frameAt : feedAge), `num ${banner ? "neg" : ""}`);
}

// Commands.

let pending = null;

function scopes() {
  const found = ["global"];
  for (const venue of facts.venue.keys()) found.push(`venue:${venue}`);
  for (const id of facts.book.keys()) found.push(`symbol:${id}`);
  for (const id of facts.strategy.keys()) found.push(`strategy:${id}`);
  for (const brake of live.control?.brakes ?? []) found.push(brake.scope);
  return [...new Set(found)];
}

function openCommand(action, scope) {
  pending = action;
  put($("command-title"), w(`t_${action}`));
  put($("command-text"), w(`x_${action}`));
  $("command-scope").replaceChildren(...scopes().map((name) => new Option(name === "global" ? `global (${w("all_desk")})` : name, name)));
  $("command-scope").value = scope ?? "global";
  $("command-cause").value = w(`c_${action}`) === `c_${action}` ? "" : w(`c_${action}`);
  put($("command-send"), action.toUpperCase(), `act ${action}`);
  $("command").showModal();
  $("command-cause").focus();
  $("command-cause").select();
}

async function sendCommand() {
  const body = { action: pending, scope: $("command-scope").value, cause: $("command-cause").value };
  $("command-send").disabled = true;
  try {
    const answer = await fetch("/api/control", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const said = await answer.json();
    if (said.done) toast(`${w("sent")}: ${said.text}`, "ok");
    else toast(`${w("failed")}: ${said.error.message}. ${said.error.mend}`, "bad");
    $("command").close();
  } catch (error) {
    toast(`${w("failed")}: ${error.message}. propdesk hold`, "bad");
  } finally {
    $("command-send").disabled = false;
  }
}

let toastTimer = 0;

function toast(text, cls) {
  const el = $("toast");
  el.hidden = false;
  put(el, text, `toast ${cls}`);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    el.hidden = true;
  }, 8000);
}

// Stories.

function table(entries) {
  const body = make("tbody");
  for (const [key, value] of entries) {
    let words = value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "–");
    if (key.endsWith("_ns") && Number(value) > 1e18) words = new Date(Number(value) / 1e6).toISOString();
    body.append(make("tr", "", make("td", "muted", key), make("td", "wrap num", words)));
  }
  return make("table", "story", body);
}

function render(value, title, depth = 0) {
  const box = make("section", "part");
  if (title) box.append(make("h3", "", title.replaceAll("_", " ")));
  if (Array.isArray(value)) {
    value.forEach((item, i) => box.append(item !== null && typeof item === "object" ? render(item, `${i + 1}`, depth + 1) : make("p", "wrap", String(item))));
    return box;
  }
  const plain = Object.entries(value).filter(([, v]) => v === null || typeof v !== "object" || depth > 3);
  if (plain.length) box.append(table(plain));
  for (const [key, v] of Object.entries(value)) {
    if (v !== null && typeof v === "object" && depth <= 3) box.append(render(v, key, depth + 1));
  }
  return box;
}

// The journal's story from tick to ledger, one row a step, with the time since the step before.
function timeline(said) {
  const { steps, projection, ...head } = said.story;
  const body = make("tbody");
  let before = null;
  for (const step of steps) {
    const since = before === null || step.ts_ns < before ? "" : `+${took((step.ts_ns - before) / 1e6)}`;
    before = step.ts_ns;
    const row = step.seq == null ? "" : `#${step.seq}`;
    const told = make("td", "wrap", ...clauses(step.text));
    body.append(make("tr", "", make("td", "r num muted", since), make("td", "", make("b", "", step.name)), told, make("td", "r num muted", row)));
  }
  const parts = [table(Object.entries(head)), make("table", "story steps", body)];
  if (projection) parts.push(render(projection, w("from_projection")));
  return parts;
}

// A long step tells several things, each on a line of its own.
function clauses(text) {
  return text.length < 90 ? [text] : text.split("; ").map((part) => make("p", "", part));
}

function took(ms) {
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

async function openStory(id) {
  put($("story-title"), `${w("story_of")} ${id}`);
  $("story-body").replaceChildren(make("p", "muted", w("asking")));
  $("story").showModal();
  try {
    const answer = await fetch(`/api/ui/why?cl_ord_id=${encodeURIComponent(id)}`);
    const said = await answer.json();
    if (said.error) {
      $("story-body").replaceChildren(make("p", "neg", said.error.message), make("p", "muted", said.error.mend));
      return;
    }
    const from = make("p", "muted", w(said.source === "journal" ? "from_journal" : "from_projection"));
    const told = Array.isArray(said.story?.steps) ? timeline(said) : [make("pre", "wrap", said.text), render(said.story, "")];
    const trace = make("a", "", w("trace"));
    trace.href = `/api/ui/ops/trace/${encodeURIComponent(id)}`;
    $("story-body").replaceChildren(from, trace, ...told);
  } catch (error) {
    $("story-body").replaceChildren(make("p", "neg", error.message));
  }
}

function openReadiness() {
  put($("story-title"), w("readiness"));
  const reasons = live.control?.readiness?.reasons ?? [];
  const items = reasons.map((reason) => make("section", `reason ${reason.fatal ? "bad" : "warn"}`,
    make("b", "", reason.code), make("p", "wrap", reason.detail), make("p", "muted", lang() === "ru" ? reason.advice_ru : reason.advice_en)));
  $("story-body").replaceChildren(...(items.length ? items : [make("p", "", w("ready_none"))]));
  $("story").showModal();
}

// Wiring.

document.addEventListener("click", (event) => {
  const el = event.target.closest("button");
  if (!el) return;
  if (el.dataset.action) openCommand(el.dataset.action, el.dataset.scope);
  else if (el.dataset.why) openStory(el.dataset.why);
  else if ("close" in el.dataset) el.closest("dialog").close();
});
$("command-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sendCommand();
});
$("readiness").addEventListener("click", openReadiness);
$("lang").addEventListener("click", () => {
  toggleLanguage();
  chart.invalidate();
  live.dirty = true;
  draw();
});
new ResizeObserver(() => chart.draw()).observe($("chart"));

label();
draw();
setInterval(draw, 250);
