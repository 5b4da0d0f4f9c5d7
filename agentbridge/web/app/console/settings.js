/** Settings of the directory, reasons of a pause, and tokens for machines. @module */
import { patch, post, Problem, remove, request } from "../core/api.js";
import { dateTime, t } from "../core/i18n.js";
import { Form } from "../ui/forms.js";
import { Table, useList } from "../ui/lists.js";
import { Act, Dialog, Field, say, words } from "../ui/parts.js";
import { html, useEffect, useRef, useSignal } from "../vendor.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {import("../ui/forms.js").Entry} Entry */

/** @type {Entry[]} */
const SETTINGS = [
  { name: "internal_from", kind: "number", hint: "hint.numbers" }, { name: "internal_to", kind: "number", hint: "hint.numbers" },
  { name: "lock_after", kind: "number", hint: "hint.lock_after" }, { name: "mask_characters", kind: "number", hint: "hint.mask_characters" },
  { name: "screen_recording_path", kind: "text", hint: "hint.screen_recording_path" },
  { name: "strict_full_name", kind: "bool" }, { name: "security_suite", kind: "bool" },
];
const SCOPES = ["read", "agents", "sessions", "phonebar", "calls", "recordings", "interactions", "events", "admin"];
const DAYS = 90;
const DAY_MS = 86_400_000;

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
  /** @param {Data} changes */
  const save = async (changes) => {
    try {
      await patch("/settings", changes, { etag: etag.current });
    } catch (error) {
      // what was typed stays in the form, over what is there now
      if (error instanceof Problem && error.status === 412) {
        await load();
        throw new Error(t("conflict.again"));
      }
      throw error;
    }
    await load();
    say(t("saved"), "good");
  };
  return html`<div class="stack"><section class="panel pad stack"><h1>${t("nav.settings")}</h1>
      ${wrong.value && html`<p class="wrong" role="alert">${wrong.value}</p>`}
      ${settings.value && html`<${Form} entries=${SETTINGS} record=${settings.value} action=${t("save")} submit=${save} />`}</section>
    <${Reasons} /><${Tokens} /></div>`;
}

