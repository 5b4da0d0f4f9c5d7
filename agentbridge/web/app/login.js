/** The login page, for agents and for the console. @module */
import { get, post, Problem } from "./core/api.js";
import { loadLanguage, t } from "./core/i18n.js";
import { Languages } from "./ui/languages.js";
import { Field, words } from "./ui/parts.js";
import { html, render, useEffect, useRef, useSignal } from "./vendor.js";

/** Where to go after the login: a path of this site that was asked for before, else the page of who logged in. @param {string} kind */
function destination(kind) {
  const asked = new URLSearchParams(location.search).get("next") ?? "";
  const home = kind === "agent" ? "/desk" : "/console";
  return asked === home || asked.startsWith(`${home}/`) ? asked : home;
}

function Login() {
  const wrong = useSignal("");
  const field = useSignal("");
  const busy = useSignal(false);
  const forgot = useSignal("");
  const username = useRef(/** @type {HTMLInputElement | null} */ (null));
  const password = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => username.current?.focus(), []);

  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    wrong.value = field.value = "";
    try {
      const answer = await post("/session", { username: username.current?.value ?? "", password: password.current?.value ?? "" });
      location.assign(destination(answer.kind));
    } catch (error) {
      busy.value = false;
      field.value = error instanceof Problem ? error.field : "";
      wrong.value = error instanceof Problem && error.status === 401 ? t("login.wrong") : words(error);
      password.current?.select();
    }
  };
  if (forgot.value) return html`<${Forgotten} onBack=${() => (forgot.value = "")} />`;
  return html`<main class="centre stack">
    <form class="panel pad stack" onSubmit=${submit} aria-describedby=${wrong.value ? "wrong" : undefined}>
      <h1>agentbridge</h1>
      <${Field} label=${t("login.username")}>${(/** @type {string} */ id) => html`<input id=${id} ref=${username}
        autocomplete="username" autocapitalize="none" spellcheck=${false} required aria-invalid=${Boolean(wrong.value)} />`}<//>
      <${Field} label=${t("login.password")}>${(/** @type {string} */ id) => html`<input id=${id} ref=${password} type="password"
        autocomplete="current-password" required aria-invalid=${Boolean(wrong.value)} />`}<//>
      ${wrong.value && html`<p id="wrong" class="wrong" role="alert">${wrong.value}</p>`}
      <button class="main big" aria-busy=${busy.value}>${t("login.submit")}</button>
      <button type="button" class="quiet" onClick=${() => (forgot.value = "yes")}>${t("login.forgot")}</button>
    </form>
    <${Languages} />
  </main>`;
}

/** Asks for the e-mail address. The answer is the same whether it is known or not. @param {{onBack: () => void}} props */
function Forgotten({ onBack }) {
  const sent = useSignal(false);
  const wrong = useSignal("");
  const email = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => email.current?.focus(), []);
  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    try {
      await post("/password-resets", { email: email.current?.value ?? "" });
      sent.value = true;
    } catch (error) {
      wrong.value = error instanceof Problem && error.status === 503 && !error.body.retry_after ? t("reset.no_mail") : words(error);
    }
  };
  return html`<main class="centre stack"><form class="panel pad stack" onSubmit=${submit}>
    <h1>${t("reset.title")}</h1>
    ${sent.value
      ? html`<p role="status">${t("reset.sent")}</p>`
      : html`<${Field} label=${t("reset.email")}>${(/** @type {string} */ id) => html`<input id=${id} ref=${email} type="email"
          autocomplete="email" required />`}<//>
        ${wrong.value && html`<p class="wrong" role="alert">${wrong.value}</p>`}
        <button class="main big">${t("reset.send")}</button>`}
    <button type="button" class="quiet" onClick=${onBack}>${t("reset.back")}</button>
  </form><${Languages} /></main>`;
}

await loadLanguage();
const page = /** @type {HTMLElement} */ (document.getElementById("page"));
try {
  // who is logged in already goes on
  location.replace(destination((await get("/session")).kind));
} catch {
  render(html`<${Login} />`, page);
}
