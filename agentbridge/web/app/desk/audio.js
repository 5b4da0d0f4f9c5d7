/** Microphone, loudspeaker and ringing: chosen, measured, and replaced while somebody talks. @module */
import { signal } from "../vendor.js";
import { log } from "./log.js";

const STORED = "agentbridge.devices";
/** Seconds of ringing and of silence, its two tones in Hz, and its loudness; softer while somebody talks. */
const RING = { on: 1, off: 3, tones: [440, 480], loud: 0.12, soft: 0.03 };

/** @typedef {{microphone: string, speaker: string, ringer: string}} Chosen device ids; empty: the system's own */
/** @typedef {HTMLAudioElement & {setSinkId?: (id: string) => Promise<void>}} Sink */

/** @type {import("../vendor.js").Signal<Chosen>} */
export const chosen = signal({ microphone: "", speaker: "", ringer: "", ...stored() });
/** @type {import("../vendor.js").Signal<MediaDeviceInfo[]>} */
export const devices = signal([]);
/** Why there is no microphone: `denied`, `missing`, `unplugged`, `busy`; empty when there is one. */
export const trouble = signal("");
/** Loudness of the microphone, 0 to 1. */
export const level = signal(0);

/** @type {AudioContext | null} */
let context = null;
/** @type {MediaStream | null} */
let stream = null;
/** @type {Promise<MediaStream> | null} */
let opening = null;
/** @type {(() => void)[]} */
let replaced = [];
/** What plays calls now. @type {Set<Sink>} */
const playing = new Set();

function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORED) ?? "{}");
  } catch {
    return {};
  }
}

/** Before a press of a key or button the browser plays nothing: called by one, or it waits for the next. */
export function unlock() {
  context ??= new AudioContext();
  if (context.state === "running") return;
  const resume = () => void context?.resume();
  resume();
  for (const event of ["pointerdown", "keydown"]) addEventListener(event, resume, { once: true });
}

/** Told when the microphone's track is another one, e.g. since a headset was unplugged. @param {() => void} then */
export function onReplaced(then) {
  replaced.push(then);
  return () => void (replaced = replaced.filter((other) => other !== then));
}

/** The microphone's stream; asked for once, and again when its device went. Throws with `trouble` set. @returns {Promise<MediaStream>} */
export async function microphone() {
  if (stream?.getAudioTracks().some((track) => track.readyState === "live")) return stream;
  opening ??= open().finally(() => (opening = null));
  return opening;
}

async function open() {
  try {
    const deviceId = chosen.value.microphone ? { ideal: chosen.value.microphone } : undefined;
    stream = await navigator.mediaDevices.getUserMedia({ audio: { deviceId, echoCancellation: true, noiseSuppression: true } });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    trouble.value = name === "NotAllowedError" ? "denied" : name === "NotFoundError" || name === "OverconstrainedError" ? "missing" : "busy";
    log("warning", "microphone.none", { why: trouble.value, error: name });
    throw error;
  }
  trouble.value = "";
  for (const track of stream.getAudioTracks()) track.addEventListener("ended", unplugged);
  measure(stream);
  await refresh();
  return stream;
}

async function unplugged() {
  log("warning", "microphone.unplugged");
  trouble.value = "unplugged";
  stream = null;
  try {
    await microphone();
    for (const then of replaced) then();
  } catch {
    trouble.value = "unplugged"; // a device that is plugged in is tried by devicechange
  }
}

export async function refresh() {
  devices.value = await navigator.mediaDevices.enumerateDevices();
}

/** @param {keyof Chosen} which @param {string} id */
export async function choose(which, id) {
  chosen.value = { ...chosen.value, [which]: id };
  localStorage.setItem(STORED, JSON.stringify(chosen.value));
  if (which === "speaker") for (const audio of playing) steer(audio, id);
  if (which !== "microphone" || !stream) return;
  closeMicrophone();
  await microphone();
  for (const then of replaced) then();
}

/** Nobody listens any more: the browser says so too. Calls end their copies themselves. */
export function closeMicrophone() {
  for (const track of stream?.getAudioTracks() ?? []) {
    track.removeEventListener("ended", unplugged);
    track.stop();
  }
  stream = null;
  level.value = 0;
}

/** @param {Sink} audio @param {string} id of a device; one that is gone plays on the system's own */
function steer(audio, id) {
  void audio.setSinkId?.(id).catch(() => void audio.setSinkId?.(""));
}

/** An ear for one call, on the chosen loudspeaker. @returns {HTMLAudioElement} */
export function ear() {
  const audio = /** @type {Sink} */ (new Audio());
  if (chosen.value.speaker) steer(audio, chosen.value.speaker);
  playing.add(audio);
  return audio;
}

/** @param {HTMLAudioElement} audio */
export function deafen(audio) {
  audio.pause();
  audio.srcObject = null;
  playing.delete(audio);
}

/** @param {MediaStream} source */
function measure(source) {
  if (!context) return;
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  const heard = context.createMediaStreamSource(source);
  heard.connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    if (stream !== source) {
      heard.disconnect();
      return clearInterval(timer);
    }
    if (document.visibilityState !== "visible") return;
    analyser.getFloatTimeDomainData(samples);
    level.value = Math.min(1, Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length) * 4);
  }, 120);
}

/** Where rings are heard, made once: a browser keeps each destination as long as its context. @type {{speaker: MediaStreamAudioDestinationNode, audio: Sink} | null} */
let bell = null;
/** Calls that ring now. */
let ringing = 0;

/** @param {AudioContext} sound */
function makeBell(sound) {
  const speaker = sound.createMediaStreamDestination();
  const audio = /** @type {Sink} */ (new Audio());
  audio.srcObject = speaker.stream;
  return { speaker, audio };
}

/** Rings until the function that it returns is called, on the device chosen for ringing. @param {boolean} soft @returns {() => void} */
export function ring(soft) {
  if (!context) return () => {};
  const sound = context;
  bell ??= makeBell(sound);
  const { speaker, audio } = bell;
  const loudness = sound.createGain();
  loudness.gain.value = 0;
  loudness.connect(speaker);
  steer(audio, chosen.value.ringer);
  ringing += 1;
  void audio.play().catch(() => {});
  const tones = RING.tones.map((hertz) => {
    const tone = sound.createOscillator();
    tone.frequency.value = hertz;
    tone.connect(loudness);
    tone.start();
    return tone;
  });
  const turn = () => {
    loudness.gain.setValueAtTime(soft ? RING.soft : RING.loud, sound.currentTime);
    loudness.gain.setValueAtTime(0, sound.currentTime + RING.on);
  };
  turn();
  const timer = setInterval(turn, (RING.on + RING.off) * 1000);
  return () => {
    clearInterval(timer);
    for (const tone of tones) tone.stop();
    loudness.disconnect();
    ringing -= 1;
    if (ringing === 0) audio.pause();
  };
}

navigator.mediaDevices?.addEventListener("devicechange", () => {
  void refresh();
  if (trouble.value === "unplugged" || trouble.value === "missing") void unplugged();
});
