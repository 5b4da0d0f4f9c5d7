/**
 * The browser's phone: JsSIP with what it lacks. It retries a refused REGISTER, notices a dead socket by itself, takes a
 * rotated secret, keeps calls over a lost network, and keeps a held call silent whatever the far end offers.
 * @module
 */
import { UA, WebSocketInterface } from "../../vendor/jssip.js";
import { post, Problem } from "../core/api.js";
import { signal } from "../vendor.js";
import { Call, stop } from "./call.js";
import { log } from "./log.js";

/** @typedef {"off" | "connecting" | "registered" | "unreachable" | "refused" | "displaced"} Registration */
/**
 * @typedef {object} SipSession what POST /me/sip-session answers; kept in memory alone
 * @property {string} uri @property {string} username @property {string} realm @property {string} ha1
 * @property {string} wss @property {string[]} ice_servers @property {number} expires @property {string} [display_name]
 */

/** Asterisk is asked for a sign of life so often, and has so long for it: a loss shows within 10 s. */
const ALIVE_EVERY_MS = 4000;
const ALIVE_WITHIN_MS = 3000;
const LOOK_EVERY_MS = 500;
/** What was heard so lately needs no question before a hold; a question before one is waited for so long. */
const FRESH_MS = 700;
const SURE_WITHIN_MS = 1500;
/** A socket that does not open in that time is tried anew. */
const OPEN_WITHIN_MS = 4000;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 15_000;
/** Answers to REGISTER that mean: the secret is another now. */
const WRONG_SECRET = new Set([401, 403, 407]);
/** This page, among all that may have the agent's phone. */
export const PAGE = crypto.randomUUID();

export class Phone {
  /** @param {{microphone: () => Promise<MediaStream>, onCall: (call: Call) => void}} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    /** @type {import("../vendor.js").Signal<Registration>} */
    this.registration = signal("off");
    /** Why it is not registered, in Asterisk's or the browser's words. */
    this.reason = signal("");
    /** @type {import("../vendor.js").Signal<Call[]>} */
    this.calls = signal([]);
    /** @type {SipSession | null} */
    this.session = null;
    /** @type {any} */
    this.ua = null;
    this.failures = 0;
    this.heardAt = 0;
    this.askedAt = 0;
    this.openingAt = 0;
    /** @type {Promise<void> | null} */
    this.starting = null;
    /** Told when something is heard. @type {Set<() => void>} */
    this.ears = new Set();
    document.addEventListener("visibilitychange", this.#look);
    addEventListener("online", this.#look);
  }

  /** Fetches a SIP session and registers; resolves when Asterisk has answered 200. Rejects with the reason after `within` ms. */
  start(within = 20_000) {
    this.starting ??= this.#start(within).finally(() => (this.starting = null));
    return this.starting;
  }

  /** @param {number} within */
  async #start(within) {
    this.stop();
    this.registration.value = "connecting";
    try {
      this.session = await post("/me/sip-session", { page: PAGE });
      if (this.registration.peek() !== "connecting") throw new Error(this.registration.peek()); // stopped meanwhile
      this.#connect();
      await this.#registered(within);
    } catch (error) {
      if (/** @type {Registration} */ (this.registration.peek()) !== "displaced") this.stop();
      throw error;
    }
  }

  /** Ends calls and the registration. */
  stop() {
    clearInterval(this.pulse);
    clearTimeout(this.retry);
    this.ua?.removeAllListeners();
    this.ua?.stop();
    this.ua = null;
    this.failures = 0;
    this.registration.value = "off";
  }

  /** Another page took the registration over: this phone must not take it back. */
  displaced() {
    if (this.registration.value === "off") return;
    log("warning", "phone.displaced");
    this.stop();
    this.registration.value = "displaced";
  }

