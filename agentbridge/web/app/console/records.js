/** Queues, teams, telephones, users: a list beside a form each. @module */
import { get, patch, post, put, remove, request } from "../core/api.js";
import { t } from "../core/i18n.js";
import { go } from "../core/router.js";
import { Form } from "../ui/forms.js";
import { Search, Table, useList } from "../ui/lists.js";
import { Act, Dialog, say, State, words } from "../ui/parts.js";
import { html, useEffect, useRef, useSignal } from "../vendor.js";
import { Adding } from "./agent.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {import("../ui/forms.js").Entry} Entry */

/**
 * @typedef {object} Kind
 * @property {string} name the API's resource and the page's name
 * @property {string} key the field that names a record
 * @property {Entry[]} entries
 * @property {import("../ui/lists.js").Column[]} columns
 * @property {Data} [fresh] what a new one begins with
 * @property {(record: Data, again: () => Promise<void>, mayChange: boolean) => any} [more] what is shown below the form
 */

/** @param {Kind} kind */
export function recordsPage(kind) {
  /** @param {{who: Data, rest: string[]}} props */
  return function Records({ who, rest }) {
    const [chosen] = rest;
    const list = useList(`/${kind.name}`, {}, kind.key);
    const making = useSignal(false);
    const mayChange = who.roles.includes("admin");
    /** @type {import("../ui/lists.js").Column} */
    const named = {
      name: `field.${kind.key}`, sort: kind.key,
      cell: (row) => html`<a href=${`/console/${kind.name}/${encodeURIComponent(row[kind.key])}`}>${row[kind.key]}</a>`,
    };
    return html`<div class=${chosen ? "split" : ""}><section class="panel">
      <div class="tools"><h1>${t(`nav.${kind.name}`)}</h1><${Search} list=${list} label=${t("list.search")} /><span class="grow"></span>
        ${mayChange && html`<button type="button" class="main" onClick=${() => (making.value = true)}>${t(`${kind.name}.new`)}</button>`}</div>
      <${Table} list=${list} caption=${t(`nav.${kind.name}`)} keyOf=${(/** @type {Data} */ row) => row[kind.key]} chosen=${chosen}
        columns=${[named, ...kind.columns]} empty=${t(`${kind.name}.empty`)} /></section>
      ${chosen && html`<${One} key=${chosen} kind=${kind} name=${chosen} mayChange=${mayChange} changed=${list.again} />`}
      ${making.value && html`<${Dialog} title=${t(`${kind.name}.new`)} onClose=${() => (making.value = false)}>
        <${Form} entries=${kind.entries} record=${kind.fresh ?? {}} action=${t("create")} onCancel=${() => (making.value = false)} submit=${async (/** @type {Data} */ changes) => {
          const made = await post(`/${kind.name}`, changes);
          making.value = false;
          list.again();
          go(`/console/${kind.name}/${encodeURIComponent(made?.[kind.key] ?? changes[kind.key])}`);
        }} /><//>`}</div>`;
  };
}

