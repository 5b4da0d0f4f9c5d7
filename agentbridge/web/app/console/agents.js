/** Agents: the list with its bulk changes and CSV, and one agent with all its tabs. @module */
import { get, patch, post, Problem, put, remove, request } from "../core/api.js";
import { dateTime, t } from "../core/i18n.js";
import { go } from "../core/router.js";
import { Form } from "../ui/forms.js";
import { Search, Table, useList } from "../ui/lists.js";
import { Act, Dialog, Field, Notice, say, Since, State, words } from "../ui/parts.js";
import { html, useEffect, useRef, useSignal } from "../vendor.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {import("../core/live.js").Live} Live */
/** @typedef {import("../ui/forms.js").Entry} Entry */

const WAIT = { wait: 5 };
const path = (/** @type {string} */ username) => `/agents/${encodeURIComponent(username)}`;
/** @type {(name: string, kind: Entry["kind"], more?: Partial<Entry>) => Entry} */
const entry = (name, kind, more = {}) => ({ name, kind, ...more });

/** The fields of each tab. `only`: the typologies that have the field. @type {Record<string, (Entry & {only?: string[]})[]>} */
const TABS = {
  person: [
    entry("username", "text", { required: true }), entry("full_name", "text"), entry("alias", "text"), entry("email", "text"),
    entry("internal", "text"), entry("typology", "choice", { choices: ["phonebar", "external", "webrtc"] }), entry("description", "long"),
    entry("login_in_pause", "bool"), { ...entry("hot_desk", "bool"), only: ["external"] }, entry("voicemail", "bool"), entry("deactivated", "bool"),
  ],
  voice: [
    entry("transport", "list", { hint: "hint.transport" }), entry("codecs", "list"), entry("host", "text"), entry("nat", "list"),
    entry("sip_type", "choice", { choices: ["friend", "user", "peer"] }), entry("caller_id", "text"), entry("context", "text"),
    entry("call_group", "text"), entry("pickup_group", "text"), entry("record_calls", "choice", { choices: ["inactive", "wav", "wav49", "gsm"] }), entry("record_made_calls", "bool"),
    entry("chanspy", "bool"), entry("mask_sensitive", "bool"), entry("sip_expires", "number"), { ...entry("sip_port", "number"), only: ["phonebar"] },
  ],
  client: [
    entry("auto_answer", "bool"), entry("auto_answer_delay", "number"), { ...entry("ring_in_use", "bool"), only: ["phonebar"] },
    entry("manual_recording", "bool"), entry("dtmf_tones", "bool"), entry("dnd_in_pause", "bool"), { ...entry("unanswered_badge", "bool"), only: ["phonebar"] },
    { ...entry("jaws", "bool"), only: ["phonebar"] }, { ...entry("screen_recording", "choice", { choices: ["none", "agent", "automatic"] }), only: ["phonebar"] },
    { ...entry("screen_recording_path", "text"), only: ["phonebar"] }, { ...entry("remote_control", "bool"), only: ["phonebar"] },
    { ...entry("remote_control_port", "number"), only: ["phonebar"] }, { ...entry("forward_allowed", "bool"), only: ["phonebar"] },
    { ...entry("forward_to", "text"), only: ["phonebar"] }, { ...entry("ignore_pause_preview", "bool"), only: ["webrtc"] },
    entry("may_see_settings", "bool"), entry("may_change_settings", "bool"), entry("client_log", "bool"),
    entry("client_log_level", "choice", { choices: ["error", "warning", "info", "debug"] }),
  ],
  rights: [
    entry("may_call", "bool"), entry("may_spy", "bool"), entry("prefix_required", "bool"), entry("internal_messenger", "bool"), entry("recall_me", "bool"),
    entry("download_recordings", "bool"), entry("download_attachments", "bool"), entry("download_interactions", "bool"),
  ],
};
const NEW = [
  entry("username", "text", { required: true }), entry("full_name", "text"),
  entry("typology", "choice", { choices: ["phonebar", "external", "webrtc"] }), entry("internal", "text", { hint: "hint.internal" }),
];

