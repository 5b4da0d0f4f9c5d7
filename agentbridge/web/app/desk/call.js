/** One call of the browser's phone. @module */
import { signal } from "../vendor.js";
import { deafen, ear } from "./audio.js";
import { log } from "./log.js";

/** @typedef {"ringing" | "calling" | "talking" | "ended"} Phase */

/** So long after the first candidate the offer goes out with those that there are, e.g. where no STUN server answers. */
const GATHER_MS = 700;
/** A re-INVITE that JsSIP can't send now, since another one is on its way, is tried again after so long. */
const BUSY_MS = 250;
/** A voice that is broken for so long is mended; shorter breaks mend themselves. */
const BROKEN_MS = 1500;
const AUTO_ANSWER = /answer-after=(\d+)/i;

export class Call {
  /**
   * @param {any} rtc JsSIP's RTCSession @param {any} request the INVITE of an incoming call
   * @param {{microphone: () => Promise<MediaStream>, peerConfig: () => RTCConfiguration, alive: () => Promise<boolean>}} hooks
   *   `alive`: whether Asterisk gives a sign of life just now
   */
  constructor(rtc, request, hooks) {
    this.rtc = rtc;
    this.hooks = hooks;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.gathering = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.mending = undefined;
    this.id = rtc.id;
    this.incoming = rtc.direction === "incoming";
    /** @type {import("../vendor.js").Signal<Phase>} */
    this.phase = signal(this.incoming ? "ringing" : "calling");
    /** What the agent wants; Asterisk has it when the socket lets it. */
    this.held = signal(false);
    this.muted = signal(false);
    this.since = signal(Date.now());
    /** What became of a transfer: empty, `asked`, `failed`. */
    this.transfer = signal("");
    this.number = signal(String(rtc.remote_identity?.uri?.user ?? ""));
    this.name = signal(String(rtc.remote_identity?.display_name ?? ""));
    /** Seconds until it answers by itself; null: somebody must. @type {number | null} */
    this.answerAfter = this.incoming ? autoAnswer(request) : null;
    /** What this call sends: a copy, since holding or muting it must not silence another one. @type {MediaStream | null} */
    this.voice = null;
    this.audio = ear();
    rtc.on("accepted", () => this.#accepted());
    rtc.on("confirmed", () => this.#accepted());
    rtc.on("ended", (/** @type {any} */ event) => this.#ended(event));
    rtc.on("failed", (/** @type {any} */ event) => this.#ended(event));
    rtc.on("icecandidate", (/** @type {{ready: () => void}} */ event) => {
      this.gathering ??= setTimeout(() => {
        this.gathering = undefined;
        event.ready();
      }, GATHER_MS);
    });
    rtc.on("peerconnection", (/** @type {{peerconnection: RTCPeerConnection}} */ event) => this.#hear(event.peerconnection));
    if (rtc.connection) this.#hear(rtc.connection);
    rtc.on("hold", (/** @type {{originator: string}} */ event) => {
      if (event.originator === "local") this.#direct("sendonly");
    });
    rtc.on("unhold", (/** @type {{originator: string}} */ event) => {
      if (event.originator === "local") this.#direct("sendrecv");
    });
    // a request that found no socket, or no answer, ends no call that is up: it is made good when the socket is back
    for (const name of ["onTransportError", "onRequestTimeout"]) {
      const end = rtc[name].bind(rtc);
      rtc[name] = () => {
        if (this.phase.value !== "talking") return end();
        log("warning", "call.request_lost", { call: this.id });
      };
    }
  }

  #accepted() {
    if (this.phase.value === "talking") return;
    this.phase.value = "talking";
    this.since.value = Date.now();
    log("info", "call.answered", { call: this.id });
  }

  /** @param {any} event */
  #ended(event) {
    if (this.phase.value === "ended") return;
    this.phase.value = "ended";
    clearTimeout(this.mending);
    deafen(this.audio);
    stop(this.voice);
    log("info", "call.ended", { call: this.id, by: event?.originator, cause: event?.cause });
  }

  /** @param {RTCPeerConnection} connection */
  #hear(connection) {
    connection.addEventListener("iceconnectionstatechange", () => this.#mend(connection));
    connection.addEventListener("track", (event) => {
      this.audio.srcObject = event.streams[0] ?? new MediaStream([event.track]);
      void this.audio.play().catch(() => log("warning", "call.audio_locked", { call: this.id }));
    });
  }

  /** The way of the voice broke, perhaps that of the messages did not: another way is looked for. @param {RTCPeerConnection} connection */
  #mend(connection) {
    clearTimeout(this.mending);
    const state = connection.iceConnectionState;
    log(state === "connected" || state === "completed" ? "info" : "warning", "call.ice", { call: this.id, state });
    if (state !== "disconnected" && state !== "failed") return;
    const mend = async () => {
      if (this.phase.value !== "talking" || connection.iceConnectionState !== state) return;
      if (await this.hooks.alive()) this.reconnected();
      else this.mending = setTimeout(mend, BROKEN_MS);
    };
    this.mending = setTimeout(mend, BROKEN_MS);
  }

  /** JsSIP answers a far end's re-INVITE by the transceivers: without this a held call becomes audible. @param {RTCRtpTransceiverDirection} direction */
  #direct(direction) {
    for (const transceiver of this.rtc.connection?.getTransceivers() ?? []) transceiver.direction = direction;
  }

  /** What this call sends from now on: a copy of the microphone. @param {MediaStream} microphone */
  speak(microphone) {
    stop(this.voice);
    this.voice = microphone.clone();
    return this.voice;
  }

  async answer() {
    if (this.phase.value !== "ringing") return;
    const microphone = await this.hooks.microphone();
    if (this.phase.value !== "ringing") return; // the caller gave up meanwhile
    this.rtc.answer({ mediaStream: this.speak(microphone), pcConfig: this.hooks.peerConfig() });
  }

  /** Hangs up, or refuses as busy while it rings. */
  end() {
    if (this.phase.value === "ended") return;
    this.rtc.terminate(this.phase.value === "ringing" ? { status_code: 486, reason_phrase: "Busy Here" } : undefined);
  }

  /**
   * Nobody hears anybody from this moment on; Asterisk is told when the socket surely lives: a hold that is sent into a
   * dead one would end the call.
   * @param {boolean} on
   */
  async hold(on) {
    if (this.phase.value !== "talking" || this.held.value === on) return;
    this.held.value = on;
    this.#silence();
    if (await this.hooks.alive()) this.#agree();
  }

  /** Asterisk's view of the hold becomes the agent's. */
  #agree() {
    const on = this.held.value;
    if (this.phase.value !== "talking" || this.rtc.isOnHold().local === on) return;
    const done = () => this.#agree(); // the agent may have changed its mind meanwhile
    const sent = on ? this.rtc.hold({}, done) : this.rtc.unhold({}, done);
    if (!sent) setTimeout(() => this.#agree(), BUSY_MS);
  }

  #silence() {
    this.audio.muted = this.held.value;
    for (const track of this.voice?.getAudioTracks() ?? []) track.enabled = !this.held.value && !this.muted.value;
  }

