/** The pieces that every page is made of. @module */
import { Problem } from "../core/api.js";
import { duration, t } from "../core/i18n.js";
import { html, signal, useEffect, useId, useRef, useSignal } from "../vendor.js";

/** @typedef {import("../vendor.js").ComponentChildren} Children */

/** One shape for each state, so that it is told apart without its colour. @type {Record<string, string>} */
const SHAPES = {
  ready: "M5 0a5 5 0 1 1 0 10A5 5 0 0 1 5 0z",
  talking: "M0 0h10v7H4L1 10V7H0z",
  held: "M0 0h10v7H4L1 10V7H0z",
  ringing: "M5 0l5 5-5 5-5-5z",
  wrapup: "M0 0h10L5 5l5 5H0l5-5z",
  paused: "M1 0h3v10H1zM6 0h3v10H6z",
  unreachable: "M5 0l5 10H0z",
  unknown: "M5 0l5 10H0z",
  offline: "M5 0a5 5 0 1 1 0 10A5 5 0 0 1 5 0zm0 2a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
};

/**
 * A state by colour, shape and word. `word` replaces the state's own, e.g. the reason of a pause.
 * @param {{state: string, word?: string, large?: boolean}} props
 */
export function State({ state, word, large }) {
  const known = state in SHAPES ? state : "unknown";
  return html`<span class=${`state is-${known}${large ? " large" : ""}`}>
    <svg viewBox="0 0 10 10" aria-hidden="true"><path fill-rule="evenodd" d=${SHAPES[known]} /></svg>
    <span>${word || t(`state.${known}`)}</span>
  </span>`;
}

/** @type {Set<() => void>} */
const ticking = new Set();
/** Clocks that are set in one task. */
const TICKS_AT_ONCE = 100;
/** @param {(() => void)[]} ticks */
function setClocks(ticks) {
  for (const tick of ticks.slice(0, TICKS_AT_ONCE)) tick();
  if (ticks.length > TICKS_AT_ONCE) setTimeout(() => setClocks(ticks.slice(TICKS_AT_ONCE)), 0);
}
setInterval(() => document.visibilityState === "visible" && setClocks([...ticking]), 1000);

/**
 * How long something goes on, counted by the server's clock. Writes its text itself: a thousand of them render nothing.
 * @param {{since: string | number | null | undefined, now?: () => number}} props
 */
export function Since({ since, now = Date.now }) {
  const span = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const began = since ? new Date(since).getTime() : NaN;
    const tick = () => {
      const text = Number.isNaN(began) ? "" : duration((now() - began) / 1000);
      if (span.current && span.current.textContent !== text) span.current.textContent = text;
    };
    tick();
    ticking.add(tick);
    return () => void ticking.delete(tick);
  }, [since]);
  return html`<span class="num" ref=${span}></span>`;
}

/** @param {{kind?: "" | "alarm" | "good", children?: Children, role?: string}} props */
export function Notice({ kind = "", children, role }) {
  return html`<div class=${`notice ${kind}`} role=${role}>
    <svg viewBox="0 0 10 10" aria-hidden="true"><path d=${kind === "good" ? SHAPES.ready : SHAPES.unreachable} /></svg>
    <div>${children}</div>
  </div>`;
}

/** There is a newer version of the page: offered, but not in a call. @param {{inCall?: boolean}} props */
export function Outdated({ inCall }) {
  return html`<${Notice} role="status">${t("update.text")} ${inCall
    ? t("update.after_call")
    : html`<button type="button" onClick=${() => location.reload()}>${t("update.reload")}</button>`}<//>`;
}

/** The words for an error: field, rule and way out. @param {unknown} error @returns {string} */
export function words(error) {
  if (!(error instanceof Problem)) return error instanceof Error ? error.message : String(error);
  if (error.status === 0) return t("error.unreachable");
  if (error.status === 429) return t("error.too_many", { seconds: error.body.retry_after ?? "" });
  if (error.status === 503 && error.body.retry_after) return t("error.unavailable"); // the database is away, which passes
  return error.message;
}

