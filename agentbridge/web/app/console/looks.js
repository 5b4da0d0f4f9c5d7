/** Pages that look back or look inside: recordings, audit, settings, system. @module */
import { get, patch, post, remove, request } from "../core/api.js";
import { dateTime, number, t } from "../core/i18n.js";
import { Form } from "../ui/forms.js";
import { Search, Table, useList } from "../ui/lists.js";
import { Act, Dialog, Notice, say, State, words } from "../ui/parts.js";
import { html, useEffect, useRef, useSignal } from "../vendor.js";

/** @typedef {Record<string, any>} Data */

/** Bars of a waveform. */
const BARS = 240;

/** @param {{who: Data}} props */
export function Recordings({ who }) {
  const list = useList("/recordings", {}, "");
  const playing = useSignal(/** @type {Data | null} */ (null));
  return html`<section class="panel"><div class="tools"><${Search} list=${list} label=${t("recordings.search")} /></div>
    ${playing.value && html`<${Player} key=${playing.value.id} recording=${playing.value} />`}
    <${Table} list=${list} caption=${t("nav.recordings")} keyOf=${(/** @type {Data} */ row) => String(row.id)} empty=${t("recordings.empty")} chosen=${String(playing.value?.id ?? "")} columns=${[
      { name: "recordings.at", sort: "started_at", class: "num", cell: (/** @type {Data} */ row) => dateTime(row.started_at) },
      { name: "recordings.agent", cell: (/** @type {Data} */ row) => `${row.username ?? t("recordings.gone")} · ${row.internal}` },
      { name: "recordings.part", class: "num", cell: (/** @type {Data} */ row) => `${row.part} · ${row.format}` },
      { name: "recordings.length", class: "num", cell: (/** @type {Data} */ row) => (row.ended_at ? t("recordings.seconds", { seconds: Math.round((Date.parse(row.ended_at) - Date.parse(row.started_at)) / 1000) }) : html`<${State} state="talking" word=${t("recordings.running")} />`) },
      { name: "recordings.play", cell: (/** @type {Data} */ row) => html`<button type="button" disabled=${!row.ended_at} aria-label=${`${t("recordings.play")} ${row.username ?? ""} ${dateTime(row.started_at)}`} onClick=${() => (playing.value = row)}>▶</button>
        ${who.roles.includes("admin") && html`<${Act} class="quiet" label=${`${t("delete")} ${row.id}`} act=${async () => { await remove(`/recordings/${row.id}`); list.again(); }}>${t("delete")}<//>`}` },
    ]} /></section>`;
}

/** Plays one recording, with its waveform to look for where somebody speaks. @param {{recording: Data}} props */
function Player({ recording }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const audio = useRef(/** @type {HTMLAudioElement | null} */ (null));
  const wrong = useSignal("");
  const source = `/v1/recordings/${recording.id}/audio`;
  useEffect(() => {
    const controller = new AbortController();
    const draw = async () => {
      const response = await fetch(source, { signal: controller.signal });
      if (!response.ok) throw new Error(t("recordings.unreadable"));
      const context = new OfflineAudioContext(1, 1, 8000);
      const samples = (await context.decodeAudioData(await response.arrayBuffer())).getChannelData(0);
      const pen = canvas.current?.getContext("2d");
      if (!pen || !canvas.current) return;
      const { width, height } = canvas.current;
      pen.clearRect(0, 0, width, height);
      pen.fillStyle = getComputedStyle(canvas.current).color;
      const each = Math.max(1, Math.floor(samples.length / BARS));
      for (let bar = 0; bar < BARS; bar++) {
        let peak = 0;
        for (let i = bar * each; i < Math.min(samples.length, (bar + 1) * each); i++) peak = Math.max(peak, Math.abs(samples[i] ?? 0));
        const tall = Math.max(1, peak * height);
        pen.fillRect((bar * width) / BARS, (height - tall) / 2, Math.max(1, width / BARS - 1), tall);
      }
    };
    draw().catch((error) => !controller.signal.aborted && (wrong.value = words(error)));
    return () => controller.abort();
  }, [source]);
  return html`<div class="pad stack tight"><canvas ref=${canvas} width="960" height="72" class="wave" aria-hidden="true" onClick=${(/** @type {MouseEvent} */ event) => {
      if (audio.current && canvas.current && Number.isFinite(audio.current.duration)) audio.current.currentTime = (event.offsetX / canvas.current.clientWidth) * audio.current.duration;
    }}></canvas>
    <audio ref=${audio} controls autoplay src=${source} aria-label=${t("recordings.player", { agent: recording.username ?? "", at: dateTime(recording.started_at) })}></audio>
    ${wrong.value && html`<p class="wrong" role="alert">${wrong.value}</p>`}</div>`;
}