/** @param {{live: Live, who: Data, rest: string[]}} props */
export function Agents({ live, who, rest }) {
  const [chosen] = rest;
  const list = useList("/agents", {}, "full_name");
  const selection = useSignal(/** @type {Set<string>} */ (new Set()));
  const dialog = useSignal("");
  const mayChange = who.roles.some((/** @type {string} */ role) => role === "admin" || role === "user");
  const agents = live.of("agent");
  return html`<div class=${chosen ? "split" : ""}>
    <section class="panel">
      <div class="tools"><${Search} list=${list} label=${t("agents.search")} /><span class="grow"></span>
        ${selection.value.size > 0 && html`<b class="small">${t("list.selected", { count: selection.value.size })}</b>
          <${Act} act=${() => exported([...selection.value])}>${t("agents.export")}<//>
          ${mayChange && html`<button type="button" onClick=${() => (dialog.value = "queue")}>${t("agents.to_queue")}</button>
            <button type="button" class="danger" onClick=${() => (dialog.value = "delete")}>${t("agents.delete")}</button>`}`}
        ${mayChange && html`<button type="button" onClick=${() => (dialog.value = "import")}>${t("agents.import")}</button>
          <button type="button" class="main" onClick=${() => (dialog.value = "new")}>${t("agents.new")}</button>`}
      </div>
      <${Table} list=${list} caption=${t("nav.agents")} keyOf=${(/** @type {Data} */ row) => row.username} selection=${selection} chosen=${chosen}
        empty=${t("agents.empty")} columns=${[
          { name: "agents.name", sort: "full_name", class: "clip", cell: (/** @type {Data} */ row) => html`<a href=${`/console${path(row.username)}`}>${row.alias || row.full_name || row.username}</a>` },
          { name: "agents.number", sort: "internal", class: "num", cell: (/** @type {Data} */ row) => row.internal },
          { name: "agents.state", cell: (/** @type {Data} */ row) => html`<${Now} data=${agents.get(row.username)} row=${row} live=${live} />` },
          { name: "agents.queues", class: "clip dim", cell: (/** @type {Data} */ row) => row.queues.join(", ") },
          { name: "agents.client", class: "dim", cell: (/** @type {Data} */ row) => t(`typology.${row.typology}`) + (row.telephone ? ` · ${row.telephone}` : "") },
        ]} />
    </section>
    ${chosen && html`<${One} key=${chosen} username=${chosen} live=${live} mayChange=${mayChange} who=${who} changed=${list.again} />`}
    ${dialog.value === "new" && html`<${Dialog} title=${t("agents.new")} onClose=${() => (dialog.value = "")}>
      <${Form} entries=${NEW} record=${{ typology: "phonebar" }} action=${t("agents.create")} onCancel=${() => (dialog.value = "")}
        submit=${async (/** @type {Data} */ changes) => {
          const made = await post("/agents", changes);
          dialog.value = "";
          list.again();
          go(`/console${path(made.username)}`);
        }} /><//>`}
    ${dialog.value === "queue" && html`<${ToQueue} usernames=${[...selection.value]} onClose=${() => { dialog.value = ""; list.again(); }} />`}
    ${dialog.value === "delete" && html`<${Deleting} usernames=${[...selection.value]} live=${live}
      onClose=${(/** @type {boolean} */ done) => { dialog.value = ""; if (done) { selection.value = new Set(); list.again(); } }} />`}
    ${dialog.value === "import" && html`<${Importing} onClose=${() => { dialog.value = ""; list.again(); }} />`}
  </div>`;
}

/** @param {{data: Data | undefined, row: Data, live: Live}} props */
function Now({ data, row, live }) {
  if (row.deactivated) return html`<${State} state="offline" word=${t("agents.deactivated")} />`;
  if (row.locked) return html`<${State} state="unreachable" word=${t("agents.locked")} />`;
  const state = data?.state ?? (!row.logged_in ? "offline" : row.paused ? "paused" : "ready");
  const reason = state === "paused" ? (data?.pause_reason ?? row.pause_reason ?? "") : "";
  return html`<${State} state=${state} word=${reason} /> ${data?.since && state !== "offline" && html`<span class="small dim"><${Since} since=${data.since} now=${() => live.now()} /></span>`}`;
}

/** @param {string[]} usernames */
async function exported(usernames) {
  const response = await fetch(`/v1/agents/export?${new URLSearchParams(usernames.map((name) => ["username", name]))}`);
  if (!response.ok) throw new Problem(response.status, { detail: response.statusText });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = "agents.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {{usernames: string[], onClose: () => void}} props */
function ToQueue({ usernames, onClose }) {
  const queues = useSignal(/** @type {string[]} */ ([]));
  const chosen = useSignal("");
  const failed = useSignal(/** @type {string[]} */ ([]));
  useEffect(() => void get("/queues?limit=500").then((page) => (queues.value = page.items.map((/** @type {Data} */ queue) => queue.name))), []);
  const add = async () => {
    failed.value = [];
    for (const username of usernames) {
      try {
        const there = await get(`${path(username)}/queues`);
        await put(`${path(username)}/queues`, { queues: { ...there.queues, [chosen.value]: 0 } });
      } catch (error) {
        failed.value = [...failed.value, `${username}: ${words(error)}`];
      }
    }
    if (failed.value.length === 0) onClose();
  };
  return html`<${Dialog} title=${t("agents.to_queue")} onClose=${onClose}>
    <${Field} label=${t("agents.queue")}>${(/** @type {string} */ id) => html`<select id=${id} onChange=${(/** @type {Event} */ event) => (chosen.value = /** @type {HTMLSelectElement} */ (event.target).value)}>
      <option value=""></option>${queues.value.map((name) => html`<option key=${name}>${name}</option>`)}</select>`}<//>
    ${failed.value.map((text) => html`<p key=${text} class="wrong" role="alert">${text}</p>`)}
    <div class="row"><span class="grow"></span><button type="button" onClick=${onClose}>${t("cancel")}</button>
      <${Act} class="main" disabled=${!chosen.value} act=${add}>${t("agents.add", { count: usernames.length })}<//></div><//>`;
}

