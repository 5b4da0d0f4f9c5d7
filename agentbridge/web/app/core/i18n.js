/**
 * Texts in the reader's language. A catalogue is a module with a flat object; all have the same keys, which a test holds.
 * @module
 */
import { signal } from "../vendor.js";

/** @typedef {Record<string, string | {one?: string, other: string, few?: string, two?: string, many?: string, zero?: string}>} Catalogue */

/** Languages by their own names. @type {Record<string, {name: string, rtl?: boolean, load: () => Promise<{default: Catalogue}>}>} */
export const LANGUAGES = {
  en: { name: "English", load: () => import("../locales/en.js") },
  it: { name: "Italiano", load: () => import("../locales/it.js") },
  ar: { name: "العربية", rtl: true, load: () => import("../locales/ar.js") },
};
const STORED = "agentbridge.language";

const catalogue = signal(/** @type {Catalogue} */ ({}));
export const language = signal("en");

/** Loads the language that was chosen here before, else the browser's. */
export async function loadLanguage() {
  const wanted = [localStorage.getItem(STORED) ?? "", ...navigator.languages.map((tag) => tag.split("-")[0] ?? "")];
  await setLanguage(wanted.find((tag) => tag in LANGUAGES) ?? "en", false);
}

/** @param {string} tag @param {boolean} [remember] */
export async function setLanguage(tag, remember = true) {
  const chosen = LANGUAGES[tag] ?? LANGUAGES.en;
  if (!chosen) return;
  catalogue.value = (await chosen.load()).default;
  language.value = tag;
  document.documentElement.lang = tag;
  document.documentElement.dir = chosen.rtl ? "rtl" : "ltr";
  if (remember) localStorage.setItem(STORED, tag);
}

/**
 * The text of a key; `{name}` in it is replaced by the value of that name, and a plural is chosen by `count`.
 * @param {string} key @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  let text = catalogue.value[key] ?? key;
  if (typeof text === "object") {
    const form = new Intl.PluralRules(language.value).select(Number(values.count ?? 0));
    text = text[form] ?? text.other;
  }
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name] ?? "";
    return typeof value === "number" ? number(value) : value;
  });
}

/** @param {number} value */
export const number = (value) => new Intl.NumberFormat(language.value).format(value);
/** @param {number} share 0 to 1 */
export const percent = (share) => new Intl.NumberFormat(language.value, { style: "percent" }).format(share);
/** @param {string | number | Date} at */
export const clock = (at) => new Intl.DateTimeFormat(language.value, { timeStyle: "medium" }).format(new Date(at));
/** @param {string | number | Date} at */
export const shortClock = (at) => new Intl.DateTimeFormat(language.value, { timeStyle: "short" }).format(new Date(at));
/** @param {string | number | Date} at */
export const dateTime = (at) =>
  new Intl.DateTimeFormat(language.value, { dateStyle: "medium", timeStyle: "short" }).format(new Date(at));

/** Minutes and seconds, or hours too: 3:07, 1:02:09. @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