  /** @param {boolean} on */
  mute(on) {
    this.muted.value = on;
    if (on) this.rtc.mute({ audio: true });
    else this.rtc.unmute({ audio: true });
    this.#silence();
  }

  /** @param {string} digit one of 0-9 * # */
  digit(digit) {
    this.rtc.sendDTMF(digit, { transportType: "RFC2833" });
  }

  /**
   * Sends the caller on to a number; with `replaces`, into another call of ours. Done only when the far end says so by
   * NOTIFY 200, since Asterisk sends no BYE then; a target that fails leaves the call as it was.
   * @param {string} number @param {Call} [replaces]
   * @returns {Promise<void>} rejects with the far end's words
   */
  refer(number, replaces) {
    if (this.phase.value !== "talking") return Promise.resolve();
    this.transfer.value = "asked";
    log("info", "call.transfer", { call: this.id, attended: replaces !== undefined });
    return new Promise((resolve, reject) => {
      const failed = (/** @type {string} */ reason) => {
        this.transfer.value = "failed";
        log("warning", "call.transfer_failed", { call: this.id, reason });
        reject(new Error(reason));
      };
      this.rtc.on("ended", () => this.transfer.value === "asked" && failed("487"));
      this.rtc.refer(number, {
        replaces: replaces?.rtc,
        eventHandlers: {
          accepted: () => {
            this.transfer.value = "";
            this.end();
            resolve();
          },
          failed: (/** @type {any} */ event) => failed(`${event.status_line?.status_code ?? ""} ${event.status_line?.reason_phrase ?? ""}`.trim()),
          requestFailed: (/** @type {any} */ event) => failed(event.response ? `${event.response.status_code} ${event.response.reason_phrase}` : String(event.cause)),
        },
      });
    });
  }

  /** The socket is back: without a re-INVITE the far end's BYE would never arrive. The hold is as the agent wants it now. */
  reconnected() {
    if (this.phase.value !== "talking") return;
    const state = this.rtc.connection?.iceConnectionState;
    const iceRestart = state !== "connected" && state !== "completed";
    this.rtc._localHold = this.held.value;
    this.#direct(this.held.value ? "sendonly" : "sendrecv");
    const sent = this.rtc.renegotiate({ rtcOfferConstraints: { iceRestart } }, () => this.#agree());
    this.#silence();
    log("info", "call.renegotiated", { call: this.id, sent, ice: state });
    if (!sent) setTimeout(() => this.reconnected(), BUSY_MS);
  }

  /** Another microphone in a running call. @param {MediaStream} stream */
  async replace(stream) {
    if (this.voice === null || this.phase.value === "ended") return;
    const track = this.speak(stream).getAudioTracks()[0];
    this.#silence();
    for (const sender of this.rtc.connection?.getSenders() ?? []) {
      if (track && (sender.track?.kind === "audio" || sender.track === null)) await sender.replaceTrack(track);
    }
  }
}

/** Ends what the stream carries: a browser listens to a microphone as long as one copy of it lives. @param {MediaStream | null} stream */
export function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** Seconds of the automatic answer that the INVITE asks for, or null. @param {any} request @returns {number | null} */
function autoAnswer(request) {
  const found = AUTO_ANSWER.exec(String(request?.getHeader("Call-Info") ?? ""));
  return found ? Number(found[1]) : null;
}