/** Names who is in a call before anything is deleted. @param {{usernames: string[], live: Live, onClose: (done: boolean) => void}} props */
function Deleting({ usernames, live, onClose }) {
  const inCall = usernames.filter((name) => ["talking", "held", "ringing"].includes(live.of("agent").get(name)?.state));
  return html`<${Dialog} title=${t("agents.delete_title", { count: usernames.length })} onClose=${() => onClose(false)}>
    <p>${t("agents.delete_text")}</p>
    <p class="dim">${usernames.slice(0, 20).join(", ")}${usernames.length > 20 ? " …" : ""}</p>
    ${inCall.length > 0 && html`<${Notice} kind="alarm">${t("agents.in_call", { names: inCall.join(", ") })}<//>`}
    <div class="row"><span class="grow"></span><button type="button" onClick=${() => onClose(false)}>${t("cancel")}</button>
      <${Act} class="danger" act=${async () => { await post("/agents:delete", { usernames }); onClose(true); }}>${t("agents.delete")}<//></div><//>`;
}

/** CSV in: a dry run first, and each line's error beside it. @param {{onClose: () => void}} props */
function Importing({ onClose }) {
  const file = useSignal(/** @type {File | null} */ (null));
  const result = useSignal(/** @type {Data | null} */ (null));
  const done = useSignal(false);
  /** @param {boolean} dry */
  const send = async (dry) => {
    if (!file.value) return;
    const answer = await request("POST", `/agents/import?dry_run=${dry}`, { body: file.value, type: "text/csv" });
    result.value = answer.data;
    done.value = !dry && answer.data.errors.length === 0;
  };
  return html`<${Dialog} title=${t("agents.import")} onClose=${onClose}>
    <p class="dim">${t("agents.import_text")}</p>
    <input type="file" accept=".csv,text/csv" aria-label=${t("agents.file")} onChange=${(/** @type {Event} */ event) => {
      file.value = /** @type {HTMLInputElement} */ (event.target).files?.[0] ?? null;
      result.value = null;
    }} />
    ${result.value && (result.value.errors.length === 0
      ? html`<${Notice} kind="good" role="status">${t(done.value ? "agents.imported" : "agents.import_fine", { count: result.value.created })}<//>`
      : html`<div role="alert"><p class="wrong">${t("agents.import_wrong", { count: result.value.errors.length })}</p>
          <table><caption class="hidden-text">${t("agents.import_errors")}</caption><thead><tr><th scope="col">${t("agents.line")}</th><th scope="col">${t("agents.error")}</th></tr></thead>
          <tbody>${result.value.errors.slice(0, 100).map((/** @type {Data} */ error) => html`<tr key=${error.line}><td class="num">${error.line}</td><td style=${{ whiteSpace: "normal" }}>${error.detail ?? error.error ?? error.message}</td></tr>`)}</tbody></table></div>`)}
    <div class="row"><span class="grow"></span><button type="button" onClick=${onClose}>${t("close")}</button>
      <${Act} disabled=${!file.value} act=${() => send(true)}>${t("agents.try")}<//>
      <${Act} class="main" disabled=${!file.value || !result.value || result.value.errors.length > 0 || done.value} act=${() => send(false)}>${t("agents.import_do")}<//></div><//>`;
}

