// Two panels of the Data Quality page: what there is to trade on, and which data contracts were broken.

import { $, amount, duration, num, put, rows } from "/ui/dom.js";
import { named, short, SILENT_MS, since, sorted, state } from "/ui/quality_panels.js";
import { w } from "/ui/words.js";

const BREACHES_SHOWN = 100;

export function opportunity(facts, now) {
  rows($("opportunity"), sorted(facts.opportunity).map(([id, fact]) => {
    const { body } = fact;
    const silent = since(fact, now) >= SILENT_MS;
    const trouble = [body.dry ? w("q_dry") : "", body.toxic ? w("q_toxic") : ""].filter(Boolean).join(", ");
    const opens = [[body.dry, body.dry_since_ns], [body.toxic, body.toxic_since_ns]].filter(([is, ns]) => is && ns).map(([, ns]) => Number(ns));
    const held = opens.length ? `${w("since")} ${duration((Number(body.ts_ns) - Math.min(...opens)) / 1e9)}` : "";
    return {
      key: id,
      cells: [
        (td) => named(td, id),
        (td) => state(td, silent ? "unknown" : trouble ? "suspect" : "synced", silent ? w("q_silent") : trouble || w("q_calm"), held),
        [num(body.opps_per_sec, 2), `r num ${Number(body.opps_per_sec) ? "" : "warn"}`, `${num(body.opportunities, 0)} · ≤ ${body.spread_bps_max} bps`],
        [body.spread_bps === null ? "–" : `${num(body.spread_bps, 2)} bps`, `r num ${body.spread_bps > body.spread_bps_max ? "warn" : "muted"}`],
        [amount(body.depth_qty), "r num muted", `${num(body.depth_lots, 0)} ${w("q_lots")}`],
        [num(body.vpin, 2), `r num ${body.toxic ? "warn" : "muted"}`, `${w("q_toxic")} ≥ ${body.toxic_vpin}`],
      ],
    };
  }), 6);
}

export function contracts(facts, nowNs) {
  const all = sorted(facts.contracts);
  const broken = all.flatMap(([id, { body }]) => (body.breaches ?? []).map((one) => ({ ...one, id })));
  broken.sort((a, b) => Number(b.newest_ns) - Number(a.newest_ns));
  rows($("contracts"), broken.slice(0, BREACHES_SHOWN).map((one) => ({
    key: `${one.id}|${one.contract}|${one.rule}|${one.code}`,
    cells: [
      (td) => named(td, one.id), [one.contract], [one.rule, "why", one.code], [short(one.count), "r num warn"], [one.text, "why warn", one.text],
      [duration((nowNs - Number(one.newest_ns)) / 1e9), "r num muted"],
    ],
  })), 6, all.length ? w("q_kept") : undefined);
  const sum = (name) => all.reduce((total, [, { body }]) => total + Number(body[name] ?? 0), 0);
  put($("contracts-note"), all.length ? `${w("q_judged")} ${short(sum("rows"))} · ${w("q_broken")} ${short(sum("bad_rows"))}` : "", sum("bad_rows") ? "warn" : "");
}
