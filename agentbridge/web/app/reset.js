/** The page behind the link of a forgotten password: /reset?token=… or /reset/TOKEN. @module */
import { put } from "./core/api.js";
import { loadLanguage, t } from "./core/i18n.js";
import { Languages } from "./ui/languages.js";
import { Field, words } from "./ui/parts.js";
import { html, render, useRef, useSignal } from "./vendor.js";

const token = new URLSearchParams(location.search).get("token") ?? location.pathname.split("/").pop() ?? "";
// the token is as good as a password: it does not stay in the address, where it would be seen and sent on
history.replaceState(null, "", "/reset");

function Reset() {
  const done = useSignal(false);
  const wrong = useSignal("");
  const password = useRef(/** @type {HTMLInputElement | null} */ (null));
  const again = useRef(/** @type {HTMLInputElement | null} */ (null));
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    if (password.current?.value !== again.current?.value) {
      wrong.value = t("reset.differ");
      return;
    }
    try {
      await put(`/password-resets/${encodeURIComponent(token)}`, { password: password.current?.value });
      done.value = true;
    } catch (error) {
      wrong.value = words(error);
    }
  };
  if (done.value) {
    return html`<main class="centre"><div class="panel pad stack" role="status"><h1>${t("reset.done")}</h1>
      <a class="button main" href="/login">${t("login.submit")}</a></div></main>`;
  }
  return html`<main class="centre stack"><form class="panel pad stack" onSubmit=${submit}>
    <h1>${t("reset.title")}</h1>
    <${Field} label=${t("reset.password")}>${(/** @type {string} */ id) => html`<input id=${id} ref=${password} type="password"
      autocomplete="new-password" required />`}<//>
    <${Field} label=${t("reset.again")}>${(/** @type {string} */ id) => html`<input id=${id} ref=${again} type="password"
      autocomplete="new-password" required />`}<//>
    ${wrong.value && html`<p class="wrong" role="alert">${wrong.value}</p>`}
    <button class="main big">${t("reset.set")}</button>
  </form><${Languages} /></main>`;
}

await loadLanguage();
render(html`<${Reset} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
