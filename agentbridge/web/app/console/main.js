/** The console: what a supervisor and an administrator work with. @module */
import { get, remove, session } from "../core/api.js";
import { language, loadLanguage, t } from "../core/i18n.js";
import { Live } from "../core/live.js";
import { followLinks, go, path } from "../core/router.js";
import { askVersion, outdated } from "../core/version.js";
import { Languages } from "../ui/languages.js";
import { Act, Connection, Messages, Outdated, words } from "../ui/parts.js";
import { effect, html, render, useEffect, useRef } from "../vendor.js";
import { Agents } from "./agents.js";
import { Floor } from "./floor.js";
import { Recordings } from "./recordings.js";
import { Queues, Teams, Telephones, Users } from "./records.js";
import { SettingsPage } from "./settings.js";
import { Audit, System } from "./system.js";

/** @typedef {Record<string, any>} Data */

session.ended = () => location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);

const ROOT = "/console";
/** @param {string[]} roles @returns {(who: Data) => boolean} */
function is(...roles) {
  return (who) => who.roles.some((/** @type {string} */ role) => roles.includes(role));
}

/** Pages by their name in the path. `may` asks the session whether it shows. @type {Record<string, {view: any, may: (who: Data) => boolean}>} */
const PAGES = {
  floor: { view: Floor, may: is("admin", "user", "supervisor") },
  agents: { view: Agents, may: is("admin", "user", "supervisor") },
  queues: { view: Queues, may: is("admin", "user", "supervisor") },
  teams: { view: Teams, may: is("admin", "user") },
  telephones: { view: Telephones, may: is("admin", "user") },
  recordings: { view: Recordings, may: is("admin", "user", "supervisor") },
  audit: { view: Audit, may: is("admin") },
  users: { view: Users, may: is("admin") },
  settings: { view: SettingsPage, may: is("admin") },
  system: { view: System, may: is("admin") },
};

/** @param {{who: Data, live: Live}} props */
function Console({ who, live }) {
  const [name = "floor", ...rest] = path.value.slice(ROOT.length + 1).split("/").filter(Boolean);
  const page = PAGES[name];
  const there = page && page.may(who);
  useEffect(() => {
    document.title = `${rest[0] ?? t(there ? `nav.${name}` : "page.none")} · agentbridge`;
    // on a narrow screen the pages are a strip that is scrolled
    document.querySelector("nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  }, [path.value, language.value]);
  // the next Tab goes on in the page that came, not in the links above it
  const shown = useRef({ path: path.value, name });
  useEffect(() => {
    const before = shown.current;
    shown.current = { path: path.value, name };
    if (before.name !== name || (before.path !== path.value && document.activeElement === document.body)) document.getElementById("work")?.focus();
  }, [path.value]);
  return html`<a class="skip button" href="#work">${t("skip")}</a>
  <header class="top"><a class="brand" href=${ROOT}>agentbridge</a>
    <nav aria-label=${t("nav.pages")}>${Object.entries(PAGES).filter(([, { may }]) => may(who)).map(
      ([key]) => html`<a key=${key} href=${`${ROOT}/${key}`} aria-current=${key === name ? "page" : undefined}>${t(`nav.${key}`)}</a>`,
    )}</nav><span class="grow"></span>
    ${name !== "floor" && html`<${Connection} live=${live} />`}<${Languages} />
    <span class="small dim me">${who.name}</span>
    <${Act} class="quiet" act=${leave}>${t("desk.sign_out")}<//>
  </header>
  ${outdated.value && html`<div class="pad"><${Outdated} /></div>`}
  <main id="work" tabindex="-1">${there ? html`<${page.view} key=${name} live=${live} who=${who} rest=${rest.map(decodeURIComponent)} />`
    : html`<div class="empty stack"><h1>${t("page.none")}</h1><p><a href=${ROOT}>${t("nav.floor")}</a></p></div>`}</main>
  <${Messages} />`;
}

/** `/` goes to the page's search field. @param {KeyboardEvent} event */
function toSearch(event) {
  const from = /** @type {HTMLElement} */ (event.target);
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || from.matches("input, textarea, select") || document.querySelector("dialog[open]")) return;
  const field = /** @type {HTMLInputElement | null} */ (document.querySelector("main [data-search]"));
  if (!field) return;
  event.preventDefault();
  field.focus();
}

async function leave() {
  await remove("/session");
  location.assign("/login");
}

await loadLanguage();
const root = /** @type {HTMLElement} */ (document.getElementById("page"));
try {
  const who = await get("/session");
  if (path.value === ROOT || path.value === `${ROOT}/`) go(`${ROOT}/floor`, true);
  followLinks(ROOT);
  addEventListener("keydown", toSearch);
  const live = new Live(["agent", "queue", "call", "node"]);
  // a server that restarted may be of another version
  effect(() => void (live.connection.value === "live" && askVersion()));
  render(html`<${Console} who=${who} live=${live} />`, root);
} catch (error) {
  render(html`<main class="centre"><p class="panel pad wrong" role="alert">${words(error)}</p></main>`, root);
}
