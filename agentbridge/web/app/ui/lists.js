/** A list from the API: searched, sorted, page by page, and loaded anew when asked. @module */
import { get } from "../core/api.js";
import { t } from "../core/i18n.js";
import { html, useEffect, useMemo, useRef, useSignal } from "../vendor.js";
import { words } from "./parts.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {import("../vendor.js").ComponentChildren} Children */
/**
 * @typedef {object} Column
 * @property {string} name text key of its heading
 * @property {(row: Data) => Children} cell
 * @property {string} [sort] the API's name to sort by
 * @property {string} [class] `clip`: cut where it is too long; `minor`: left out where there is little room
 */

const SEARCH_WAIT_MS = 200;

/**
 * State and loading of one list. `filters` are further query parameters.
 * @param {string} path @param {Record<string, string>} [filters] @param {string} [firstSort] @param {number} [limit]
 */
export function useList(path, filters = {}, firstSort = "", limit = 50) {
  const rows = useSignal(/** @type {Data[] | null} */ (null));
  const wrong = useSignal("");
  const query = useSignal("");
  const sort = useSignal(firstSort);
  const cursors = useSignal(/** @type {string[]} */ ([]));
  const next = useSignal(/** @type {string | null} */ (null));
  /** What the rows were searched by. */
  const found = useSignal("");
  const round = useSignal(0);
  const asked = JSON.stringify([path, filters, query.value, sort.value, cursors.value.at(-1) ?? "", round.value]);
  useEffect(() => {
    const controller = new AbortController();
    const load = async () => {
      const parameters = new URLSearchParams({ limit: String(limit), ...filters });
      if (query.value) parameters.set("q", query.value);
      if (sort.value) parameters.set("sort", sort.value);
      const cursor = cursors.value.at(-1);
      if (cursor) parameters.set("cursor", cursor);
      try {
        const page = await get(`${path}?${parameters}`, { signal: controller.signal });
        if (controller.signal.aborted) return;
        rows.value = page.items;
        found.value = parameters.get("q") ?? "";
        next.value = page.next ?? null;
        wrong.value = "";
      } catch (error) {
        if (!controller.signal.aborted) wrong.value = words(error);
      }
    };
    const timer = setTimeout(load, rows.value === null ? 0 : SEARCH_WAIT_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [asked]);
  return useMemo(
    () => ({
      rows, wrong, query, sort, cursors, next, found, limit,
      again: () => void (round.value += 1),
      /** @param {string} text */
      search: (text) => {
        query.value = text;
        cursors.value = [];
      },
      /** @param {string} name */
      sortBy: (name) => {
        sort.value = sort.value === name ? `-${name}` : name;
        cursors.value = [];
      },
      forward: () => void (next.value && (cursors.value = [...cursors.value, next.value])),
      back: () => void (cursors.value = cursors.value.slice(0, -1)),
    }),
    [],
  );
}

/** @typedef {ReturnType<typeof useList>} List */

/** Enter and the down arrow go to what was found, as soon as it is there; Enter opens the only one. @param {{list: List, label: string}} props */
export function Search({ list, label }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const asked = useSignal("");
  const there = list.found.value === list.query.value;
  useEffect(() => {
    if (!asked.value || !there) return;
    const links = /** @type {HTMLElement[]} */ ([...(field.current?.closest("section")?.querySelectorAll("tbody a") ?? [])]);
    links[0]?.focus();
    if (asked.value === "Enter" && list.query.value && links.length === 1) links[0]?.click();
    asked.value = "";
  }, [asked.value, there]);
  return html`<input type="search" data-search ref=${field} aria-label=${label} placeholder=${`${label}  /`}
    onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" && event.key !== "ArrowDown") return;
      event.preventDefault();
      asked.value = event.key;
    }}
    onInput=${(/** @type {InputEvent} */ event) => list.search(/** @type {HTMLInputElement} */ (event.target).value.trim())} />`;
}

/**
 * @param {{list: List, columns: Column[], keyOf: (row: Data) => string, empty: Children, caption: string,
 *   selection?: import("../vendor.js").Signal<Set<string>>, chosen?: string}} props
 */
export function Table({ list, columns, keyOf, empty, caption, selection, chosen }) {
  const rows = list.rows.value;
  const keys = rows?.map(keyOf) ?? [];
  const all = selection !== undefined && keys.length > 0 && keys.every((key) => selection.value.has(key));
  /** @param {string[]} some @param {boolean} on */
  const select = (some, on) => {
    if (!selection) return;
    const now = new Set(selection.value);
    for (const key of some) on ? now.add(key) : now.delete(key);
    selection.value = now;
  };
  return html`<div class="scroll" role="region" aria-label=${caption} tabindex="0" aria-busy=${rows === null}>
    ${list.wrong.value && html`<p class="pad wrong" role="alert">${list.wrong.value}</p>`}
    <table><caption class="hidden-text">${caption}</caption>
      <thead><tr>
        ${selection && html`<th class="check"><input type="checkbox" aria-label=${t("list.all")} checked=${all}
          onChange=${(/** @type {Event} */ event) => select(keys, /** @type {HTMLInputElement} */ (event.target).checked)} /></th>`}
        ${columns.map(
          (column) => html`<th key=${column.name} class=${column.class} scope="col"
            aria-sort=${!column.sort ? undefined : list.sort.value === column.sort ? "ascending" : list.sort.value === `-${column.sort}` ? "descending" : "none"}>
            ${column.sort
              ? html`<button type="button" onClick=${() => list.sortBy(/** @type {string} */ (column.sort))}>${t(column.name)}
                  <span aria-hidden="true">${list.sort.value === column.sort ? "▲" : list.sort.value === `-${column.sort}` ? "▼" : ""}</span></button>`
              : t(column.name)}</th>`,
        )}
      </tr></thead>
      <tbody>${rows?.map((row) => {
        const key = keyOf(row);
        return html`<tr key=${key} class=${key === chosen || selection?.value.has(key) ? "picked" : ""} aria-current=${key === chosen ? "true" : undefined}>
          ${selection && html`<td class="check"><input type="checkbox" aria-label=${t("list.select", { name: key })} checked=${selection.value.has(key)}
            onChange=${(/** @type {Event} */ event) => select([key], /** @type {HTMLInputElement} */ (event.target).checked)} /></td>`}
          ${columns.map((column) => html`<td key=${column.name} class=${column.class}>${column.class?.includes("clip")
            // cut at its own end, whichever way its letters run
            ? html`<span class="cut" dir="auto">${column.cell(row)}</span>`
            : column.cell(row)}</td>`)}
        </tr>`;
      })}</tbody>
    </table>
    ${rows?.length === 0 && html`<div class="empty">${list.query.value ? t("list.nothing", { text: list.query.value }) : empty}</div>`}
    ${(list.cursors.value.length > 0 || list.next.value) && html`<div class="row pad"><span class="small dim">${t("list.page", { page: list.cursors.value.length + 1 })}</span><span class="grow"></span>
      <button type="button" disabled=${list.cursors.value.length === 0} onClick=${list.back}>${t("list.back")}</button>
      <button type="button" disabled=${!list.next.value} onClick=${list.forward}>${t("list.next")}</button></div>`}
  </div>`;
}
