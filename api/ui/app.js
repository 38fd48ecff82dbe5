// The live page: takes frames in, keeps the newest facts, draws four times a second, sends commands.

import * as chart from "/ui/chart.js";
import { $, duration, make, millis, num, put, signed } from "/ui/dom.js";
import * as panels from "/ui/panels.js";
import { label, lang, toggleLanguage, w } from "/ui/words.js";

const LIMITS = { order: 300, fill: 200, event: 200 };
const TOPICS = ["book", "venue", "brakes", "tree", "position", "pnl", "order", "fill", "latency", "strategy", "event"];
const SILENT_MS = 3000;
const facts = Object.fromEntries(TOPICS.map((topic) => [topic, new Map()]));
let control = null;
let frameAt = -Infinity;
let connected = false;
let clockOffsetMs = 0;
let dirty = true;

// Taking frames in.

function take(text) {
  const frame = JSON.parse(text);
  const now = performance.now();
  if (frame.type === "snapshot") for (const map of Object.values(facts)) map.clear();
  for (const [topic, changed] of Object.entries(frame.facts)) {
    const map = facts[topic];
    if (!map) continue;
    for (const [key, body] of Object.entries(changed)) {
      const ring = LIMITS[topic];
      if (ring) map.delete(key);
      map.set(key, { body, at: now, ts: body.ts_ns ?? body.ts_init_ns ?? body.ts_event_ns ?? frame.ts_ns });
      if (ring && map.size > ring) map.delete(map.keys().next().value);
    }
  }
  control = frame.control ?? control;
  clockOffsetMs = Number(frame.ts_ns) / 1e6 - Date.now();
  frameAt = now;
  const pnl = frame.facts.pnl?.desk;
  if (pnl) chart.add(frame.ts_ns, pnl.total_usd, pnl.by_strategy);
  dirty = true;
}

let failures = 0;

/** WebSocket first; after two refusals SSE, which some proxies pass where they do not pass an upgrade. */
function connect() {
  const opened = async () => {
    failures = 0;
    connected = true;
    dirty = true;
    await loadHistory();
  };
  const lost = () => {
    failures += 1;
    connected = false;
    dirty = true;
    setTimeout(connect, Math.min(5000, 500 * 2 ** Math.min(failures, 4)));
  };
  if (failures % 3 === 2) {
    const source = new EventSource("/api/ui/stream-sse");
    source.onopen = opened;
    source.addEventListener("update", (event) => take(event.data));
    source.onerror = () => {
      source.close();
      lost();
    };
    return;
  }
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/api/ui/stream`);
  socket.onopen = opened;
  socket.onmessage = (event) => take(event.data);
  socket.onclose = lost;
}

async function loadHistory() {
  try {
    const answer = await fetch("/api/ui/pnl");
    chart.load((await answer.json()).history);
    chart.invalidate();
    dirty = true;
  } catch {
    // The stream's own samples draw the chart until the next connection brings the history.
  }
}

// Drawing.

function draw() {
  const now = performance.now();
  const nowNs = (Date.now() + clockOffsetMs) * 1e6;
  header(now);
  if (dirty || document.visibilityState === "visible") {
    panels.books(facts, now);
    panels.tree(facts, now);
    panels.brakes(control, nowNs);
  }
  if (dirty) {
    panels.positions(facts);
    panels.pnlFacts(facts.pnl.get("desk")?.body);
    panels.orders(facts);
    panels.fills(facts);
    panels.latency(facts);
    panels.events(facts);
    dirty = false;
  }
  chart.draw();
}

function header(now) {
  const pnl = facts.pnl.get("desk")?.body;
  const feedAge = control?.permit?.feed_age_ms;
  const silent = control !== null && (feedAge === null || feedAge === undefined || feedAge > SILENT_MS);
  const stale = !connected || now - frameAt > SILENT_MS;
  const banner = stale && frameAt > -Infinity ? "disconnected" : stale ? "disconnected" : silent ? "silent" : "";
  $("banner").hidden = !banner;
  if (banner) put($("banner"), w(banner), `banner ${banner}`);
  document.body.classList.toggle("stale", Boolean(banner));
  // What cannot be vouched for is not shown as running.
  const mode = control && !stale ? control.global_mode : "unknown";
  put($("mode"), w(`mode_${mode}`), `pill big lvl-${mode}`);
  const permit = control?.permit;
  const valid = Boolean(permit?.valid) && !stale;
  const heard = valid ? `${w("permit_seen")} ${millis(feedAge)}` : "";
  put($("permit"), valid ? `${w("permit")} #${permit.epoch}` : w("no_permit"), `pill permit ${valid ? "lvl-run" : "lvl-hold"}`, heard);
  const status = stale ? "unknown" : control?.readiness?.status ?? "unknown";
  const reasons = control?.readiness?.reasons?.length ?? 0;
  put($("readiness"), `${w(`ready_${status}`)}${reasons ? ` · ${reasons}` : ""}`, `pill as-button rd-${status}`);
  $("synthetic").hidden = !control?.synthetic;
  put($("equity"), num(pnl?.equity_usd, 2));
  put($("day"), num(pnl?.day_usd, 2, true), `num ${signed(pnl?.day_usd)}`);
  put($("profile"), control ? `${control.profile || "–"} · ${control.version ?? ""}` : "–");
  put($("uptime"), control ? duration(Math.max(control.uptime_s, ...[...facts.tree.values()].map(({ body }) => Number(body.uptime_s ?? 0)))) : "–");
  put($("feed"), millis(stale ? now - frameAt : feedAge), `num ${banner ? "neg" : ""}`);
}

// Commands.

let pending = null;

function scopes() {
  const found = ["global"];
  for (const venue of facts.venue.keys()) found.push(`venue:${venue}`);
  for (const id of facts.book.keys()) found.push(`symbol:${id}`);
  for (const id of facts.strategy.keys()) found.push(`strategy:${id}`);
  for (const brake of control?.brakes ?? []) found.push(brake.scope);
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
    $("story-body").replaceChildren(from, ...told);
  } catch (error) {
    $("story-body").replaceChildren(make("p", "neg", error.message));
  }
}

function openReadiness() {
  put($("story-title"), w("readiness"));
  const reasons = control?.readiness?.reasons ?? [];
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
  dirty = true;
  draw();
});
new ResizeObserver(() => chart.draw()).observe($("chart"));

label();
connect();
draw();
setInterval(draw, 250);
