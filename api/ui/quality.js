// The Data Quality page: what the desk's market data is worth now, and the allow-list.

import { $, exact, make, put } from "/ui/dom.js";
import * as judged from "/ui/quality_contracts.js";
import * as panels from "/ui/quality_panels.js";
import { follow } from "/ui/stream.js";
import { label, toggleLanguage, w } from "/ui/words.js";

const TOPICS = ["quality", "feed", "quorum", "clock", "registry", "derivatives", "liquidations", "flow", "liquidity", "opportunity", "contracts", "universe", "meta"];
const SILENT_MS = 5000;
const live = follow(TOPICS, {});
const facts = live.facts;

function draw() {
  const now = performance.now();
  const nowNs = (Date.now() + live.clockOffsetMs) * 1e6;
  header(now);
  if (live.dirty || document.visibilityState === "visible") {
    panels.symbols(facts, now);
    panels.feeds(facts, now);
    panels.gates(facts, nowNs);
    panels.derivatives(facts, nowNs);
    judged.opportunity(facts, now);
    judged.contracts(facts, nowNs);
  }
  if (live.dirty) {
    panels.venues(facts);
    panels.regions(facts, now);
    panels.flow(facts);
    panels.liquidations(facts, nowNs);
    panels.universe(facts);
    live.dirty = false;
  }
}

function header(now) {
  const stale = !live.connected || now - live.frameAt > SILENT_MS;
  $("banner").hidden = !stale;
  if (stale) put($("banner"), w("disconnected"), "banner disconnected");
  document.body.classList.toggle("stale", stale);
  const mode = live.control && !stale ? live.control.global_mode : "unknown";
  put($("mode"), w(`mode_${mode}`), `pill lvl-${mode}`);
  const shown = [...facts.quality.values(), ...facts.feed.values()];
  $("synthetic").hidden = !(live.control?.synthetic || shown.some(({ body }) => body.synthetic));
  panels.totals(facts, now);
}

// The allow-list.

let pending = null;

/** Ask what a step needs, then take it. `entry` is empty for a draft. */
function openStep(action, id, entry) {
  pending = { action, id, hash: entry?.facts_hash ?? "" };
  put($("step-title"), w(`u_${action}`));
  put($("step-id"), id);
  put($("step-send"), w(`u_${action}`), `act ${action === "approve" ? "resume" : action === "delete" || action === "reject" ? "hold" : ""}`);
  const rules = entry?.instrument;
  const shown = rules ? [["q_tick", exact(rules.tick_size)], ["q_lot", exact(rules.lot_size)], ["q_min_notional", exact(rules.min_notional)], ["q_version", rules.rules_version]] : [];
  $("step-facts").replaceChildren(...shown.map(([key, value]) => make("div", "", make("dt", "", w(key)), make("dd", "num", value))));
  const names = action === "submit" ? entry?.namesakes ?? [] : [];
  $("step-names").hidden = !names.length;
  $("step-boxes").replaceChildren(...names.map((name) => {
    const box = make("input");
    box.type = "checkbox";
    box.value = name;
    return make("label", "", box, name);
  }));
  $("step-operator").value = localStorage.getItem("operator") ?? "";
  $("step-cause").value = "";
  $("step-cause").required = action === "delete" || action === "reject";
  $("step-cause").minLength = $("step-cause").required ? 3 : 0;
  $("step-error").hidden = true;
  $("step").showModal();
}

async function takeStep() {
  const { action, id, hash } = pending;
  const body = { action, instrument_id: id, operator: $("step-operator").value, cause: $("step-cause").value };
  if (action === "approve") body.facts_hash = hash;
  if (action === "submit") body.confirmed_namesakes = [...$("step-boxes").querySelectorAll("input:checked")].map((box) => box.value);
  localStorage.setItem("operator", body.operator);
  $("step-send").disabled = true;
  try {
    const answer = await fetch("/api/ui/universe", {
      method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const said = await answer.json();
    if (said.done) {
      $("step").close();
      toast(`${w("sent")}: ${said.text}`);
    } else refuse(`${said.error.message}. ${said.error.mend}`);
  } catch (error) {
    refuse(error.message);
  } finally {
    $("step-send").disabled = false;
  }
}

function refuse(text) {
  $("step-error").hidden = false;
  put($("step-error"), `${w("failed")}: ${text}`);
}

let toastTimer = 0;

function toast(text) {
  const el = $("toast");
  el.hidden = false;
  put(el, text, "toast ok");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    el.hidden = true;
  }, 8000);
}

// Wiring.

document.addEventListener("click", (event) => {
  const el = event.target.closest("button");
  if (!el) return;
  if (el.dataset.step) openStep(el.dataset.step, el.dataset.id, panels.entryOf(facts, el.dataset.id));
  else if ("close" in el.dataset) el.closest("dialog").close();
});
$("add").addEventListener("submit", (event) => {
  event.preventDefault();
  openStep("draft", $("add-id").value.trim(), null);
});
$("step-form").addEventListener("submit", (event) => {
  event.preventDefault();
  takeStep();
});
$("lang").addEventListener("click", () => {
  toggleLanguage();
  live.dirty = true;
  panels.forget();
  draw();
});

label();
draw();
setInterval(draw, 250);