export function Audit() {
  const list = useList("/audit", {}, "-at");
  return html`<section class="panel"><div class="tools"><${Search} list=${list} label=${t("list.search")} /></div>
    <${Table} list=${list} caption=${t("nav.audit")} keyOf=${(/** @type {Data} */ row) => String(row.id)} empty=${t("audit.empty")} columns=${[
      { name: "audit.at", class: "num", cell: (/** @type {Data} */ row) => dateTime(row.at) },
      { name: "audit.actor", cell: (/** @type {Data} */ row) => row.actor },
      { name: "audit.action", cell: (/** @type {Data} */ row) => row.action },
      { name: "audit.object", class: "clip", cell: (/** @type {Data} */ row) => row.object },
      { name: "audit.detail", class: "clip dim", cell: (/** @type {Data} */ row) => (row.detail ? JSON.stringify(row.detail) : "") },
    ]} /></section>`;
}

/** @type {import("../ui/forms.js").Entry[]} */
const SETTINGS = [
  { name: "internal_from", kind: "number" }, { name: "internal_to", kind: "number" }, { name: "lock_after", kind: "number", hint: "hint.lock_after" },
  { name: "mask_characters", kind: "number" }, { name: "strict_full_name", kind: "bool" }, { name: "security_suite", kind: "bool" }, { name: "screen_recording_path", kind: "text" },
];

export function SettingsPage() {
  const settings = useSignal(/** @type {Data | null} */ (null));
  const wrong = useSignal("");
  const etag = useRef("");
  const load = async () => {
    try {
      const answer = await request("GET", "/settings");
      settings.value = answer.data;
      etag.current = answer.etag;
    } catch (error) {
      wrong.value = words(error);
    }
  };
  useEffect(() => void load(), []);
  return html`<div class="stack"><section class="panel pad stack"><h1>${t("nav.settings")}</h1>
      ${wrong.value && html`<p class="wrong" role="alert">${wrong.value}</p>`}
      ${settings.value && html`<${Form} entries=${SETTINGS} record=${settings.value} action=${t("save")} submit=${async (/** @type {Data} */ changes) => {
        await patch("/settings", changes, { etag: etag.current });
        await load();
      }} />`}</section>
    <${Reasons} /><${Tokens} /></div>`;
}

