/** Calls in the bar: what rings, what is talked, transfers, the keypad and the recording. @module */
import { get, post, put } from "../core/api.js";
import { t } from "../core/i18n.js";
import { Act, Field, Notice, say, Since, State } from "../ui/parts.js";
import { html, useEffect, useRef, useSignal } from "../vendor.js";
import { ring } from "./audio.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {import("./call.js").Call} Call */
/** @typedef {import("./phone.js").Phone} Phone */
/** @typedef {import("../core/live.js").Live} Live */

const DIGITS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

/** The call of the live stream that belongs to a call of this phone: it has queue and recording. @param {Live} live @param {number} index @returns {Data | undefined} */
function told(live, index) {
  return live.of("call").keys.value.map((key) => live.of("call").get(key)).filter(Boolean)[index];
}

/** @param {{phone: Phone, live: Live, mayDial: boolean}} props */
export function Calls({ phone, live, mayDial }) {
  const calls = phone.calls.value;
  return html`${calls.map((call, index) => html`<${One} key=${call.id} call=${call} phone=${phone} about=${told(live, index)} />`)}
    ${calls.length === 0 && mayDial && html`<${Dial} phone=${phone} />`}`;
}

/** @param {{phone: Phone}} props */
function Dial({ phone }) {
  const number = useRef(/** @type {HTMLInputElement | null} */ (null));
  /** @param {Event} event */
  const dial = (event) => {
    event.preventDefault();
    const wanted = number.current?.value.replace(/[^\d+*#]/g, "") ?? "";
    if (wanted) phone.dial(wanted);
  };
  return html`<form class="panel pad row wrap" onSubmit=${dial}>
    <input ref=${number} inputmode="tel" class="grow" aria-label=${t("call.number")} placeholder=${t("call.number")} autocomplete="off" />
    <button disabled=${phone.registration.value !== "registered"}>${t("call.dial")}</button></form>`;
}

/** @param {{call: Call, phone: Phone, about: Data | undefined}} props */
function One({ call, phone, about }) {
  const open = useSignal("");
  const phase = call.phase.value;
  const left = useSignal(call.answerAfter);
  useEffect(() => {
    if (phase !== "ringing") return;
    const silence = ring();
    /** @type {ReturnType<typeof setInterval> | undefined} */
    let timer;
    if (call.answerAfter !== null) {
      const at = Date.now() + call.answerAfter * 1000;
      const tick = () => {
        left.value = Math.max(0, Math.ceil((at - Date.now()) / 1000));
        if (Date.now() < at) return;
        clearInterval(timer);
        void call.answer();
      };
      timer = setInterval(tick, 200);
      tick();
    }
    return () => {
      silence();
      clearInterval(timer);
    };
  }, [phase]);
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const keys = (event) => {
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey || event.altKey) return;
      const key = event.key.toLowerCase();
      if (phase === "ringing" && key === "a") void call.answer();
      if (phase !== "talking") return;
      if (key === "h") call.hold(!call.held.peek());
      if (key === "m") call.mute(!call.muted.peek());
      if (key === "t") open.value = open.peek() === "transfer" ? "" : "transfer";
      if (key === "k") open.value = open.peek() === "keypad" ? "" : "keypad";
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [phase]);
  const name = about?.name || call.name.value;
  const number = about?.number || call.number.value;
  const words = phase === "ringing" ? t("call.rings", { name: name || number }) : "";
  return html`<section class=${`panel pad call is-call-${phase}`} aria-label=${t("call.with", { name: name || number })}>
    <p class="hidden-text" role="status" aria-live="assertive">${words}</p>
    <div class="row wrap"><span class="who">${name || number}</span>${name && html`<span class="dim num">${number}</span>`}<span class="grow"></span>
      <${State} state=${phase === "talking" ? (call.held.value ? "held" : "talking") : "ringing"} word=${phase === "calling" ? t("call.calling") : ""} />
      <span class="timer"><${Since} since=${call.since.value} /></span></div>
    ${about?.queue && html`<p class="dim">${about.queue}</p>`}
    ${phase === "ringing"
      ? html`<div class="row wrap"><${Act} class="main big" act=${() => call.answer()}>${t("call.answer")} <kbd>A</kbd>${left.value !== null && html` ${t("call.in", { seconds: left.value })}`}<//>
          <${Act} class="danger big" act=${() => call.end()}>${t("call.refuse")}<//></div>`
      : html`<div class="keys">
          <button type="button" aria-pressed=${call.held.value} disabled=${phase !== "talking"} onClick=${() => call.hold(!call.held.value)}>${t(call.held.value ? "call.unhold" : "call.hold")} <kbd>H</kbd></button>
          <button type="button" aria-pressed=${call.muted.value} disabled=${phase !== "talking"} onClick=${() => call.mute(!call.muted.value)}>${t(call.muted.value ? "call.unmute" : "call.mute")} <kbd>M</kbd></button>
          <button type="button" aria-expanded=${open.value === "transfer"} disabled=${phase !== "talking"} onClick=${() => (open.value = open.value === "transfer" ? "" : "transfer")}>${t("call.transfer")} <kbd>T</kbd></button>
          <button type="button" aria-expanded=${open.value === "keypad"} disabled=${phase !== "talking"} onClick=${() => (open.value = open.value === "keypad" ? "" : "keypad")}>${t("call.keypad")} <kbd>K</kbd></button>
          ${about && html`<${Recording} about=${about} />`}
          <button type="button" class="danger" onClick=${() => call.end()}>${t("call.hang_up")}</button></div>`}
    ${open.value === "keypad" && html`<div class="keypad">${DIGITS.map((digit) => html`<button key=${digit} type="button" onClick=${() => call.digit(digit)}>${digit}</button>`)}</div>`}
    ${open.value === "transfer" && html`<${Transfer} call=${call} phone=${phone} />`}
  </section>`;
}

/** Red while it runs, by what the server says. @param {{about: Data}} props */
function Recording({ about }) {
  const path = `/me/calls/${encodeURIComponent(about.linkedid)}/recording`;
  const state = about.recording ?? "none";
  if (state === "none") return html`<${Act} act=${() => put(path, { state: "running" })}>${t("rec.start")}<//>`;
  const parts = about.parts?.length ?? 1;
  return html`<${Act} class=${state === "running" ? "danger" : ""} label=${t(state === "running" ? "rec.pause" : "rec.resume")}
      act=${() => put(path, { state: state === "running" ? "paused" : "running" })}>${state === "running" ? "●" : "❚❚"} ${t("rec.part", { part: parts })}<//>
    <${Act} disabled=${parts > 1} why=${t("rec.two")} act=${() => post(`${path}/files`)}>${t("rec.second")}<//>`;
}

