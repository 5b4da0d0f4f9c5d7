/** Calls in the bar: what rings, what is talked, transfers, the keypad and the recording. @module */
import { get, post, put } from "../core/api.js";
import { t } from "../core/i18n.js";
import { Act, Field, Notice, say, Since, State } from "../ui/parts.js";
import { html, useEffect, useRef, useSignal } from "../vendor.js";
import { ring, trouble } from "./audio.js";
import { dialable, takeLinks, wanted } from "./links.js";
import { log } from "./log.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {import("./call.js").Call} Call */
/** @typedef {import("./phone.js").Phone} Phone */
/** @typedef {import("../core/live.js").Live} Live */

const DIGITS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];
/** Answers when a recording is what was asked for. */
const WAIT = { wait: 5 };

/** Whether a key belongs to what is typed into. @param {KeyboardEvent} event */
export const typing = (event) =>
  event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector("dialog[open]") !== null ||
  (event.target instanceof Element && event.target.closest("input, select, textarea") !== null);

/**
 * What the live stream has of each call of this phone: its queue and recording. The INVITE does not carry the server's
 * name of a call, so they are matched by direction and order.
 * @param {Live} live @param {Call[]} calls @returns {Map<Call, Data>}
 */
function told(live, calls) {
  const mine = /** @type {Data[]} */ (live.of("call").keys.value.map((id) => ({ id, ...live.of("call").get(id) })).filter((one) => "rang_at" in one));
  mine.sort((one, other) => Date.parse(one.rang_at) - Date.parse(other.rang_at));
  /** @type {Map<Call, Data>} */
  const found = new Map();
  for (const call of calls) {
    const next = mine.findIndex((one) => (one.direction === "in") === call.incoming);
    if (next >= 0) found.set(call, /** @type {Data} */ (mine.splice(next, 1)[0]));
  }
  return found;
}

/** @param {{phone: Phone, live: Live, profile: Data, mayDial: boolean}} props */
export function Calls({ phone, live, profile, mayDial }) {
  const calls = phone.calls.value;
  const about = told(live, calls);
  const second = useSignal(false);
  const talking = calls.some((call) => call.phase.value === "talking");
  return html`${calls.map((call) => html`<${One} key=${call.id} call=${call} phone=${phone} about=${about.get(call)} profile=${profile} />`)}
    ${mayDial && calls.length === 0 && html`<${Dial} phone=${phone} profile=${profile} />`}
    ${mayDial && calls.length === 1 && talking && (second.value || wanted.value
      ? html`<${Dial} phone=${phone} profile=${profile} done=${() => (second.value = false)} />`
      : html`<div><button type="button" class="quiet" onClick=${() => (second.value = true)}>${t("call.second")}</button></div>`)}`;
}

