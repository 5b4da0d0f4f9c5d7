/** The list of agents: search, sort, selection over pages, bulk changes, CSV out and in. @module */
import { get, patch, post, Problem, put, request } from "../core/api.js";
import { t } from "../core/i18n.js";
import { go } from "../core/router.js";
import { Form } from "../ui/forms.js";
import { Search, Table, useList } from "../ui/lists.js";
import { Act, Dialog, Field, Notice, say, Since, State, useFocusBack, words } from "../ui/parts.js";
import { html, useEffect, useSignal } from "../vendor.js";
import { One } from "./agent.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {import("../core/live.js").Live} Live */
/** @typedef {import("../ui/forms.js").Entry} Entry */

const IN_CALL = ["talking", "held", "ringing"];
/** Agents that are named in a dialog. */
const NAMED = 20;
const path = (/** @type {string} */ username) => `/agents/${encodeURIComponent(username)}`;

/** @type {Entry[]} */
const NEW = [
  { name: "username", kind: "text", required: true }, { name: "full_name", kind: "text" },
  { name: "typology", kind: "choice", choices: ["phonebar", "external", "webrtc"] }, { name: "internal", kind: "text", hint: "hint.internal" },
];
/** What can be changed of many at once. @type {Record<string, string[]>} */
const BULK = {
  record_calls: ["inactive", "wav", "wav49", "gsm"], record_made_calls: ["on", "off"], chanspy: ["on", "off"], mask_sensitive: ["on", "off"],
  login_in_pause: ["on", "off"], may_call: ["on", "off"], download_recordings: ["on", "off"], client_log: ["on", "off"], deactivated: ["on", "off"],
};

