/** A record's fields as a form: what was changed is sent, and each error stands at its field. @module */
import { Problem } from "../core/api.js";
import { t } from "../core/i18n.js";
import { html, useSignal } from "../vendor.js";
import { Field, words } from "./parts.js";

/** @typedef {Record<string, any>} Data */
/**
 * @typedef {object} Entry
 * @property {string} name the API's name of the field; its label is the text `field.NAME`
 * @property {"text" | "number" | "bool" | "choice" | "list" | "long" | "password"} kind
 * @property {string[]} [choices] of a choice
 * @property {boolean} [required]
 * @property {string} [hint] text key
 */

/** @param {Entry} entry @param {any} value @returns {string | boolean} */
function shown(entry, value) {
  if (entry.kind === "bool") return Boolean(value);
  if (Array.isArray(value)) return value.join(", ");
  return value === null || value === undefined ? "" : String(value);
}

/** @param {Entry} entry @param {string | boolean} value @returns {any} */
function sent(entry, value) {
  if (typeof value === "boolean") return value;
  if (entry.kind === "list") return value.split(/[,\s]+/).filter(Boolean);
  if (entry.kind === "number") return value === "" ? null : Number(value);
  return value;
}

/**
 * @param {{entries: Entry[], record: Data, submit: (changes: Data) => Promise<unknown>, action: string, onCancel?: () => void, readOnly?: boolean}} props
 */
export function Form({ entries, record, submit, action, onCancel, readOnly = false }) {
  const drafts = useSignal(/** @type {Record<string, string | boolean>} */ ({}));
  const wrong = useSignal(/** @type {{field: string, text: string} | null} */ (null));
  const busy = useSignal(false);
  const changed = Object.keys(drafts.value).length > 0;
  /** @param {Entry} entry @param {string | boolean} value */
  const draft = (entry, value) => {
    const now = { ...drafts.value };
    if (value === shown(entry, record[entry.name])) delete now[entry.name];
    else now[entry.name] = value;
    drafts.value = now;
  };
  /** @param {Event} event */
  const send = async (event) => {
    event.preventDefault();
    if (busy.value || !changed) return;
    busy.value = true;
    wrong.value = null;
    /** @type {Data} */
    const changes = {};
    for (const entry of entries) {
      const value = drafts.value[entry.name];
      if (value !== undefined) changes[entry.name] = sent(entry, value);
    }
    try {
      await submit(changes);
      drafts.value = {};
    } catch (error) {
      wrong.value = { field: error instanceof Problem ? error.field : "", text: words(error) };
    } finally {
      busy.value = false;
    }
  };
  const elsewhere = wrong.value && !entries.some((entry) => entry.name === wrong.value?.field);
  return html`<form class="stack" onSubmit=${send}>
    <fieldset class="fields" disabled=${readOnly}>${entries.map((entry) => {
      const value = drafts.value[entry.name] ?? shown(entry, record[entry.name]);
      const error = wrong.value?.field === entry.name ? wrong.value.text : "";
      return html`<${Input} key=${entry.name} entry=${entry} value=${value} error=${error}
        set=${(/** @type {string | boolean} */ to) => draft(entry, to)} />`;
    })}</fieldset>
    ${elsewhere && html`<p class="wrong" role="alert">${wrong.value?.text}</p>`}
    ${!readOnly && html`<div class="row wrap"><span class="grow"></span>
      ${(changed || onCancel) && html`<button type="button" onClick=${() => { drafts.value = {}; wrong.value = null; onCancel?.(); }}>${t("cancel")}</button>`}
      ${/* it keeps the focus when there is nothing to save any more */ ""}<button class="main" aria-disabled=${changed ? undefined : true} aria-busy=${busy.value}>${action}</button></div>`}
  </form>`;
}

/** @param {{entry: Entry, value: string | boolean, error: string, set: (value: string | boolean) => void}} props */
function Input({ entry, value, error, set }) {
  const label = t(`field.${entry.name}`);
  if (entry.kind === "bool") {
    return html`<label class="switch"><input type="checkbox" role="switch" name=${entry.name} checked=${value === true}
      onChange=${(/** @type {Event} */ event) => set(/** @type {HTMLInputElement} */ (event.target).checked)} /><span>${label}</span>
      ${error && html`<span class="wrong" role="alert">${error}</span>`}</label>`;
  }
  /** @param {Event} event */
  const take = (event) => set(/** @type {HTMLInputElement} */ (event.target).value);
  return html`<${Field} label=${label} error=${error} hint=${entry.hint && t(entry.hint)}>${(/** @type {string} */ id, /** @type {string | undefined} */ described) => {
    const common = { id, name: entry.name, "aria-invalid": Boolean(error), "aria-describedby": described, required: entry.required };
    if (entry.kind === "choice") {
      return html`<select ...${common} value=${value} onChange=${take}>${entry.choices?.map((choice) => html`<option key=${choice} value=${choice}>${t(`choice.${choice}`)}</option>`)}</select>`;
    }
    if (entry.kind === "long") return html`<textarea ...${common} value=${value} onInput=${take}></textarea>`;
    const type = entry.kind === "number" ? "number" : entry.kind === "password" ? "password" : "text";
    return html`<input ...${common} type=${type} value=${value} onInput=${take} autocomplete=${type === "password" ? "new-password" : "off"} />`;
  }}<//>`;
}
