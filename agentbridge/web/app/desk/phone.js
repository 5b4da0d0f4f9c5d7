/**
 * The browser's phone: JsSIP with what it lacks. It retries a refused REGISTER, notices a dead socket by itself, takes a
 * rotated secret, keeps calls over a lost network, and keeps a held call silent whatever the far end offers.
 * @module
 */
import { UA, WebSocketInterface } from "../../vendor/jssip.js";
import { post } from "../core/api.js";
import { signal } from "../vendor.js";
import { Call } from "./call.js";

/** @typedef {"off" | "connecting" | "registered" | "unreachable" | "refused" | "displaced"} Registration */
/**
 * @typedef {object} SipSession what POST /me/sip-session answers; kept in memory alone
 * @property {string} uri @property {string} username @property {string} realm @property {string} ha1
 * @property {string} wss @property {string[]} ice_servers @property {number} expires @property {string} [display_name]
 */

/** Asterisk is asked for a sign of life so often, and has so long for it: a loss shows within 10 s. */
const ALIVE_EVERY_MS = 5000;
const ALIVE_WITHIN_MS = 3000;
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 15_000;
/** Answers to REGISTER that mean: the secret is another now. */
const WRONG_SECRET = new Set([401, 403, 407]);

export class Phone {
  /** @param {{microphone: () => Promise<MediaStream>, onCall: (call: Call) => void, output: () => HTMLAudioElement}} hooks */
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
    document.addEventListener("visibilitychange", this.#look);
    addEventListener("online", this.#look);
  }

  /** Fetches a SIP session and registers; resolves when Asterisk has answered 200. Rejects with the reason after `within` ms. */
  async start(within = 10_000) {
    this.stop();
    this.registration.value = "connecting";
    this.session = await post("/me/sip-session");
    this.#connect();
    await this.#registered(within);
  }

  /** Ends calls and the registration. */
  stop() {
    clearInterval(this.pulse);
    clearTimeout(this.retry);
    this.ua?.stop();
    this.ua = null;
    this.registration.value = "off";
  }

  /** Another machine took the registration over: this phone must not take it back. */
  displaced() {
    this.stop();
    this.registration.value = "displaced";
  }

  /** @param {string} number */
  dial(number) {
    this.#newCall(
      this.ua.call(number, {
        mediaConstraints: { audio: true, video: false },
        pcConfig: this.#peerConfig(),
        sessionTimersExpires: 120,
      }),
    );
  }

  #connect() {
    const session = /** @type {SipSession} */ (this.session);
    const socket = new WebSocketInterface(session.wss);
    const ua = /** @type {any} */ (
      new UA({
        sockets: [socket],
        uri: session.uri,
        authorization_user: session.username,
        realm: session.realm,
        ha1: session.ha1,
        display_name: session.display_name || undefined,
        register: true,
        register_expires: session.expires,
        session_timers: false,
        connection_recovery_min_interval: 1,
        connection_recovery_max_interval: 8,
      })
    );
    this.ua = ua;
    ua.on("registered", () => this.#up());
    ua.on("registrationFailed", (/** @type {any} */ event) => void this.#refused(event));
    ua.on("unregistered", () => this.registration.value === "registered" && (this.registration.value = "connecting"));
    ua.on("disconnected", () => this.#unreachable("socket"));
    ua.on("newRTCSession", (/** @type {any} */ event) => {
      if (event.originator === "remote") this.#newCall(event.session, event.request);
    });
    ua.start();
    // any message is a sign of life; JsSIP itself never asks for one
    const take = ua._transport.ondata;
    ua._transport.ondata = (/** @type {any} */ data) => {
      this.heardAt = Date.now();
      take(data);
    };
    this.heardAt = Date.now();
    this.pulse = setInterval(this.#look, 1000);
  }

  #up() {
    this.failures = 0;
    this.reason.value = "";
    const lost = this.registration.value !== "registered";
    this.registration.value = "registered";
    if (lost) for (const call of this.calls.value) call.reconnected();
  }

  /** @param {string} reason */
  #unreachable(reason) {
    if (this.registration.value === "off" || this.registration.value === "displaced") return;
    this.registration.value = "unreachable";
    this.reason.value = reason;
  }

  /** A refused REGISTER is tried again, with a new secret where the old one was refused. @param {any} event */
  async #refused(event) {
    const status = event.response?.status_code ?? 0;
    if (this.registration.value === "off" || this.registration.value === "displaced") return;
    this.registration.value = status ? "refused" : "unreachable";
    this.reason.value = status ? `${status} ${event.response.reason_phrase}` : event.cause;
    this.failures += 1;
    const full = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.failures - 1, 8));
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.#registerAgain(WRONG_SECRET.has(status)), full * (0.5 + Math.random() / 2));
  }

  /** @param {boolean} anew */
  async #registerAgain(anew) {
    if (anew) await this.renew();
    else this.ua?.register();
  }

  /** Takes a new secret, also in a call: the call goes on. */
  async renew() {
    try {
      this.session = await post("/me/sip-session");
    } catch {
      this.retry = setTimeout(() => void this.#registerAgain(true), LONGEST_RETRY_MS);
      return;
    }
    this.ua?.set("ha1", this.session?.ha1);
    this.ua?.register();
  }

  /** Asks for a sign of life, and drops a socket that gives none: only then does JsSIP connect anew. */
  #look = () => {
    const now = Date.now();
    if (!this.ua || this.registration.value === "displaced") return;
    if (this.askedAt > this.heardAt && now - this.askedAt > ALIVE_WITHIN_MS) {
      this.askedAt = 0;
      this.heardAt = now;
      this.#unreachable("silent");
      const transport = this.ua._transport;
      transport.socket.disconnect();
      transport._onDisconnect(true);
      return;
    }
    if (this.askedAt <= this.heardAt && now - this.heardAt > ALIVE_EVERY_MS && this.ua.isConnected()) {
      this.askedAt = now;
      this.ua.sendOptions(/** @type {SipSession} */ (this.session).uri);
    }
  };

  /** @param {number} within milliseconds */
  #registered(within) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => end(() => reject(new Error(this.reason.value || "timeout"))), within);
      const stop = this.registration.subscribe((state) => {
        if (state === "registered") end(() => resolve(undefined));
      });
      const end = (/** @type {() => void} */ then) => {
        clearTimeout(timer);
        queueMicrotask(() => stop());
        then();
      };
    });
  }

  #peerConfig() {
    const servers = this.session?.ice_servers ?? [];
    return { iceServers: servers.map((urls) => ({ urls })) };
  }

  /** @param {any} rtc @param {any} [request] the INVITE of an incoming call */
  #newCall(rtc, request) {
    const call = new Call(rtc, request, { microphone: this.hooks.microphone, output: this.hooks.output, peerConfig: () => this.#peerConfig() });
    this.calls.value = [...this.calls.value, call];
    rtc.on("ended", () => this.#gone(call));
    rtc.on("failed", () => this.#gone(call));
    this.hooks.onCall(call);
  }

  /** @param {Call} call */
  #gone(call) {
    this.calls.value = this.calls.value.filter((other) => other !== call);
  }
}