function Reasons() {
  const list = useList("/pause-reasons", {}, "position");
  return html`<section class="panel"><header><h2>${t("reasons.title")}</h2></header>
    ${list.wrong.value && html`<p class="pad wrong" role="alert">${list.wrong.value}</p>`}
    <div class="lines">${list.rows.value?.map((row) => html`<div key=${row.name}><b>${row.name}</b><span class="grow"></span>
      <${Act} class="quiet" label=${`${t("delete")}: ${row.name}`} act=${async () => { await remove(`/pause-reasons/${encodeURIComponent(row.name)}`); list.again(); }}>${t("delete")}<//></div>`)}
    ${list.rows.value?.length === 0 && html`<p class="dim">${t("reasons.empty")}</p>`}</div>
    <div class="pad"><${Form} entries=${[{ name: "reason", kind: "text", required: true }]} record=${{}} action=${t("reasons.add")} submit=${async (/** @type {Data} */ changes) => {
      const last = Math.max(-1, ...(list.rows.value ?? []).map((row) => row.position));
      await post("/pause-reasons", { name: changes.reason, position: last + 1 });
      list.again();
    }} /></div></section>`;
}

/** Tokens for machines; a new one is shown once. */
function Tokens() {
  const list = useList("/tokens", {}, "name");
  const making = useSignal(false);
  const deleting = useSignal(/** @type {Data | null} */ (null));
  return html`<section class="panel"><header><h2>${t("tokens.title")}</h2><span class="grow"></span><button type="button" onClick=${() => (making.value = true)}>${t("tokens.new")}</button></header>
    <${Table} list=${list} caption=${t("tokens.title")} keyOf=${(/** @type {Data} */ row) => row.id} empty=${t("tokens.empty")} columns=${[
      { name: "field.name", sort: "name", cell: (/** @type {Data} */ row) => html`<b>${row.name}</b>` },
      { name: "tokens.scopes", class: "dim", cell: (/** @type {Data} */ row) => row.scopes.join(", ") },
      { name: "tokens.expires", class: "num", cell: (/** @type {Data} */ row) => dateTime(row.expires_at) },
      { name: "tokens.used", class: "num dim", cell: (/** @type {Data} */ row) => (row.used_at ? dateTime(row.used_at) : t("tokens.never")) },
      { name: "delete", cell: (/** @type {Data} */ row) => html`<button type="button" class="quiet" aria-label=${`${t("delete")}: ${row.name}`} onClick=${() => (deleting.value = row)}>${t("delete")}</button>` },
    ]} />
    ${deleting.value && html`<${Dialog} title=${t("delete_title", { name: deleting.value.name })} onClose=${() => (deleting.value = null)}>
      <p>${t("tokens.delete_text")}</p><div class="row wrap"><span class="grow"></span><button type="button" onClick=${() => (deleting.value = null)}>${t("cancel")}</button>
      <${Act} class="danger" act=${async () => { await remove(`/tokens/${deleting.value?.id}`); deleting.value = null; list.again(); }}>${t("delete")}<//></div><//>`}
    ${making.value && html`<${NewToken} made=${list.again} onClose=${() => (making.value = false)} />`}</section>`;
}

/** @param {{made: () => void, onClose: () => void}} props */
function NewToken({ made, onClose }) {
  const token = useSignal("");
  const name = useSignal("");
  const days = useSignal(DAYS);
  const scopes = useSignal(/** @type {string[]} */ ([]));
  const at = (/** @type {Event} */ event) => /** @type {HTMLInputElement} */ (event.target);
  const create = async () => {
    const expires_at = new Date(Date.now() + days.value * DAY_MS).toISOString();
    token.value = (await post("/tokens", { name: name.value, scopes: scopes.value, expires_at })).token;
    made();
  };
  if (token.value) {
    return html`<${Dialog} title=${t("tokens.new")} onClose=${onClose}><p>${t("tokens.once")}</p>
      <input readonly value=${token.value} aria-label=${t("tokens.title")} onFocus=${(/** @type {Event} */ event) => at(event).select()} />
      <div class="row wrap"><span class="grow"></span><${Act} act=${async () => { await navigator.clipboard.writeText(token.value); say(t("tokens.copied"), "good"); }}>${t("tokens.copy")}<//>
        <button type="button" class="main" onClick=${onClose}>${t("close")}</button></div><//>`;
  }
  return html`<${Dialog} title=${t("tokens.new")} onClose=${onClose}>
    <${Field} label=${t("field.name")}>${(/** @type {string} */ id) => html`<input id=${id} required value=${name.value} autocomplete="off" onInput=${(/** @type {Event} */ event) => (name.value = at(event).value)} />`}<//>
    <${Field} label=${t("field.days")}>${(/** @type {string} */ id) => html`<input id=${id} type="number" min="1" value=${days.value} onInput=${(/** @type {Event} */ event) => (days.value = Number(at(event).value))} />`}<//>
    <fieldset class="plain"><legend class="small dim">${t("tokens.scopes")}</legend>${SCOPES.map((scope) => html`<label key=${scope} class="switch"><input type="checkbox" checked=${scopes.value.includes(scope)}
      onChange=${(/** @type {Event} */ event) => (scopes.value = at(event).checked ? [...scopes.value, scope] : scopes.value.filter((one) => one !== scope))} /><span><code>${scope}</code> <span class="dim">${t(`scope.${scope}`)}</span></span></label>`)}</fieldset>
    <div class="row wrap"><span class="grow"></span><button type="button" onClick=${onClose}>${t("cancel")}</button>
      <${Act} class="main" disabled=${!name.value || scopes.value.length === 0} act=${create}>${t("create")}<//></div><//>`;
}