/** @param {{username: string, live: Live, mayChange: boolean, who: Data, changed: () => void}} props */
function One({ username, live, mayChange, who, changed }) {
  const agent = useSignal(/** @type {Data | null} */ (null));
  const theirs = useSignal(/** @type {Data | null} */ (null));
  const wrong = useSignal("");
  const tab = useSignal("person");
  const etag = useRef("");
  const load = async () => {
    try {
      const answer = await request("GET", path(username));
      agent.value = answer.data;
      etag.current = answer.etag;
    } catch (error) {
      wrong.value = words(error);
    }
  };
  useEffect(() => void load(), [username]);
  /** @param {Data} changes */
  const save = async (changes) => {
    try {
      await patch(path(username), changes, { etag: etag.current });
    } catch (error) {
      if (error instanceof Problem && error.status === 412) {
        theirs.value = { mine: changes, now: error.body.current ?? (await get(path(username))) };
        return;
      }
      throw error;
    }
    changed();
    if (changes.username) go(`/console${path(changes.username)}`, true);
    else await load();
  };
  const record = agent.value;
  if (wrong.value) return html`<section class="panel pad"><p class="wrong" role="alert">${wrong.value}</p></section>`;
  if (!record) return html`<section class="panel pad" aria-busy="true"></section>`;
  const status = record.status;
  const tabs = [...Object.keys(TABS), "queues", "secrets"];
  const mayHear = who.roles.includes("supervisor") || who.roles.includes("admin");
  const now = live.of("agent").get(username);
  const talks = ["talking", "held"].includes(now?.state);
  const whyNot = !mayHear ? t("spy.not_you") : !record.chanspy ? t("spy.closed") : !talks ? t("spy.no_call") : "";
  return html`<section class="panel" aria-label=${record.full_name || username}>
    <header><div><h1>${record.full_name || username}</h1><span class="small dim">${username} · <span class="num">${record.internal}</span> · ${t(`typology.${record.typology}`)}</span></div>
      <span class="grow"></span>
      <${Act} disabled=${Boolean(whyNot)} why=${whyNot} act=${() => put(`${path(username)}/spy`, { mode: "listen" })}>${t("spy.listen")}<//>
      ${status.logged_in && mayChange && html`<${Act} act=${async () => { await remove(`${path(username)}/session`, WAIT); await load(); }}>${t("agents.log_out")}<//>`}
      <a class="button quiet" href="/console/agents" aria-label=${t("close")}>✕</a></header>
    <div class="pad row wrap">${status.error
      ? html`<${Notice} kind="alarm">${status.error}<//>`
      : status.pending ? html`<${State} state="ringing" word=${t("agents.pending")} />` : html`<${State} state="ready" word=${t("agents.in_asterisk", { at: status.applied_at ? dateTime(status.applied_at) : "" })} />`}
      ${record.locked && mayChange && html`<${Act} act=${async () => { await remove(`${path(username)}/lock`); await load(); }}>${t("agents.unlock")}<//>`}</div>
    <div class="tabs" role="tablist">${tabs.map((name) => html`<button key=${name} type="button" role="tab" id=${`tab-${name}`} aria-selected=${tab.value === name}
      aria-controls="tab-panel" tabindex=${tab.value === name ? 0 : -1} onClick=${() => (tab.value = name)} onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
        const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
        if (!step) return;
        tab.value = /** @type {string} */ (tabs[(tabs.indexOf(tab.value) + step + tabs.length) % tabs.length]);
        document.getElementById(`tab-${tab.value}`)?.focus();
      }}>${t(`tab.${name}`)}</button>`)}</div>
    <div class="pad" id="tab-panel" role="tabpanel" aria-labelledby=${`tab-${tab.value}`}>
      ${tab.value === "queues" ? html`<${Memberships} username=${username} record=${record} mayChange=${mayChange} changed=${async () => { await load(); changed(); }} />`
        : tab.value === "secrets" ? html`<${Password} username=${username} mayChange=${mayChange} />`
        : html`<${Form} key=${tab.value} entries=${TABS[tab.value]?.filter((field) => !field.only || field.only.includes(record.typology))} record=${record} submit=${save} action=${t("save")} />`}
    </div>
    ${theirs.value && html`<${Dialog} title=${t("conflict.title")} onClose=${() => (theirs.value = null)}>
      <p>${t("conflict.text")}</p><table><thead><tr><th></th><th scope="col">${t("conflict.now")}</th><th scope="col">${t("conflict.yours")}</th></tr></thead>
      <tbody>${Object.keys(theirs.value.mine).map((name) => html`<tr key=${name}><th scope="row">${t(`field.${name}`)}</th><td>${String(theirs.value?.now[name] ?? "")}</td><td>${String(theirs.value?.mine[name])}</td></tr>`)}</tbody></table>
      <div class="row"><span class="grow"></span>
        <button type="button" onClick=${async () => { theirs.value = null; await load(); }}>${t("conflict.take_now")}</button>
        <${Act} class="main" act=${async () => { const mine = theirs.value?.mine ?? {}; theirs.value = null; await load(); await save(mine); }}>${t("conflict.take_yours")}<//></div><//>`}
  </section>`;
}

/** @param {{username: string, record: Data, mayChange: boolean, changed: () => Promise<void>}} props */
function Memberships({ username, record, mayChange, changed }) {
  const queues = useSignal(/** @type {string[]} */ ([]));
  const added = useSignal("");
  useEffect(() => void get("/queues?limit=500").then((page) => (queues.value = page.items.map((/** @type {Data} */ queue) => queue.name)), () => {}), []);
  /** @param {Record<string, number>} memberships */
  const set = async (memberships) => {
    await put(`${path(username)}/queues`, { queues: memberships });
    await changed();
  };
  const mine = /** @type {Record<string, number>} */ (record.queues);
  return html`<div class="lines">
    ${Object.keys(mine).length === 0 && html`<p>${t("agents.no_queue")}</p>`}
    ${Object.entries(mine).map(([name, penalty]) => html`<div key=${name}><b>${name}</b><span class="dim">${t("agents.penalty", { penalty })}</span><span class="grow"></span>
      ${mayChange && html`<${Act} class="quiet" label=${`${t("agents.take_out")} ${name}`} act=${() => set(Object.fromEntries(Object.entries(mine).filter(([other]) => other !== name)))}>${t("agents.take_out")}<//>`}</div>`)}
    ${mayChange && html`<div><select aria-label=${t("agents.queue")} value=${added.value} onChange=${(/** @type {Event} */ event) => (added.value = /** @type {HTMLSelectElement} */ (event.target).value)}>
      <option value=""></option>${queues.value.filter((name) => !(name in mine)).map((name) => html`<option key=${name}>${name}</option>`)}</select>
      <${Act} disabled=${!added.value} act=${async () => { await set({ ...mine, [added.value]: 0 }); added.value = ""; }}>${t("agents.put_in")}<//></div>`}
    ${record.teams.length > 0 && html`<p class="dim">${t("agents.teams", { names: record.teams.join(", ") })}</p>`}
  </div>`;
}

/** @param {{username: string, mayChange: boolean}} props */
function Password({ username, mayChange }) {
  if (!mayChange) return html`<p class="dim">${t("agents.no_right")}</p>`;
  return html`<${Form} entries=${[entry("password", "password", { required: true })]} record=${{}} action=${t("agents.set_password")}
    submit=${async (/** @type {Data} */ changes) => { await put(`${path(username)}/password`, changes); say(t("agents.password_set"), "good"); }} />`;
}