/** @param {{live: Live, who: Data, rest: string[]}} props */
export function Agents({ live, who, rest }) {
  const [chosen] = rest;
  const list = useList("/agents", {}, "full_name");
  const selection = useSignal(/** @type {Set<string>} */ (new Set()));
  const dialog = useSignal("");
  const mayChange = who.roles.some((/** @type {string} */ role) => role === "admin" || role === "user");
  const agents = live.of("agent");
  const close = () => (dialog.value = "");
  const changed = () => {
    close();
    list.again();
  };
  const usernames = [...selection.value];
  return html`<div class=${chosen ? "split" : ""}>
    <section class="panel">
      <div class="tools"><h1>${t("nav.agents")}</h1><${Search} list=${list} label=${t("agents.search")} /><span class="grow"></span>
        ${mayChange && html`<button type="button" onClick=${() => (dialog.value = "import")}>${t("agents.import")}</button>
          <a class="button" href=${`/v1/agents/export?q=${encodeURIComponent(list.query.value)}`} download="agents.csv">${t("agents.export")}</a>
          <button type="button" class="main" onClick=${() => (dialog.value = "new")}>${t("agents.new")}</button>`}
      </div>
      ${usernames.length > 0 && html`<div class="tools chosen"><b>${t("list.selected", { count: usernames.length })}</b>
        <${Act} class="quiet" act=${async () => (selection.value = new Set(await everyKey(list)))}>${t("list.all_found")}<//>
        <button type="button" class="quiet" onClick=${() => (selection.value = new Set())}>${t("list.none")}</button><span class="grow"></span>
        ${mayChange && html`<${Act} act=${() => exported(usernames)}>${t("agents.export_chosen")}<//>
          <button type="button" onClick=${() => (dialog.value = "queue")}>${t("agents.to_queue")}</button>
          <button type="button" onClick=${() => (dialog.value = "change")}>${t("agents.change")}</button>
          <button type="button" class="danger" onClick=${() => (dialog.value = "delete")}>${t("agents.delete")}</button>`}</div>`}
      <${Table} list=${list} caption=${t("nav.agents")} keyOf=${(/** @type {Data} */ row) => row.username} selection=${selection} chosen=${chosen}
        empty=${t("agents.empty")} columns=${[
          { name: "agents.name", sort: "full_name", class: "clip", cell: (/** @type {Data} */ row) => html`<a href=${`/console${path(row.username)}`}>${row.alias || row.full_name || row.username}</a>` },
          { name: "agents.number", sort: "internal", class: "num minor", cell: (/** @type {Data} */ row) => row.internal },
          { name: "agents.state", cell: (/** @type {Data} */ row) => html`<${Now} data=${agents.get(row.username)} row=${row} live=${live} />` },
          { name: "agents.queues", class: "clip dim", cell: (/** @type {Data} */ row) => row.queues.join(", ") },
          { name: "agents.client", class: "dim minor", sort: "typology", cell: (/** @type {Data} */ row) => t(`typology.${row.typology}`) + (row.telephone ? ` · ${row.telephone}` : "") },
        ]} />
    </section>
    ${chosen && html`<${One} key=${chosen} username=${chosen} live=${live} mayChange=${mayChange} who=${who} changed=${list.again} />`}
    ${dialog.value === "new" && html`<${Dialog} title=${t("agents.new")} onClose=${close}>
      <${Form} entries=${NEW} record=${{ typology: "phonebar" }} action=${t("agents.create")} onCancel=${close}
        submit=${async (/** @type {Data} */ changes) => {
          const made = await post("/agents", changes);
          changed();
          go(`/console${path(made.username)}`);
        }} /><//>`}
    ${dialog.value === "queue" && html`<${ToQueue} usernames=${usernames} onClose=${changed} />`}
    ${dialog.value === "change" && html`<${Changing} usernames=${usernames} live=${live} onClose=${changed} />`}
    ${dialog.value === "delete" && html`<${Deleting} usernames=${usernames} live=${live}
      onClose=${(/** @type {boolean} */ done) => { if (done) selection.value = new Set(); changed(); }} />`}
    ${dialog.value === "import" && html`<${Importing} onClose=${changed} />`}
  </div>`;
}

/** The keys of all that the search finds, on every page. @param {import("../ui/lists.js").List} list @returns {Promise<string[]>} */
async function everyKey(list) {
  /** @type {string[]} */
  const keys = [];
  for (let cursor = ""; ; ) {
    const parameters = new URLSearchParams({ limit: "500", q: list.query.value, ...(cursor && { cursor }) });
    const page = await get(`/agents?${parameters}`);
    keys.push(...page.items.map((/** @type {Data} */ row) => row.username));
    if (!page.next) return keys;
    cursor = page.next;
  }
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
  const response = await fetch("/v1/agents:export", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ usernames }) });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({ detail: response.statusText })));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = "agents.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {{usernames: string[]}} props */
function Named({ usernames }) {
  return html`<p class="dim">${usernames.slice(0, NAMED).join(", ")}${usernames.length > NAMED ? ` … (${usernames.length})` : ""}</p>`;
}

/** Who of these is in a call now. @param {string[]} usernames @param {Live} live */
const inCall = (usernames, live) => usernames.filter((name) => IN_CALL.includes(live.of("agent").get(name)?.state));

/**
 * Does it for each of them, and tells whom it failed for and why. @param {string[]} usernames @param {(username: string) => Promise<unknown>} act
 * @returns {Promise<string[]>}
 */
async function forEach(usernames, act) {
  /** @type {string[]} */
  const failed = [];
  for (const username of usernames) {
    try {
      await act(username);
    } catch (error) {
      failed.push(`${username}: ${words(error)}`);
    }
  }
  if (failed.length < usernames.length) say(t("agents.changed", { count: usernames.length - failed.length }), "good");
  return failed;
}

/** @param {{failed: string[]}} props */
function Failures({ failed }) {
  if (failed.length === 0) return null;
  return html`<div role="alert"><p class="wrong">${t("agents.not_done", { count: failed.length })}</p><ul class="wrong plain">${failed.slice(0, 100).map((text) => html`<li key=${text}>${text}</li>`)}</ul></div>`;
}

/** @param {{usernames: string[], onClose: () => void}} props */
function ToQueue({ usernames, onClose }) {
  const queues = useSignal(/** @type {string[]} */ ([]));
  const chosen = useSignal("");
  const failed = useSignal(/** @type {string[]} */ ([]));
  useEffect(() => void get("/queues?limit=500").then((page) => (queues.value = page.items.map((/** @type {Data} */ queue) => queue.name)), () => {}), []);
  const add = async () => {
    failed.value = await forEach(usernames, async (username) => {
      const { own_queues } = await get(path(username));
      await put(`${path(username)}/queues`, { [chosen.value]: 0, ...own_queues });
    });
    if (failed.value.length === 0) onClose();
  };
  return html`<${Dialog} title=${t("agents.to_queue_title", { count: usernames.length })} onClose=${onClose}><${Named} usernames=${usernames} />
    <${Field} label=${t("agents.queue")}>${(/** @type {string} */ id) => html`<select id=${id} onChange=${(/** @type {Event} */ event) => (chosen.value = /** @type {HTMLSelectElement} */ (event.target).value)}>
      <option value=""></option>${queues.value.map((name) => html`<option key=${name}>${name}</option>`)}</select>`}<//>
    <${Failures} failed=${failed.value} />
    <div class="row wrap"><span class="grow"></span><button type="button" onClick=${onClose}>${t("cancel")}</button>
      <${Act} class="main" disabled=${!chosen.value} act=${add}>${t("agents.put_in")}<//></div><//>`;
}

