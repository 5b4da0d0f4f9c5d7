/** Queues, teams, telephones, users: a list beside a form each. @module */
import { patch, post, put, remove, request } from "../core/api.js";
import { t } from "../core/i18n.js";
import { go } from "../core/router.js";
import { Form } from "../ui/forms.js";
import { Search, Table, useList } from "../ui/lists.js";
import { Act, Dialog, State, words } from "../ui/parts.js";
import { html, useEffect, useRef, useSignal } from "../vendor.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {import("../ui/forms.js").Entry} Entry */

/**
 * @typedef {object} Kind
 * @property {string} name the API's resource and the page's name
 * @property {string} key the field that names a record
 * @property {Entry[]} entries
 * @property {import("../ui/lists.js").Column[]} columns
 * @property {(record: Data, again: () => Promise<void>) => any} [more] what is shown below the form
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
      <div class="tools"><${Search} list=${list} label=${t("list.search")} /><span class="grow"></span>
        ${mayChange && html`<button type="button" class="main" onClick=${() => (making.value = true)}>${t(`${kind.name}.new`)}</button>`}</div>
      <${Table} list=${list} caption=${t(`nav.${kind.name}`)} keyOf=${(/** @type {Data} */ row) => row[kind.key]} chosen=${chosen}
        columns=${[named, ...kind.columns]} empty=${t(`${kind.name}.empty`)} /></section>
      ${chosen && html`<${One} key=${chosen} kind=${kind} name=${chosen} mayChange=${mayChange} changed=${list.again} />`}
      ${making.value && html`<${Dialog} title=${t(`${kind.name}.new`)} onClose=${() => (making.value = false)}>
        <${Form} entries=${kind.entries} record=${{}} action=${t("create")} onCancel=${() => (making.value = false)} submit=${async (/** @type {Data} */ changes) => {
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
  if (wrong.value) return html`<section class="panel pad"><p class="wrong" role="alert">${wrong.value}</p></section>`;
  if (!record.value) return html`<section class="panel pad" aria-busy="true"></section>`;
  return html`<section class="panel" aria-label=${name}><header><h1>${name}</h1><span class="grow"></span>
      ${mayChange && html`<button type="button" class="danger" onClick=${() => (deleting.value = true)}>${t("delete")}</button>`}
      <a class="button quiet" href=${`/console/${kind.name}`} aria-label=${t("close")}>✕</a></header>
    <div class="pad stack"><${Form} entries=${kind.entries} record=${record.value} action=${t("save")} submit=${async (/** @type {Data} */ changes) => {
      await patch(path, changes, { etag: etag.current });
      changed();
      const renamed = changes[kind.key];
      if (renamed) go(`/console/${kind.name}/${encodeURIComponent(renamed)}`, true);
      else await load();
    }} />${kind.more?.(record.value, async () => { await load(); changed(); })}</div>
    ${deleting.value && html`<${Dialog} title=${t("delete_title", { name })} onClose=${() => (deleting.value = false)}>
      <p>${t(`${kind.name}.delete_text`)}</p><div class="row"><span class="grow"></span>
      <button type="button" onClick=${() => (deleting.value = false)}>${t("cancel")}</button>
      <${Act} class="danger" act=${async () => { await remove(path, { etag: etag.current }); changed(); go(`/console/${kind.name}`); }}>${t("delete")}<//></div><//>`}
  </section>`;
}

/** @param {{members: Record<string, number> | string[], title: string}} props */
function Names({ members, title }) {
  const names = Array.isArray(members) ? members : Object.keys(members);
  return html`<div><h2>${title}</h2><p class="dim">${names.length ? names.join(", ") : "–"}</p></div>`;
}

/** @type {(name: string, kind: Entry["kind"], more?: Partial<Entry>) => Entry} */
const entry = (name, kind, more = {}) => ({ name, kind, ...more });
const CHANNELS = ["voice", "chat", "email", "sms", "openchannel", "fax", "whatsapp"];

export const Queues = recordsPage({
  name: "queues", key: "name",
  entries: [entry("name", "text", { required: true }), entry("channel", "choice", { choices: CHANNELS }), entry("description", "long")],
  columns: [
    { name: "field.channel", class: "dim", cell: (row) => row.channel },
    { name: "queues.members", class: "num", cell: (row) => row.members },
    { name: "field.description", class: "clip dim", cell: (row) => row.description },
  ],
  more: (record) => html`<${Names} title=${t("queues.members")} members=${record.members} /><${Names} title=${t("nav.teams")} members=${record.teams} />`,
});

export const Teams = recordsPage({
  name: "teams", key: "name",
  entries: [entry("name", "text", { required: true }), entry("description", "long")],
  columns: [
    { name: "queues.members", class: "num", cell: (row) => row.members },
    { name: "nav.queues", class: "num", cell: (row) => row.queues },
    { name: "field.description", class: "clip dim", cell: (row) => row.description },
  ],
  more: (record) => html`<${Names} title=${t("queues.members")} members=${record.members} /><${Names} title=${t("nav.queues")} members=${record.queues} />`,
});

export const Telephones = recordsPage({
  name: "telephones", key: "name",
  entries: [
    entry("name", "text", { required: true }), entry("description", "long"), entry("transport", "list"), entry("codecs", "list"), entry("host", "text"), entry("nat", "list"),
    entry("caller_id", "text"), entry("context", "text"), entry("call_group", "text"), entry("pickup_group", "text"),
  ],
  columns: [
    { name: "telephones.state", cell: (row) => row.agent
      ? html`<${State} state="talking" word=${t("telephones.bound", { agent: row.agent })} />`
      : row.available ? html`<${State} state="ready" word=${t("telephones.free")} />` : html`<${State} state="unreachable" word=${t("telephones.unregistered")} />` },
    { name: "field.description", class: "clip dim", cell: (row) => row.description },
  ],
  more: (record, again) => record.agent && html`<${Act} act=${async () => { await remove(`/telephones/${encodeURIComponent(record.name)}/session`); await again(); }}>${t("telephones.release", { agent: record.agent })}<//>`,
});

export const Users = recordsPage({
  name: "users", key: "username",
  entries: [
    entry("username", "text", { required: true }), entry("role", "choice", { choices: ["user", "admin"] }), entry("agents_permission", "bool"),
    entry("may_spy", "bool"), entry("download_recordings", "bool"),
  ],
  columns: [
    { name: "field.role", class: "dim", cell: (row) => row.role },
    { name: "nav.queues", class: "clip dim", cell: (row) => row.queues.join(", ") },
  ],
  more: (record) => html`<h2>${t("field.password")}</h2><${Form} entries=${[entry("password", "password", { required: true })]} record=${{}} action=${t("agents.set_password")}
    submit=${(/** @type {Data} */ changes) => put(`/users/${encodeURIComponent(record.username)}/password`, changes)} />`,
});