function Reasons() {
  const list = useList("/pause-reasons", {}, "");
  return html`<section class="panel"><header><h2>${t("reasons.title")}</h2></header>
    <div class="lines">${list.rows.value?.map((row) => html`<div key=${row.name}><b>${row.name}</b><span class="grow"></span>
      <${Act} class="quiet" label=${`${t("delete")} ${row.name}`} act=${async () => { await remove(`/pause-reasons/${encodeURIComponent(row.name)}`); list.again(); }}>${t("delete")}<//></div>`)}
    ${list.rows.value?.length === 0 && html`<p>${t("reasons.empty")}</p>`}</div>
    <div class="pad"><${Form} entries=${[{ name: "name", kind: "text", required: true }]} record=${{}} action=${t("reasons.add")} submit=${async (/** @type {Data} */ changes) => {
      await post("/pause-reasons", { ...changes, position: list.rows.value?.length ?? 0 });
      list.again();
    }} /></div></section>`;
}

const SCOPES = ["read", "agents", "sessions", "phonebar", "calls", "recordings", "interactions", "events", "admin"];

/** Tokens for machines; a new one is shown once. */
function Tokens() {
  const list = useList("/tokens", {}, "");
  const making = useSignal(false);
  const made = useSignal("");
  return html`<section class="panel"><header><h2>${t("tokens.title")}</h2><span class="grow"></span><button type="button" onClick=${() => (making.value = true)}>${t("tokens.new")}</button></header>
    <${Table} list=${list} caption=${t("tokens.title")} keyOf=${(/** @type {Data} */ row) => row.id} empty=${t("tokens.empty")} columns=${[
      { name: "field.name", cell: (/** @type {Data} */ row) => html`<b>${row.name}</b>` },
      { name: "tokens.scopes", class: "dim", cell: (/** @type {Data} */ row) => row.scopes.join(", ") },
      { name: "tokens.expires", class: "num", cell: (/** @type {Data} */ row) => dateTime(row.expires_at) },
      { name: "tokens.used", class: "num dim", cell: (/** @type {Data} */ row) => (row.used_at ? dateTime(row.used_at) : t("tokens.never")) },
      { name: "delete", cell: (/** @type {Data} */ row) => html`<${Act} class="quiet" label=${`${t("delete")} ${row.name}`} act=${async () => { await remove(`/tokens/${row.id}`); list.again(); }}>${t("delete")}<//>` },
    ]} />
    ${making.value && html`<${Dialog} title=${t("tokens.new")} onClose=${() => { making.value = false; made.value = ""; }}>
      ${made.value ? html`<p>${t("tokens.once")}</p><input readonly value=${made.value} aria-label=${t("tokens.title")} onFocus=${(/** @type {FocusEvent} */ event) => /** @type {HTMLInputElement} */ (event.target).select()} />
        <div class="row"><span class="grow"></span><button type="button" class="main" onClick=${() => { making.value = false; made.value = ""; }}>${t("close")}</button></div>`
      : html`<${Form} entries=${[{ name: "name", kind: "text", required: true }, { name: "scopes", kind: "list", hint: "hint.scopes" }, { name: "days", kind: "number" }]} record=${{ days: 90 }} action=${t("create")} onCancel=${() => (making.value = false)}
        submit=${async (/** @type {Data} */ changes) => {
          const expires_at = new Date(Date.now() + (changes.days ?? 90) * 86_400_000).toISOString();
          made.value = (await post("/tokens", { name: changes.name, scopes: changes.scopes ?? [], expires_at })).token;
          list.again();
        }} /><p class="small faint">${SCOPES.join(", ")}</p>`}<//>`}</section>`;
}

/** Nodes, what is pending and why, and the plan with its confirmation. */
export function System() {
  const nodes = useSignal(/** @type {Data[]} */ ([]));
  const plan = useSignal(/** @type {Data | null} */ (null));
  const wrong = useSignal("");
  const load = async () => {
    try {
      nodes.value = (await get("/nodes")).items;
      plan.value = await get("/plan");
      wrong.value = "";
    } catch (error) {
      wrong.value = words(error);
    }
  };
  useEffect(() => {
    load();
    const timer = setInterval(() => document.visibilityState === "visible" && load(), 5000);
    return () => clearInterval(timer);
  }, []);
  const held = plan.value?.refused ?? [];
  return html`<div class="stack">
    ${wrong.value && html`<${Notice} kind="alarm" role="alert">${wrong.value}<//>`}
    ${held.length > 0 && html`<section class="panel pad stack"><${Notice} kind="alarm">${t("system.held")}<//>
      ${held.map((/** @type {Data} */ line) => html`<p key=${line.node}>${line.node}: ${line.reason ?? t("system.removals", { removals: line.removals ?? 0, total: line.total ?? 0 })}
        <${Act} class="danger" act=${async () => { await post("/plan/confirm", { node: line.node }); say(t("system.confirmed"), "good"); await load(); }}>${t("system.confirm")}<//></p>`)}</section>`}
    <section class="panel"><header><h2>${t("system.nodes")}</h2></header><div class="lines">
      ${nodes.value.map((node) => html`<div key=${node.node}><b>${node.node}</b>
        <${State} state=${node.alive && node.asterisk_up ? "ready" : "unreachable"} word=${!node.alive ? t("system.no_daemon") : node.asterisk_up ? t("system.up") : t("system.no_asterisk")} />
        <span class="grow"></span><span class="dim num">${t("system.counts", { pending: number(node.pending), failed: number(node.failed) })}</span><span class="faint small">${node.version}</span></div>`)}
      ${nodes.value.length === 0 && html`<p class="empty">${t("system.no_nodes")}</p>`}</div></section>
    <section class="panel"><header><h2>${t("system.failed")}</h2></header><div class="lines">
      ${(plan.value?.failed ?? []).map((/** @type {Data} */ line, /** @type {number} */ i) => html`<div key=${i}><b>${line.key ?? line.username}</b><span class="wrong">${line.error}</span></div>`)}
      ${plan.value?.failed?.length === 0 && html`<p class="dim">${t("system.none_failed")}</p>`}</div></section>
    <section class="panel"><header><h2>${t("system.pending")}</h2></header><p class="pad dim">${plan.value?.pending?.length ? plan.value.pending.join(", ") : t("system.none_pending")}</p></section>
  </div>`;
}
