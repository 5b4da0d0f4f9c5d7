/** Language and theme, chosen by the reader. @module */
import { language, LANGUAGES, setLanguage, t } from "../core/i18n.js";
import { html, useSignal } from "../vendor.js";

export function Languages() {
  const theme = useSignal(document.documentElement.dataset.theme ?? "light");
  const turn = () => {
    theme.value = theme.value === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme.value;
    localStorage.setItem("agentbridge.theme", theme.value);
  };
  const other = t(theme.value === "dark" ? "theme.light" : "theme.dark");
  return html`<div class="row tight">
    <select data-language aria-label=${t("language")} value=${language.value}
      onChange=${(/** @type {Event} */ event) => setLanguage(/** @type {HTMLSelectElement} */ (event.target).value)}>
      ${Object.entries(LANGUAGES).map(([tag, { name }]) => html`<option key=${tag} value=${tag} lang=${tag}>${name}</option>`)}
    </select>
    <button type="button" class="quiet icon" aria-label=${other} title=${other} onClick=${turn}>${theme.value === "dark" ? "☀" : "☾"}</button>
  </div>`;
}
