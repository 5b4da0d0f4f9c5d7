/** The calls of today, with those that nobody answered. @module */
import { get } from "../core/api.js";
import { duration, shortClock, t } from "../core/i18n.js";
import { Act } from "../ui/parts.js";
import { html, signal, useEffect } from "../vendor.js";
import { dialable } from "./links.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {import("../core/live.js").Live} Live */

const STORED = "agentbridge.missed_seen";
/** The history is written a moment after the call's end. */
const WRITTEN_MS = 1500;
const SHOWN = 50;

/** @type {import("../vendor.js").Signal<Data[]>} */
const today = signal([]);
/** Until when missed calls were looked at. */
const seen = signal(Number(localStorage.getItem(STORED) ?? 0));

async function load() {
  try {
    today.value = (await get("/me/calls")).today ?? [];
  } catch {
    // what was known stays
  }
}

function look() {
  seen.value = Date.now();
  localStorage.setItem(STORED, String(seen.value));
}

/** @param {{live: Live, dial: ((number: string) => Promise<unknown>) | null}} props `dial`: null where this page has no phone */
export function History({ live, dial }) {
  const running = live.of("call").keys.value.length;
  useEffect(() => {
    void load();
    const timer = setTimeout(load, WRITTEN_MS);
    return () => clearTimeout(timer);
  }, [running]);
  const calls = today.value;
  const missed = calls.filter((call) => call.missed && Date.parse(call.ended_at) > seen.value).length;
  return html`<section class="panel"><header><h2>${t("history.title")}</h2>
      ${missed > 0 && html`<span class="state is-unreachable" role="status">${t("history.missed", { count: missed })}</span>
        <button type="button" class="quiet" onClick=${look}>${t("history.seen")}</button>`}</header>
    ${calls.length === 0 && html`<p class="empty">${t("history.empty")}</p>`}
    <div class="lines">${calls.slice(0, SHOWN).map((call) => {
      const number = dialable(call.number ?? "");
      const who = call.name || call.number;
      const how = call.missed ? "history.was_missed" : call.direction === "in" ? "history.came" : "history.went";
      return html`<div key=${call.id}><span class="num dim">${shortClock(call.rang_at)}</span>
        <span class=${call.missed ? "wrong" : "dim"}>${t(how)}</span><b dir=${call.name ? "auto" : "ltr"}>${who}</b>
        ${call.queue && html`<span class="dim">${call.queue}</span>`}<span class="grow"></span>
        ${call.answered_at && html`<span class="num dim">${duration((Date.parse(call.ended_at) - Date.parse(call.answered_at)) / 1000)}</span>`}
        ${dial && number && number === call.number && !number.includes("*") && html`<${Act} class="quiet" label=${`${t("history.call_back")} ${who}`} act=${() => dial(number)}>${t("history.call_back")}<//>`}</div>`;
    })}</div></section>`;
}
