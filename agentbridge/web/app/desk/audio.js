/** Microphone, loudspeaker and ringing: chosen, measured, and replaced while somebody talks. @module */
import { signal } from "../vendor.js";

const STORED = "agentbridge.devices";
/** Seconds of ringing and of silence, and its two tones in Hz. */
const RING = { on: 1, off: 3, tones: [440, 480] };

/** @typedef {{microphone: string, speaker: string, ringer: string}} Chosen device ids; empty: the system's own */

/** @type {import("../vendor.js").Signal<Chosen>} */
export const chosen = signal({ microphone: "", speaker: "", ringer: "", ...JSON.parse(localStorage.getItem(STORED) ?? "{}") });
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
/** @type {(() => void)[]} */
let replaced = [];

/** Must be called by a press of a button: before one the browser plays nothing. */
export async function unlock() {
  context ??= new AudioContext();
  await context.resume();
}

/** Told when the microphone's track is another one, e.g. since a headset was unplugged. @param {() => void} then */
export function onReplaced(then) {
  replaced.push(then);
  return () => void (replaced = replaced.filter((other) => other !== then));
}

/** The microphone's stream; asked for once, and again when its device went. Throws with `trouble` set. @returns {Promise<MediaStream>} */
export async function microphone() {
  if (stream?.getAudioTracks().some((track) => track.readyState === "live")) return stream;
  try {
    const deviceId = chosen.value.microphone ? { ideal: chosen.value.microphone } : undefined;
    stream = await navigator.mediaDevices.getUserMedia({ audio: { deviceId, echoCancellation: true, noiseSuppression: true } });
  } catch (error) {
    const name = error instanceof DOMException ? error.name : "";
    trouble.value = name === "NotAllowedError" ? "denied" : name === "NotFoundError" || name === "OverconstrainedError" ? "missing" : "busy";
    throw error;
  }
  trouble.value = "";
  for (const track of stream.getAudioTracks()) track.addEventListener("ended", unplugged);
  measure(stream);
  await refresh();
  return stream;
}

async function unplugged() {
  trouble.value = "unplugged";
  stream = null;
  try {
    await microphone();
    for (const then of replaced) then();
  } catch {
    // what is wrong stands in `trouble`; a device that is plugged in is tried by devicechange
  }
}

export async function refresh() {
  devices.value = await navigator.mediaDevices.enumerateDevices();
}

/** @param {keyof Chosen} which @param {string} id */
export async function choose(which, id) {
  chosen.value = { ...chosen.value, [which]: id };
  localStorage.setItem(STORED, JSON.stringify(chosen.value));
  if (which !== "microphone" || !stream) return;
  for (const track of stream.getAudioTracks()) {
    track.removeEventListener("ended", unplugged);
    track.stop();
  }
  stream = null;
  await microphone();
  for (const then of replaced) then();
}

/** @param {MediaStream} source */
function measure(source) {
  if (!context) return;
  const analyser = context.createAnalyser();
  analyser.fftSize = 512;
  context.createMediaStreamSource(source).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    if (stream !== source) return clearInterval(timer);
    if (document.visibilityState !== "visible") return;
    analyser.getFloatTimeDomainData(samples);
    level.value = Math.min(1, Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length) * 4);
  }, 120);
}

/** Rings until the function that it returns is called, on the device chosen for ringing. @returns {() => void} */
export function ring() {
  if (!context) return () => {};
  const bell = context.createGain();
  bell.gain.value = 0;
  const speaker = context.createMediaStreamDestination();
  bell.connect(speaker);
  const audio = new Audio();
  audio.srcObject = speaker.stream;
  const sink = /** @type {HTMLAudioElement & {setSinkId?: (id: string) => Promise<void>}} */ (audio);
  if (chosen.value.ringer && sink.setSinkId) void sink.setSinkId(chosen.value.ringer).catch(() => {});
  void audio.play();
  const tones = RING.tones.map((hertz) => {
    const tone = /** @type {AudioContext} */ (context).createOscillator();
    tone.frequency.value = hertz;
    tone.connect(bell);
    tone.start();
    return tone;
  });
  const turn = () => {
    const now = /** @type {AudioContext} */ (context).currentTime;
    bell.gain.setValueAtTime(0.12, now);
    bell.gain.setValueAtTime(0, now + RING.on);
  };
  turn();
  const timer = setInterval(turn, (RING.on + RING.off) * 1000);
  return () => {
    clearInterval(timer);
    for (const tone of tones) tone.stop();
    audio.pause();
  };
}

navigator.mediaDevices?.addEventListener("devicechange", () => {
  void refresh();
  if (trouble.value === "unplugged" || trouble.value === "missing") void unplugged();
});
