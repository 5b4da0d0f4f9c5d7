/** The client's log (A18): kept while it is switched on for this agent, with no caller's number or name in it. @module */
import { post, Problem } from "../core/api.js";

/** @typedef {"error" | "warning" | "info" | "debug"} Level */

const LEVELS = /** @type {const} */ (["error", "warning", "info", "debug"]);
/** Lines that wait at most; of more, the oldest go. */
const KEPT = 400;
const SEND_EVERY_MS = 4000;

/** @type {string[]} */
let lines = [];
let loudest = -1;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {boolean} on @param {Level} level each includes those before it */
export function switchLog(on, level) {
  loudest = on ? LEVELS.indexOf(level) : -1;
  if (!on) lines = [];
}

/** @param {Level} level @param {string} event what happened, such as `phone.registered` @param {Record<string, unknown>} [details] */
export function log(level, event, details = {}) {
  if (LEVELS.indexOf(level) > loudest) return;
  lines = [...lines.slice(1 - KEPT), JSON.stringify({ at: new Date().toISOString(), level, event, ...details })];
  timer ??= setTimeout(() => void send(), SEND_EVERY_MS);
}

async function send() {
  const sent = lines.splice(0);
  timer = undefined;
  if (sent.length === 0) return;
  try {
    await post("/me/client-log", sent.join("\n"), { type: "application/x-ndjson" });
  } catch (error) {
    // what the server did not take for now is sent later; what it refuses is gone
    if (error instanceof Problem && ![0, 429, 503].includes(error.status)) return;
    lines = [...sent, ...lines].slice(-KEPT);
    timer ??= setTimeout(() => void send(), 2 * SEND_EVERY_MS);
  }
}

addEventListener("error", (event) => log("error", "page.error", { text: String(event.message).slice(0, 500) }));
addEventListener("unhandledrejection", (event) => log("error", "page.rejection", { text: String(event.reason).slice(0, 500) }));