  /** Calls a number; what is talked to now is held first. @param {string} number @returns {Promise<Call | undefined>} */
  async dial(number) {
    const microphone = await this.hooks.microphone();
    await this.#holdOthers(null);
    if (!this.ua) return undefined;
    const mediaStream = microphone.clone();
    try {
      const rtc = this.ua.call(number, { mediaStream, pcConfig: this.#peerConfig() });
      const call = this.calls.value.find((one) => one.rtc === rtc) ?? this.#newCall(rtc);
      call.voice = mediaStream;
      return call;
    } catch (error) {
      stop(mediaStream); // JsSIP takes no such number
      throw error;
    }
  }

  /** Answers it; what is talked to now is held first. @param {Call} call */
  async answer(call) {
    await this.#holdOthers(call);
    await call.answer();
  }

  /** Holds it, or takes it back and holds the others. @param {Call} call @param {boolean} on */
  async hold(call, on) {
    if (!on) await this.#holdOthers(call);
    await call.hold(on);
  }

  /** @param {Call | null} call */
  async #holdOthers(call) {
    await Promise.all(this.calls.value.filter((other) => other !== call).map((other) => other.hold(true)));
  }

  #connect() {
    const session = /** @type {SipSession} */ (this.session);
    const ua = /** @type {any} */ (
      new UA({
        sockets: [new WebSocketInterface(session.wss)],
        uri: session.uri,
        authorization_user: session.username,
        realm: session.realm,
        ha1: session.ha1,
        display_name: session.display_name || undefined,
        register: true,
        register_expires: session.expires,
        session_timers: false,
        connection_recovery_min_interval: 1,
        connection_recovery_max_interval: 3,
      })
    );
    this.ua = ua;
    ua.on("registered", () => this.#up());
    ua.on("registrationFailed", (/** @type {any} */ event) => this.#refused(event));
    ua.on("unregistered", () => this.registration.value === "registered" && (this.registration.value = "connecting"));
    ua.on("connecting", () => (this.openingAt = Date.now()));
    ua.on("connected", () => (this.openingAt = 0));
    ua.on("disconnected", () => this.#unreachable("socket"));
    ua.on("newRTCSession", (/** @type {any} */ event) => this.#newCall(event.session, event.originator === "remote" ? event.request : undefined));
    this.askedAt = 0;
    this.heardAt = Date.now();
    ua.start();
    // any message is a sign of life; JsSIP itself never asks for one
    const take = ua._transport.ondata;
    ua._transport.ondata = (/** @type {any} */ data) => {
      this.heardAt = Date.now();
      for (const ear of this.ears) ear();
      take(data);
    };
    this.pulse = setInterval(this.#look, LOOK_EVERY_MS);
  }

  #up() {
    this.failures = 0;
    this.reason.value = "";
    const lost = this.registration.value !== "registered";
    this.registration.value = "registered";
    log("info", "phone.registered");
    if (lost) for (const call of this.calls.value) call.reconnected();
  }

  /** @param {string} reason */
  #unreachable(reason) {
    if (this.registration.value === "off" || this.registration.value === "displaced") return;
    if (this.registration.value !== "unreachable") log("warning", "phone.unreachable", { reason });
    this.registration.value = "unreachable";
    this.reason.value = reason;
  }

  /** A refused REGISTER is tried again, with a new secret where the old one was refused. @param {any} event */
  #refused(event) {
    const status = event.response?.status_code ?? 0;
    if (this.registration.value === "off" || this.registration.value === "displaced") return;
    this.registration.value = status ? "refused" : "unreachable";
    this.reason.value = status ? `${status} ${event.response.reason_phrase}` : event.cause;
    log("warning", "phone.refused", { reason: this.reason.value });
    this.failures += 1;
    const full = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.failures - 1, 8));
    // a first refusal for the secret is its rotation, which a new one mends at once
    const wait = this.failures === 1 && WRONG_SECRET.has(status) ? 0 : full * (0.5 + Math.random() / 2);
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.#registerAgain(WRONG_SECRET.has(status)), wait);
  }