/** @param {{phone: Phone, profile: Data, done?: () => void}} props */
function Dial({ phone, profile, done }) {
  /** Of a call outside, where the agent must choose one (A19). */
  const prefix = useSignal("");
  const number = useRef(/** @type {HTMLInputElement | null} */ (null));
  const wrong = useSignal("");
  const linked = wanted.value;
  useEffect(() => {
    if (!number.current || !(linked || done)) return;
    if (linked) number.current.value = linked;
    number.current.focus();
  }, [linked]);
  /** @param {string} to */
  const dial = async (to) => {
    wrong.value = "";
    wanted.value = "";
    try {
      await phone.dial(to);
      done?.();
    } catch (error) {
      log("warning", "call.not_made", { error: String(error) });
      wrong.value = trouble.value ? t(`mic.${trouble.value}`) : String(error);
    }
  };
  /** @param {Event} event */
  const submit = (event) => {
    event.preventDefault();
    const to = dialable(number.current?.value ?? "");
    if (to) void dial(prefix.value + to);
  };
  const off = phone.registration.value !== "registered";
  return html`<form class="panel pad row wrap" onSubmit=${submit}>
    ${linked && html`<p class="grow">${t("call.from_link", { number: linked })}</p>`}
    ${profile.prefix_required && html`<select aria-label=${t("call.prefix")} onChange=${(/** @type {Event} */ event) => (prefix.value = /** @type {HTMLSelectElement} */ (event.target).value)}>
      <option value="">${t("call.inside")}</option>
      ${profile.prefixes?.map((/** @type {Data} */ one) => html`<option key=${one.prefix} value=${one.prefix}>${one.label || one.prefix}</option>`)}</select>`}
    <input ref=${number} inputmode="tel" class="grow" aria-label=${t("call.number")} placeholder=${t("call.number")} autocomplete="off" />
    <button disabled=${off} class=${linked ? "main" : ""}>${t("call.dial")}</button>
    ${(done || linked) && html`<button type="button" class="quiet" onClick=${() => { wanted.value = ""; done?.(); }}>${t("cancel")}</button>`}
    ${!done && !linked && html`<${Act} class="quiet" disabled=${off} act=${() => dial("*60")}>${t("call.echo")}<//>`}
    ${!done && !linked && "registerProtocolHandler" in navigator && html`<${Act} class="quiet" act=${takeLinks}>${t("call.take_links")}<//>`}
    ${wrong.value && html`<span class="wrong" role="alert">${wrong.value}</span>`}</form>`;
}

/** @param {{call: Call, phone: Phone, about: Data | undefined, profile: Data}} props */
function One({ call, phone, about, profile }) {
  const open = useSignal("");
  const phase = call.phase.value;
  const left = useSignal(call.answerAfter);
  const busy = phone.calls.value.some((other) => other !== call && other.phase.value === "talking");
  const answer = () => phone.answer(call);
  const hold = () => void phone.hold(call, !call.held.peek());
  const mute = () => call.mute(!call.muted.peek());
  /** @param {string} part */
  const turn = (part) => (open.value = open.peek() === part ? "" : part);
  useEffect(() => {
    if (phase !== "ringing") return;
    const silence = ring(busy);
    /** @type {ReturnType<typeof setInterval> | undefined} */
    let timer;
    if (call.answerAfter !== null) {
      const at = Date.now() + call.answerAfter * 1000;
      const tick = () => {
        left.value = Math.max(0, Math.ceil((at - Date.now()) / 1000));
        // never over another call: then somebody must
        if (Date.now() < at || phone.calls.peek().some((other) => other !== call && other.phase.peek() === "talking")) return;
        clearInterval(timer);
        void answer().catch(() => {});
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
      if (typing(event)) return;
      const key = event.key.toLowerCase();
      if (phase === "ringing" && key === "a") void answer().catch(() => {});
      if (phase !== "talking" || (call.held.peek() && busy)) return; // with two calls the keys are of the one that is talked
      if (key === "h") hold();
      if (key === "m") mute();
      if (key === "t") turn("transfer");
      if (key === "k") turn("keypad");
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [phase, busy]);
  const name = about ? about.name : call.name.value;
  const number = about?.number || call.number.value;
  const words = phase === "ringing" ? t("call.rings", { name: name || number }) : "";
  const talking = phase === "talking";
  return html`<section class=${`panel pad call is-call-${phase}`} aria-label=${t("call.with", { name: name || number })}>
    <p class="hidden-text" role="status" aria-live="assertive">${words}</p>
    <div class="row wrap"><span class="who" dir=${name ? "auto" : "ltr"}>${name || number}</span>${name && html`<span class="dim num" dir="ltr">${number}</span>`}<span class="grow"></span>
      <${State} state=${talking ? (call.held.value ? "held" : "talking") : "ringing"} word=${phase === "calling" ? t("call.calling") : ""} />
      <span class="timer"><${Since} since=${call.since.value} /></span></div>
    ${about?.queue && html`<p class="dim">${about.queue}</p>`}
    ${phase === "ringing"
      ? html`<div class="row wrap"><${Act} class="main big" act=${answer}>${t(busy ? "call.hold_and_answer" : "call.answer")} <kbd>A</kbd>${left.value !== null && html` <span>${t("call.in", { seconds: left.value })}</span>`}<//>
          <${Act} class="danger big" act=${() => call.end()}>${t("call.refuse")}<//></div>`
      : html`<div class="keys">
          <button type="button" aria-pressed=${call.held.value} disabled=${!talking} onClick=${hold}>${t(call.held.value ? "call.unhold" : "call.hold")} <kbd>H</kbd></button>
          <button type="button" aria-pressed=${call.muted.value} disabled=${!talking} onClick=${mute}>${t(call.muted.value ? "call.unmute" : "call.mute")} <kbd>M</kbd></button>
          <button type="button" aria-expanded=${open.value === "transfer"} disabled=${!talking} onClick=${() => turn("transfer")}>${t("call.transfer")} <kbd>T</kbd></button>
          <button type="button" aria-expanded=${open.value === "keypad"} disabled=${!talking} onClick=${() => turn("keypad")}>${t("call.keypad")} <kbd>K</kbd></button>
          ${about?.answered_at && html`<${Recording} about=${about} profile=${profile} />`}
          <button type="button" class="danger" onClick=${() => call.end()}>${t("call.hang_up")}</button></div>`}
    ${open.value === "keypad" && html`<div class="keypad">${DIGITS.map((digit) => html`<button key=${digit} type="button" onClick=${() => call.digit(digit)}>${digit}</button>`)}</div>`}
    ${open.value === "transfer" && talking && html`<${Transfer} call=${call} phone=${phone} />`}
  </section>`;
}

/** Red while it runs, by what the server says. @param {{about: Data, profile: Data}} props */
function Recording({ about, profile }) {
  const path = `/me/calls/${encodeURIComponent(about.id)}/recording`;
  const state = about.recording ?? "none";
  if (state === "failed") return html`<${Notice} kind="alarm" role="alert">${t("rec.failed")}<//>`;
  if (state === "none") return profile.manual_recording ? html`<${Act} act=${() => post(`${path}/files`)}>${t("rec.start")}<//>` : null;
  const parts = about.parts?.length ?? 1;
  return html`<${Act} class=${state === "running" ? "danger recording" : "recording"} label=${`${t("rec.part", { part: parts })}: ${t(state === "running" ? "rec.pause" : "rec.resume")}`}
      act=${() => put(path, { state: state === "running" ? "paused" : "running" }, WAIT)}><span aria-hidden="true">${state === "running" ? "●" : "❚❚"}</span> ${t(state === "running" ? "rec.part" : "rec.paused", { part: parts })}<//>
    <${Act} disabled=${parts > 1} why=${t("rec.two")} act=${() => post(`${path}/files`)}>${t("rec.second")}<//>`;
}