/**
 * A button that answers where it was pressed: it can't be pressed twice, and what was refused stands beside it.
 * @param {{act: () => Promise<unknown> | unknown, class?: string, children?: Children, disabled?: boolean, why?: string,
 *   label?: string, type?: string}} props `why`: the reason why it is disabled
 */
export function Act({ act, children, disabled, why, label, ...rest }) {
  const busy = useSignal(false);
  const wrong = useSignal("");
  const id = useId();
  const press = async () => {
    if (busy.value || (disabled && why)) return;
    busy.value = true;
    wrong.value = "";
    try {
      await act();
    } catch (error) {
      wrong.value = words(error);
    } finally {
      busy.value = false;
    }
  };
  // a button with a reason can be reached by keyboard, so that its reason is heard too
  const told = wrong.value || (disabled && why) || "";
  return html`<span class="row tight wrap">
    <button type="button" ...${rest} onClick=${press} disabled=${disabled && !why} aria-disabled=${disabled && why ? true : undefined}
      title=${disabled ? why : undefined} aria-label=${label} aria-busy=${busy.value} aria-describedby=${told ? id : undefined}>${children}</button>
    ${told && html`<span id=${id} class=${wrong.value ? "wrong" : "hidden-text"} role=${wrong.value ? "alert" : undefined}>${told}</span>`}
  </span>`;
}

/** What had the focus last. @type {Element | null} */
let focused = null;
addEventListener("focusin", (event) => (focused = event.target instanceof Element ? event.target : null));

/**
 * Gives the focus to this element when `now` changes and took what had it off the page, e.g. a button that is another one
 * now: without a mouse a reader would have to find the place again.
 * @param {string} selector @param {unknown} now
 */
export function useFocusBack(selector, now) {
  const before = useRef(now);
  useEffect(() => {
    if (before.current === now) return;
    before.current = now;
    if (document.activeElement !== document.body || !focused || focused.isConnected) return;
    /** @type {HTMLElement | null} */ (document.querySelector(selector))?.focus();
  }, [now]);
}

/**
 * A labelled input with its error beside it.
 * @param {{label: string, error?: string, hint?: string, children: (id: string, described: string | undefined) => Children}} props
 */
export function Field({ label, error, hint, children }) {
  const id = useId();
  const described = error || hint ? `${id}-text` : undefined;
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${children(id, described)}
    ${(error || hint) && html`<span id=${described} class=${error ? "wrong" : "small faint"}>${error || hint}</span>`}
  </div>`;
}

/**
 * A modal dialog by the browser's own element: focus stays in it, Escape closes it.
 * @param {{title: string, onClose: () => void, children?: Children, wide?: boolean}} props
 */
export function Dialog({ title, onClose, children, wide }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useId();
  useEffect(() => {
    element.current?.showModal();
  }, []);
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-labelledby=${id} onClose=${onClose}>
    <div class="stack"><h1 id=${id}>${title}</h1>${children}</div>
  </dialog>`;
}

/** Whether the page shows what goes on now. @param {{live: import("../core/live.js").Live}} props */
export function Connection({ live }) {
  const connection = live.connection.value;
  const well = connection === "live";
  return html`<span class=${`state is-${well ? "ready" : "unknown"}`} role="status">
    <svg viewBox="0 0 10 10" aria-hidden="true"><path d=${SHAPES[well ? "ready" : "unknown"]} /></svg>
    ${t(`live.${connection}`)}</span>`;
}

/** @typedef {{id: number, text: string, kind: "" | "alarm" | "good"}} Message */
const messages = signal(/** @type {Message[]} */ ([]));
let lastMessage = 0;

/** Says something that happened without the reader's doing; it goes away by itself. @param {string} text @param {"" | "alarm" | "good"} [kind] */
export function say(text, kind = "") {
  const id = ++lastMessage;
  messages.value = [...messages.value.slice(-3), { id, text, kind }];
  setTimeout(() => (messages.value = messages.value.filter((message) => message.id !== id)), 8000);
}

export function Messages() {
  return html`<div class="messages" role="status">
    ${messages.value.map(({ id, text, kind }) => html`<${Notice} key=${id} kind=${kind}>${text}<//>`)}
  </div>`;
}