  /** @param {boolean} anew */
  async #registerAgain(anew) {
    if (anew) await this.renew();
    else this.ua?.register();
  }

  /** Takes a new secret, also in a call: the call goes on. Refused where another page has the phone since. */
  async renew() {
    try {
      this.session = await post("/me/sip-session", { page: PAGE, again: true });
    } catch (error) {
      if (error instanceof Problem && error.code === "AB006") return this.displaced();
      this.retry = setTimeout(() => void this.#registerAgain(true), LONGEST_RETRY_MS / 3);
      return;
    }
    this.ua?.set("ha1", this.session?.ha1);
    this.ua?.register();
  }

  /** Asks for a sign of life, and drops a socket that gives none: only then does JsSIP connect anew. */
  #look = () => {
    const now = Date.now();
    if (!this.ua) return;
    if (this.openingAt && now - this.openingAt > OPEN_WITHIN_MS) return this.#drop("opening");
    if (this.askedAt > this.heardAt && now - this.askedAt > ALIVE_WITHIN_MS) return this.#drop("silent");
    if (this.askedAt <= this.heardAt && now - this.heardAt > ALIVE_EVERY_MS) this.#ask();
  };

  #ask() {
    if (!this.ua?.isConnected()) return;
    this.askedAt = Date.now();
    this.ua.sendOptions(/** @type {SipSession} */ (this.session).uri);
  }

  /** @param {string} reason */
  #drop(reason) {
    this.askedAt = 0;
    this.openingAt = 0;
    this.heardAt = Date.now();
    this.#unreachable(reason);
    const transport = this.ua._transport;
    transport.socket.disconnect();
    transport._onDisconnect(true);
  }

  /** Whether Asterisk is there just now: heard a moment ago, or it answers a question. @returns {Promise<boolean>} */
  alive() {
    if (this.registration.value !== "registered") return Promise.resolve(false);
    if (Date.now() - this.heardAt < FRESH_MS) return Promise.resolve(true);
    return new Promise((resolve) => {
      const end = (/** @type {boolean} */ there) => {
        clearTimeout(timer);
        this.ears.delete(heard);
        resolve(there);
      };
      const heard = () => end(true);
      const timer = setTimeout(() => end(false), SURE_WITHIN_MS);
      this.ears.add(heard);
      if (this.askedAt <= this.heardAt) this.#ask();
    });
  }

  /** @param {number} within milliseconds */
  #registered(within) {
    return new Promise((resolve, reject) => {
      // before the subscription, which tells the state of now at once
      const end = (/** @type {() => void} */ then) => {
        clearTimeout(timer);
        queueMicrotask(() => stop());
        then();
      };
      const timer = setTimeout(() => end(() => reject(new Error(this.reason.value || "timeout"))), within);
      const stop = this.registration.subscribe((state) => {
        if (state === "registered") end(() => resolve(undefined));
        if (state === "displaced" || state === "off") end(() => reject(new Error(state)));
      });
    });
  }

  #peerConfig() {
    const servers = this.session?.ice_servers ?? [];
    return { iceServers: servers.map((urls) => ({ urls })) };
  }

  /** @param {any} rtc @param {any} [request] the INVITE of an incoming call @returns {Call} */
  #newCall(rtc, request) {
    const call = new Call(rtc, request, { microphone: this.hooks.microphone, peerConfig: () => this.#peerConfig(), alive: () => this.alive() });
    log("info", "call.new", { call: call.id, incoming: call.incoming });
    this.calls.value = [...this.calls.value, call];
    rtc.on("ended", () => this.#gone(call));
    rtc.on("failed", () => this.#gone(call));
    this.hooks.onCall(call);
    return call;
  }

  /** @param {Call} call */
  #gone(call) {
    this.calls.value = this.calls.value.filter((other) => other !== call);
  }
}
