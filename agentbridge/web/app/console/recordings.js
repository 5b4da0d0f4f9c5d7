/** Recordings: found by agent and day, played with their waveform. @module */
import { remove } from "../core/api.js";
import { dateTime, duration, language, t } from "../core/i18n.js";
import { Search, Table, useList } from "../ui/lists.js";
import { Act, Dialog, State, words } from "../ui/parts.js";
import { html, useEffect, useRef, useSignal } from "../vendor.js";

/** @typedef {Record<string, any>} Data */

/** Bars of a waveform. */
const BARS = 240;
const DAY_MS = 86_400_000;

/** @param {{who: Data}} props */
export function Recordings({ who }) {
  const from = useSignal("");
  const to = useSignal("");
  /** @type {Record<string, string>} */
  const days = {};
  if (from.value) days.since = new Date(`${from.value}T00:00`).toISOString();
  if (to.value) days.until = new Date(new Date(`${to.value}T00:00`).getTime() + DAY_MS).toISOString();
  const list = useList("/recordings", days, "-started_at");
  const playing = useSignal(/** @type {Data | null} */ (null));
  const deleting = useSignal(/** @type {Data | null} */ (null));
  const admin = who.roles.includes("admin");
  const name = (/** @type {Data} */ row) => `${row.username ?? t("recordings.gone")} · ${row.internal}`;
  /** @param {import("../vendor.js").Signal<string>} day @param {string} label */
  const field = (day, label) => html`<label class="row tight small dim">${label} <input type="date" value=${day.value} onChange=${(/** @type {Event} */ event) => {
    day.value = /** @type {HTMLInputElement} */ (event.target).value;
    list.search(list.query.value);
  }} /></label>`;
  return html`<section class="panel"><div class="tools"><h1>${t("nav.recordings")}</h1><${Search} list=${list} label=${t("recordings.search")} /><span class="grow"></span>
      ${field(from, t("recordings.from"))}${field(to, t("recordings.to"))}</div>
    <${Table} list=${list} caption=${t("nav.recordings")} keyOf=${(/** @type {Data} */ row) => String(row.id)} empty=${t(from.value || to.value ? "recordings.none_then" : "recordings.empty")} chosen=${String(playing.value?.id ?? "")} columns=${[
      { name: "recordings.at", class: "num", sort: "started_at", cell: (/** @type {Data} */ row) => dateTime(row.started_at) },
      { name: "recordings.agent", sort: "username", cell: name },
      { name: "recordings.part", class: "num dim minor", cell: (/** @type {Data} */ row) => `${row.part} · ${row.format}` },
      { name: "recordings.length", class: "num minor", cell: (/** @type {Data} */ row) => (row.ended_at ? duration((Date.parse(row.ended_at) - Date.parse(row.started_at)) / 1000) : html`<${State} state="talking" word=${t("recordings.running")} />`) },
      { name: "recordings.play", cell: (/** @type {Data} */ row) => html`<div class="row tight"><button type="button" disabled=${!row.ended_at} aria-label=${`${t("recordings.play")}: ${name(row)}, ${dateTime(row.started_at)}`} onClick=${() => (playing.value = row)}>▶</button>
        ${row.ended_at && html`<a class="button quiet" href=${`/v1/recordings/${row.id}/audio`} download=${`${row.username ?? row.internal}-${row.id}.wav`} aria-label=${`${t("recordings.download")}: ${name(row)}, ${dateTime(row.started_at)}`}>${t("recordings.download")}</a>`}
        ${admin && row.ended_at && html`<button type="button" class="quiet" aria-label=${`${t("delete")}: ${name(row)}, ${dateTime(row.started_at)}`} onClick=${() => (deleting.value = row)}>${t("delete")}</button>`}</div>` },
    ]} />
    ${playing.value && html`<${Player} key=${playing.value.id} recording=${playing.value} title=${name(playing.value)} onClose=${() => (playing.value = null)} />`}
    ${deleting.value && html`<${Dialog} title=${t("delete_title", { name: name(deleting.value) })} onClose=${() => (deleting.value = null)}>
      <p>${t("recordings.delete_text", { at: dateTime(deleting.value.started_at) })}</p><div class="row wrap"><span class="grow"></span>
      <button type="button" onClick=${() => (deleting.value = null)}>${t("cancel")}</button>
      <${Act} class="danger" act=${async () => {
        const { id } = deleting.value ?? {};
        await remove(`/recordings/${id}`);
        if (playing.value?.id === id) playing.value = null;
        deleting.value = null;
        list.again();
      }}>${t("delete")}<//></div><//>`}</section>`;
}