/** Blind, or after asking: the colleagues with their state. @param {{call: Call, phone: Phone}} props */
function Transfer({ call, phone }) {
  const query = useSignal("");
  const found = useSignal(/** @type {Data[]} */ ([]));
  const asked = useSignal(/** @type {Call | null} */ (null));
  useEffect(() => {
    const timer = setTimeout(async () => {
      try {
        found.value = await get(`/me/colleagues?q=${encodeURIComponent(query.value)}`);
      } catch {
        found.value = []; // what was typed can still be dialled
      }
    }, 150);
    return () => clearTimeout(timer);
  }, [query.value]);
  /** @param {string} number */
  const send = async (number) => {
    await call.refer(number);
    say(t("call.sent", { number }), "good");
  };
  /** @param {string} number */
  const ask = (number) => {
    call.hold(true);
    phone.dial(number);
    asked.value = phone.calls.value.at(-1) ?? null;
  };
  const typed = query.value.replace(/[^\d+*#]/g, "");
  return html`<div class="stack tight">
    <${Field} label=${t("call.to")}>${(/** @type {string} */ id) => html`<input id=${id} autocomplete="off" onInput=${(/** @type {InputEvent} */ event) => (query.value = /** @type {HTMLInputElement} */ (event.target).value)} />`}<//>
    ${call.transfer.value === "asked" && html`<${Notice}>${t("call.transferring")}<//>`}
    ${asked.value && asked.value.phase.value !== "ended" && html`<div class="row"><span>${t("call.asking", { name: asked.value.number.value })}</span>
      <${Act} class="main" act=${() => call.refer(/** @type {Call} */ (asked.value).number.value, /** @type {Call} */ (asked.value))}>${t("call.connect")}<//></div>`}
    <div class="lines">
      ${typed && html`<div><b class="num">${typed}</b><span class="grow"></span><${Act} act=${() => ask(typed)}>${t("call.ask")}<//><${Act} act=${() => send(typed)}>${t("call.send")}<//></div>`}
      ${found.value.map((colleague) => html`<div key=${colleague.username}><${State} state=${!colleague.logged_in ? "offline" : colleague.paused ? "paused" : "ready"} />
        <b>${colleague.name}</b><span class="dim num">${colleague.internal}</span><span class="grow"></span>
        ${colleague.logged_in && html`<${Act} label=${`${t("call.ask")} ${colleague.name}`} act=${() => ask(colleague.internal)}>${t("call.ask")}<//>
          <${Act} label=${`${t("call.send")} ${colleague.name}`} act=${() => send(colleague.internal)}>${t("call.send")}<//>`}</div>`)}</div></div>`;
}