/** One field of many agents. Names who is in a call. @param {{usernames: string[], live: Live, onClose: () => void}} props */
function Changing({ usernames, live, onClose }) {
  const field = useSignal("record_calls");
  const value = useSignal("");
  const failed = useSignal(/** @type {string[]} */ ([]));
  const busy = inCall(usernames, live);
  const change = async () => {
    const to = value.value === "on" ? true : value.value === "off" ? false : value.value;
    failed.value = await forEach(usernames, async (username) => {
      const { etag } = await request("GET", path(username));
      await patch(path(username), { [field.value]: to }, { etag });
    });
    if (failed.value.length === 0) onClose();
  };
  return html`<${Dialog} title=${t("agents.change_title", { count: usernames.length })} onClose=${onClose}><${Named} usernames=${usernames} />
    <${Field} label=${t("agents.change_what")}>${(/** @type {string} */ id) => html`<select id=${id} value=${field.value} onChange=${(/** @type {Event} */ event) => {
      field.value = /** @type {HTMLSelectElement} */ (event.target).value;
      value.value = "";
    }}>${Object.keys(BULK).map((name) => html`<option key=${name} value=${name}>${t(`field.${name}`)}</option>`)}</select>`}<//>
    <${Field} label=${t("agents.change_to")}>${(/** @type {string} */ id) => html`<select id=${id} value=${value.value} onChange=${(/** @type {Event} */ event) => (value.value = /** @type {HTMLSelectElement} */ (event.target).value)}>
      <option value=""></option>${BULK[field.value]?.map((choice) => html`<option key=${choice} value=${choice}>${t(`choice.${choice}`)}</option>`)}</select>`}<//>
    ${busy.length > 0 && html`<${Notice} kind="alarm">${t("agents.in_call_change", { names: busy.join(", ") })}<//>`}
    <${Failures} failed=${failed.value} />
    <div class="row wrap"><span class="grow"></span><button type="button" onClick=${onClose}>${t("cancel")}</button>
      <${Act} class="main" disabled=${!value.value} act=${change}>${t("save")}<//></div><//>`;
}

