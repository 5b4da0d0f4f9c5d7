/** One call of the browser's phone. @module */
import { signal } from "../vendor.js";

/** @typedef {"ringing" | "calling" | "talking" | "ended"} Phase */

/** With an unreachable STUN server the offer goes out after so long, with the candidates that there are. */
const GATHER_MS = 1000;
const AUTO_ANSWER = /answer-after=(\d+)/i;

export class Call {
  /**
   * @param {any} rtc JsSIP's RTCSession @param {any} request the INVITE of an incoming call
   * @param {{microphone: () => Promise<MediaStream>, output: () => HTMLAudioElement, peerConfig: () => RTCConfiguration}} hooks
   */
  constructor(rtc, request, hooks) {
    this.rtc = rtc;
    this.hooks = hooks;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.gathering = undefined;
    this.id = rtc.id;
    this.incoming = rtc.direction === "incoming";
    /** @type {import("../vendor.js").Signal<Phase>} */
    this.phase = signal(this.incoming ? "ringing" : "calling");
    this.held = signal(false);
    this.muted = signal(false);
    this.since = signal(Date.now());
    /** What became of a transfer: empty, `asked`, `failed`. */
    this.transfer = signal("");
    this.number = signal(String(rtc.remote_identity?.uri?.user ?? ""));
    this.name = signal(String(rtc.remote_identity?.display_name ?? ""));
    /** Seconds until it answers by itself; null: somebody must. @type {number | null} */
    this.answerAfter = this.incoming ? autoAnswer(request) : null;
    rtc.on("accepted", () => this.#accepted());
    rtc.on("confirmed", () => this.#accepted());
    rtc.on("ended", () => (this.phase.value = "ended"));
    rtc.on("failed", () => (this.phase.value = "ended"));
    rtc.on("icecandidate", (/** @type {{ready: () => void}} */ event) => {
      clearTimeout(this.gathering);
      this.gathering = setTimeout(event.ready, GATHER_MS);
    });
    rtc.on("peerconnection", (/** @type {{peerconnection: RTCPeerConnection}} */ event) => this.#hear(event.peerconnection));
    if (rtc.connection) this.#hear(rtc.connection);
    rtc.on("hold", (/** @type {{originator: string}} */ event) => {
      if (event.originator === "local") this.#direct("sendonly");
    });
    rtc.on("unhold", (/** @type {{originator: string}} */ event) => {
      if (event.originator === "local") this.#direct("sendrecv");
    });
  }

  #accepted() {
    if (this.phase.value === "talking") return;
    this.phase.value = "talking";
    this.since.value = Date.now();
  }

  /** @param {RTCPeerConnection} connection */
  #hear(connection) {
    connection.addEventListener("track", (event) => {
      const audio = this.hooks.output();
      audio.srcObject = event.streams[0] ?? new MediaStream([event.track]);
      void audio.play();
    });
  }

  /** JsSIP answers a far end's re-INVITE by the transceivers: without this a held call becomes audible. @param {RTCRtpTransceiverDirection} direction */
  #direct(direction) {
    for (const transceiver of this.rtc.connection?.getTransceivers() ?? []) transceiver.direction = direction;
  }

  async answer() {
    if (this.phase.value !== "ringing") return;
    this.rtc.answer({ mediaStream: await this.hooks.microphone(), pcConfig: this.hooks.peerConfig() });
  }

  /** Hangs up, or refuses as busy while it rings. */
  end() {
    if (this.phase.value === "ended") return;
    this.rtc.terminate(this.phase.value === "ringing" ? { status_code: 486, reason_phrase: "Busy Here" } : undefined);
  }

  /** @param {boolean} on */
  hold(on) {
    const done = () => (this.held.value = on);
    if (on) this.rtc.hold({}, done);
    else this.rtc.unhold({}, done);
  }

  /** @param {boolean} on */
  mute(on) {
    if (on) this.rtc.mute({ audio: true });
    else this.rtc.unmute({ audio: true });
    this.muted.value = on;
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
    this.transfer.value = "asked";
    return new Promise((resolve, reject) => {
      const failed = (/** @type {string} */ reason) => {
        this.transfer.value = "failed";
        reject(new Error(reason));
      };
      this.rtc.refer(number, {
        replaces: replaces?.rtc,
        eventHandlers: {
          accepted: () => {
            this.transfer.value = "";
            this.rtc.terminate();
            resolve();
          },
          failed: (/** @type {any} */ event) => failed(`${event.status_line?.status_code ?? ""} ${event.status_line?.reason_phrase ?? ""}`.trim()),
          requestFailed: (/** @type {any} */ event) => failed(event.response ? `${event.response.status_code} ${event.response.reason_phrase}` : String(event.cause)),
        },
      });
    });
  }

  /** The socket is back: without a re-INVITE the far end's BYE would never arrive. The hold stays as it is. */
  reconnected() {
    if (this.phase.value !== "talking") return;
    const state = this.rtc.connection?.iceConnectionState;
    const restart = state !== "connected" && state !== "completed";
    this.rtc.renegotiate({ rtcOfferConstraints: { iceRestart: restart } });
  }

  /** Another microphone in a running call. @param {MediaStreamTrack} track */
  async replace(track) {
    for (const sender of this.rtc.connection?.getSenders() ?? []) {
      if (sender.track?.kind === "audio" || sender.track === null) await sender.replaceTrack(track);
    }
    track.enabled = !this.muted.value;
  }
}

/** Seconds of the automatic answer that the INVITE asks for, or null. @param {any} request @returns {number | null} */
function autoAnswer(request) {
  const found = AUTO_ANSWER.exec(String(request?.getHeader("Call-Info") ?? ""));
  return found ? Number(found[1]) : null;
}