/** @param {{kind: Kind, name: string, mayChange: boolean, changed: () => void}} props */
function One({ kind, name, mayChange, changed }) {
  const record = useSignal(/** @type {Data | null} */ (null));
  const wrong = useSignal("");
  const deleting = useSignal(false);
  const etag = useRef("");
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  const path = `/${kind.name}/${encodeURIComponent(name)}`;
  const load = async () => {
    try {
      const answer = await request("GET", path);
      record.value = answer.data;
      etag.current = answer.etag;
    } catch (error) {
      wrong.value = words(error);
    }
  };
  useEffect(() => void load(), [name]);
  useEffect(() => heading.current?.focus(), [record.value === null]);
  if (wrong.value) return html`<section class="panel pad"><p class="wrong" role="alert">${wrong.value}</p></section>`;
  if (!record.value) return html`<section class="panel pad" aria-busy="true"></section>`;
  return html`<section class="panel" aria-label=${name}><header><h1 ref=${heading} tabindex="-1">${name}</h1><span class="grow"></span>
      ${mayChange && html`<button type="button" class="danger" onClick=${() => (deleting.value = true)}>${t("delete")}</button>`}
      <a class="button quiet" href=${`/console/${kind.name}`} aria-label=${t("close")}>✕</a></header>
    <div class="pad stack"><${Form} entries=${kind.entries} record=${record.value} action=${t("save")} readOnly=${!mayChange} submit=${async (/** @type {Data} */ changes) => {
      await patch(path, changes, { etag: etag.current });
      say(t("saved"), "good");
      changed();
      const renamed = changes[kind.key];
      if (renamed) go(`/console/${kind.name}/${encodeURIComponent(renamed)}`, true);
      else await load();
    }} />${kind.more?.(record.value, async () => { await load(); changed(); }, mayChange)}</div>
    ${deleting.value && html`<${Dialog} title=${t("delete_title", { name })} onClose=${() => (deleting.value = false)}>
      <p>${t(`${kind.name}.delete_text`)}</p><div class="row wrap"><span class="grow"></span>
      <button type="button" onClick=${() => (deleting.value = false)}>${t("cancel")}</button>
      <${Act} class="danger" act=${async () => { await remove(path, { etag: etag.current }); changed(); go(`/console/${kind.name}`); }}>${t("delete")}<//></div><//>`}
  </section>`;
}

/** Who or what belongs to a record, each a link. @param {{members: Record<string, number> | string[], title: string, to: string}} props */
function Names({ members, title, to }) {
  const penalties = Array.isArray(members) ? null : members;
  const names = Array.isArray(members) ? members : Object.keys(members);
  return html`<section><h2>${title}</h2>${names.length === 0 ? html`<p class="dim">${t("list.nobody")}</p>` : html`<ul class="chips">${names.map((name) =>
    html`<li key=${name}><a href=${`/console/${to}/${encodeURIComponent(name)}`}>${name}</a>${penalties?.[name] ? html` <span class="small dim">${t("agents.penalty")} ${penalties[name]}</span>` : ""}</li>`)}</ul>`}</section>`;
}

/**
 * The queues of a record, set as a whole: a team's with penalties, a user's without.
 * @param {{title: string, queues: Record<string, number>, penalties: boolean, mayChange: boolean, set: (queues: Record<string, number>) => Promise<unknown>}} props
 */
function QueuesOf({ title, queues, penalties, mayChange, set }) {
  const all = useSignal(/** @type {string[]} */ ([]));
  useEffect(() => void get("/queues?limit=500").then((page) => (all.value = page.items.map((/** @type {Data} */ one) => one.name)), () => {}), []);
  return html`<section class="stack tight"><h2>${title}</h2><div class="lines">
    ${Object.keys(queues).length === 0 && html`<p class="dim">${t("agents.no_queue")}</p>`}
    ${Object.entries(queues).map(([name, penalty]) => html`<div key=${name}><b>${name}</b>
      ${penalties && (mayChange
        ? html`<label class="row tight small dim">${t("agents.penalty")} <input type="number" class="short" min="0" value=${penalty} onChange=${(/** @type {Event} */ event) => set({ ...queues, [name]: Number(/** @type {HTMLInputElement} */ (event.target).value) })} /></label>`
        : html`<span class="small dim">${t("agents.penalty")} ${penalty}</span>`)}
      <span class="grow"></span>
      ${mayChange && html`<${Act} class="quiet" label=${`${t("agents.take_out")}: ${name}`} act=${() => set(Object.fromEntries(Object.entries(queues).filter(([other]) => other !== name)))}>${t("agents.take_out")}<//>`}</div>`)}
    </div>${mayChange && html`<${Adding} label=${t("agents.queue")} names=${all.value.filter((name) => !(name in queues))} add=${async (/** @type {string} */ name) => void (await set({ ...queues, [name]: 0 }))} />`}</section>`;
}

/** @type {(name: string, kind: Entry["kind"], more?: Partial<Entry>) => Entry} */
const entry = (name, kind, more = {}) => ({ name, kind, ...more });
const CHANNELS = ["voice", "chat", "email", "sms", "openchannel", "fax", "whatsapp"];

export const Queues = recordsPage({
  name: "queues", key: "name", fresh: { channel: "voice" },
  entries: [entry("name", "text", { required: true, hint: "hint.queue" }), entry("channel", "choice", { choices: CHANNELS }), entry("description", "long")],
  columns: [
    { name: "field.channel", class: "dim", sort: "channel", cell: (row) => t(`channel.${row.channel}`) },
    { name: "queues.members", class: "num", cell: (row) => row.members },
    { name: "field.description", class: "clip dim", cell: (row) => row.description },
  ],
  more: (record) => html`<${Names} title=${t("queues.members")} members=${record.members} to="agents" /><${Names} title=${t("nav.teams")} members=${record.teams} to="teams" />`,
});

export const Teams = recordsPage({
  name: "teams", key: "name",
  entries: [entry("name", "text", { required: true }), entry("description", "long")],
  columns: [
    { name: "queues.members", class: "num", cell: (row) => row.members },
    { name: "nav.queues", class: "num", cell: (row) => row.queues },
    { name: "field.description", class: "clip dim", cell: (row) => row.description },
  ],
  more: (record, again, mayChange) => html`<${QueuesOf} title=${t("nav.queues")} queues=${record.queues} penalties=${true} mayChange=${mayChange}
      set=${async (/** @type {Record<string, number>} */ queues) => { await put(`/teams/${encodeURIComponent(record.name)}/queues`, queues); await again(); }} />
    <${Names} title=${t("queues.members")} members=${record.members} to="agents" />${mayChange && html`<${Joining} record=${record} again=${again} />`}`,
});

/** Puts an agent into the team. @param {{record: Data, again: () => Promise<void>}} props */
function Joining({ record, again }) {
  const agents = useSignal(/** @type {string[]} */ ([]));
  useEffect(() => void get("/agents?limit=500&sort=username").then((page) => (agents.value = page.items.map((/** @type {Data} */ one) => one.username)), () => {}), []);
  return html`<${Adding} label=${t("agents.agent")} names=${agents.value.filter((name) => !record.members.includes(name))} add=${async (/** @type {string} */ name) => {
    const there = await get(`/agents/${encodeURIComponent(name)}/teams`);
    await put(`/agents/${encodeURIComponent(name)}/teams`, [...there, record.name]);
    await again();
  }} />`;
}

export const Telephones = recordsPage({
  name: "telephones", key: "name",
  entries: [
    entry("name", "text", { required: true }), entry("description", "long"), entry("transport", "list", { hint: "hint.transport" }), entry("codecs", "list", { hint: "hint.codecs" }),
    entry("host", "text", { hint: "hint.host" }), entry("nat", "list"), entry("caller_id", "text"), entry("context", "text"),
    entry("call_group", "text", { hint: "hint.group" }), entry("pickup_group", "text", { hint: "hint.group" }), entry("sip_expires", "number"),
  ],
  columns: [
    { name: "telephones.state", cell: (row) => html`<${Seat} row=${row} />` },
    { name: "field.description", class: "clip dim", cell: (row) => row.description },
  ],
  more: (record, again, mayChange) => html`<div class="row wrap"><${Seat} row=${record} />
    ${record.agent && html`<a href=${`/console/agents/${encodeURIComponent(record.agent)}`}>${record.agent}</a>`}<span class="grow"></span>
    ${record.agent && mayChange && html`<${Act} act=${async () => { await remove(`/telephones/${encodeURIComponent(record.name)}/agent`); await again(); }}>${t("telephones.release", { agent: record.agent })}<//>`}</div>`,
});

/** Whether somebody sits there, or may. @param {{row: Data}} props */
function Seat({ row }) {
  if (row.agent) return html`<${State} state="talking" word=${t("telephones.bound", { agent: row.agent })} />`;
  return row.available ? html`<${State} state="ready" word=${t("telephones.free")} />` : html`<${State} state="unreachable" word=${t("telephones.unregistered")} />`;
}

export const Users = recordsPage({
  name: "users", key: "username", fresh: { role: "user" },
  entries: [
    entry("username", "text", { required: true }), entry("role", "choice", { choices: ["user", "admin"] }), entry("agents_permission", "bool"),
    entry("may_spy", "bool"), entry("download_recordings", "bool"),
  ],
  columns: [
    { name: "field.role", class: "dim", sort: "role", cell: (row) => t(`choice.${row.role}`) },
    { name: "nav.queues", class: "clip dim", cell: (row) => row.queues.join(", ") },
  ],
  more: (record, again, mayChange) => html`${record.role === "user" && html`<${QueuesOf} title=${t("users.queues")} queues=${Object.fromEntries(record.queues.map((/** @type {string} */ name) => [name, 0]))} penalties=${false} mayChange=${mayChange}
      set=${async (/** @type {Record<string, number>} */ queues) => { await put(`/users/${encodeURIComponent(record.username)}/queues`, Object.keys(queues)); await again(); }} />`}
    <section class="stack tight"><h2>${t("field.password")}</h2><${Form} entries=${[entry("password", "password", { required: true })]} record=${{}} action=${t("agents.set_password")}
    submit=${async (/** @type {Data} */ changes) => { await put(`/users/${encodeURIComponent(record.username)}/password`, changes); say(t("agents.password_set"), "good"); }} /></section>`,
});