/** Names who is in a call before anything is deleted. @param {{usernames: string[], live: Live, onClose: (done: boolean) => void}} props */
function Deleting({ usernames, live, onClose }) {
  const busy = inCall(usernames, live);
  return html`<${Dialog} title=${t("agents.delete_title", { count: usernames.length })} onClose=${() => onClose(false)}>
    <p>${t("agents.delete_text")}</p><${Named} usernames=${usernames} />
    ${busy.length > 0 && html`<${Notice} kind="alarm">${t("agents.in_call", { names: busy.join(", ") })}<//>`}
    <div class="row wrap"><span class="grow"></span><button type="button" onClick=${() => onClose(false)}>${t("cancel")}</button>
      <${Act} class="danger" act=${async () => { await post("/agents:delete", { usernames }); onClose(true); }}>${t("delete")}<//></div><//>`;
}

/** CSV in: a dry run as soon as a file is chosen, and each line's error beside the line. @param {{onClose: () => void}} props */
function Importing({ onClose }) {
  const file = useSignal(/** @type {File | null} */ (null));
  const lines = useSignal(/** @type {string[]} */ ([]));
  const result = useSignal(/** @type {Data | null} */ (null));
  const wrong = useSignal("");
  const done = useSignal(false);
  /** @param {boolean} dry */
  const send = async (dry) => {
    if (!file.value) return;
    wrong.value = "";
    try {
      const answer = await request("POST", `/agents/import?dry_run=${dry}`, { body: file.value, type: "text/csv" });
      result.value = answer.data;
      done.value = !dry && answer.data.errors.length === 0;
    } catch (error) {
      result.value = null;
      wrong.value = words(error);
    }
  };
  /** @param {Event} event */
  const choose = async (event) => {
    file.value = /** @type {HTMLInputElement} */ (event.target).files?.[0] ?? null;
    result.value = null;
    done.value = false;
    lines.value = file.value ? (await file.value.text()).split(/\r\n|\n|\r/) : [];
    await send(true);
  };
  /** A browser tells of no change when the file of before, mended, is chosen again: so there is none before. @param {Event} event */
  const forget = (event) => (/** @type {HTMLInputElement} */ (event.target).value = "");
  const errors = /** @type {Data[]} */ (result.value?.errors ?? []);
  useFocusBack("dialog[open] [data-close]", done.value);
  return html`<${Dialog} title=${t("agents.import")} wide onClose=${onClose}>
    <p class="dim">${t("agents.import_text")}</p>
    <${Field} label=${t("agents.file")}>${(/** @type {string} */ id) => html`<input id=${id} type="file" accept=".csv,text/csv" onClick=${forget} onChange=${choose} />`}<//>
    ${wrong.value && html`<p class="wrong" role="alert">${wrong.value}</p>`}
    ${result.value && (errors.length === 0
      ? html`<${Notice} kind="good" role="status">${t(done.value ? "agents.imported" : "agents.import_fine", { count: result.value.created })}<//>`
      : html`<div role="alert" class="stack tight"><p class="wrong">${t("agents.import_wrong", { count: errors.length })}</p>
          <div class="scroll" tabindex="0" role="region" aria-label=${t("agents.import_errors")}><table><caption class="hidden-text">${t("agents.import_errors")}</caption><thead><tr><th scope="col">${t("agents.line")}</th><th scope="col">${t("agents.import_there")}</th><th scope="col">${t("agents.error")}</th></tr></thead>
          <tbody>${errors.slice(0, 100).map((error) => html`<tr key=${error.line}><th scope="row" class="num">${error.line}</th><td class="clip"><code>${lines.value[error.line - 1]}</code></td><td class="wrong broken">${error.detail}</td></tr>`)}</tbody></table></div></div>`)}
    <div class="row wrap"><span class="grow"></span><button type="button" data-close onClick=${onClose}>${t("close")}</button>
      ${!done.value && html`<${Act} disabled=${!file.value} act=${() => send(true)}>${t("agents.try")}<//>
      <${Act} class="main" disabled=${!result.value || errors.length > 0} act=${() => send(false)}>${t("agents.import_do")}<//>`}</div><//>`;
}