/** Plays one recording, with its waveform to look for where somebody speaks. @param {{recording: Data, title: string, onClose: () => void}} props */
function Player({ recording, title, onClose }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const audio = useRef(/** @type {HTMLAudioElement | null} */ (null));
  const peaks = useRef(/** @type {number[]} */ ([]));
  const wrong = useSignal("");
  const source = useSignal("");
  useEffect(() => {
    const controller = new AbortController();
    const load = async () => {
      const response = await fetch(`/v1/recordings/${recording.id}/audio`, { signal: controller.signal });
      if (!response.ok) throw new Error(t("recordings.unreadable"));
      const content = await response.blob();
      source.value = URL.createObjectURL(content);
      const context = new OfflineAudioContext(1, 1, 8000);
      const samples = (await context.decodeAudioData(await content.arrayBuffer())).getChannelData(0);
      const each = Math.max(1, Math.ceil(samples.length / BARS));
      peaks.current = Array.from({ length: BARS }, (_, bar) => {
        let peak = 0;
        for (let i = bar * each; i < Math.min(samples.length, (bar + 1) * each); i++) peak = Math.max(peak, Math.abs(samples[i] ?? 0));
        return peak;
      });
      draw();
    };
    load().catch((error) => !controller.signal.aborted && (wrong.value = words(error)));
    return () => {
      controller.abort();
      if (source.value) URL.revokeObjectURL(source.value);
    };
  }, []);
  /** What was played is in the accent's colour, the rest is dim. */
  const draw = () => {
    const pen = canvas.current?.getContext("2d");
    if (!pen || !canvas.current) return;
    const { width, height } = canvas.current;
    const style = getComputedStyle(canvas.current);
    const share = audio.current?.duration ? audio.current.currentTime / audio.current.duration : 0;
    const loudest = Math.max(0.05, ...peaks.current);
    pen.clearRect(0, 0, width, height);
    peaks.current.forEach((peak, bar) => {
      const tall = Math.max(2, (peak / loudest) * height);
      pen.fillStyle = bar / BARS < share ? style.color : style.borderTopColor;
      pen.fillRect((bar * width) / BARS, (height - tall) / 2, Math.max(1, width / BARS - 1), tall);
    });
  };
  useEffect(draw, [language.value]);
  return html`<div class="pad stack tight player" role="group" aria-label=${t("recordings.player", { agent: title, at: dateTime(recording.started_at) })}>
    <div class="row"><b>${title}</b><span class="dim">${dateTime(recording.started_at)}</span><span class="grow"></span>
      <button type="button" class="quiet" aria-label=${t("close")} onClick=${onClose}>✕</button></div>
    <canvas ref=${canvas} width="960" height="72" class="wave" dir="ltr" aria-hidden="true" onClick=${(/** @type {MouseEvent} */ event) => {
      if (audio.current && canvas.current && Number.isFinite(audio.current.duration)) audio.current.currentTime = (event.offsetX / canvas.current.clientWidth) * audio.current.duration;
    }}></canvas>
    ${source.value && html`<audio ref=${audio} controls autoplay src=${source.value} aria-label=${t("recordings.player", { agent: title, at: dateTime(recording.started_at) })} onTimeUpdate=${draw} onSeeked=${draw}></audio>`}
    ${wrong.value && html`<p class="wrong" role="alert">${wrong.value}</p>`}</div>`;
}