/** Blind, or after asking: the colleagues with their state. @param {{call: Call, phone: Phone}} props */
function Transfer({ call, phone }) {
  const query = useSignal("");
  const found = useSignal(/** @type {Data[]} */ ([]));
  const asked = useSignal(/** @type {Call | null} */ (null));
  useEffect(() => {
    const look = async () => {
      try {
        found.value = (await get(`/me/colleagues?q=${encodeURIComponent(query.value)}`)).items;
      } catch {
        found.value = []; // what was typed can still be dialled
      }
    };
    const first = setTimeout(look, 150);
    const again = setInterval(look, 4000); // their state changes while somebody chooses
    return () => {
      clearTimeout(first);
      clearInterval(again);
    };
  }, [query.value]);
  /** @param {string} number */
  const send = async (number) => {
    try {
      await call.refer(number);
    } catch (error) {
      throw new Error(t("call.not_sent", { number, reason: error instanceof Error ? error.message : String(error) }));
    }
    say(t("call.sent", { number }), "good");
  };
  /** @param {string} number */
  const ask = async (number) => {
    asked.value = (await phone.dial(number)) ?? null;
  };
  const connect = async () => {
    const other = asked.value;
    if (!other) return;
    try {
      await call.refer(other.number.value, other);
    } catch (error) {
      throw new Error(t("call.not_sent", { number: other.number.value, reason: error instanceof Error ? error.message : String(error) }));
    }
    other.end();
    say(t("call.sent", { number: other.number.value }), "good");
  };
  const consulting = asked.value && asked.value.phase.value !== "ended" ? asked.value : null;
  const typed = dialable(query.value);
  /** @param {string} number @param {string} who */
  const ways = (number, who) => html`<span class="row tight"><${Act} label=${`${t("call.ask")} ${who}`} disabled=${consulting !== null} act=${() => ask(number)}>${t("call.ask")}<//>
    <${Act} label=${`${t("call.send")} ${who}`} act=${() => send(number)}>${t("call.send")}<//></span>`;
  return html`<div class="stack tight">
    ${call.transfer.value === "asked" && html`<${Notice}>${t("call.transferring")}<//>`}
    ${consulting && html`<div class="row wrap"><span>${t("call.asking", { name: consulting.number.value })}</span><span class="grow"></span>
      <${Act} class="main" disabled=${consulting.phase.value !== "talking"} act=${connect}>${t("call.connect")}<//></div>`}
    <${Field} label=${t("call.to")}>${(/** @type {string} */ id) => html`<input id=${id} autocomplete="off" onInput=${(/** @type {InputEvent} */ event) => (query.value = /** @type {HTMLInputElement} */ (event.target).value)} />`}<//>
    <div class="lines">
      ${typed && !found.value.some((one) => one.internal === typed) && html`<div key="typed"><b class="num">${typed}</b><span class="grow"></span>${ways(typed, typed)}</div>`}
      ${found.value.map((colleague) => html`<div key=${colleague.username}><${State} state=${colleague.state} />
        <b>${colleague.name}</b><span class="dim num">${colleague.internal}</span><span class="grow"></span>
        ${colleague.logged_in && ways(colleague.internal, colleague.name)}</div>`)}</div></div>`;
}

