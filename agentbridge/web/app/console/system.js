/** What looks inside: the audit, the nodes, what is pending or failed, and the plan with its confirmation. @module */
import { get, post } from "../core/api.js";
import { dateTime, number, t } from "../core/i18n.js";
import { Search, Table, useList } from "../ui/lists.js";
import { Act, Notice, say, State, words } from "../ui/parts.js";
import { html, useEffect, useSignal } from "../vendor.js";

/** @typedef {Record<string, any>} Data */

const LOOK_MS = 5000;
/** Names that are shown of a long list. */
const NAMED = 50;

export function Audit() {
  const list = useList("/audit", {}, "");
  return html`<section class="panel"><div class="tools"><h1>${t("nav.audit")}</h1><${Search} list=${list} label=${t("audit.search")} /></div>
    <${Table} list=${list} caption=${t("nav.audit")} keyOf=${(/** @type {Data} */ row) => String(row.id)} empty=${t("audit.empty")} columns=${[
      { name: "audit.at", class: "num", cell: (/** @type {Data} */ row) => dateTime(row.at) },
      { name: "audit.actor", cell: (/** @type {Data} */ row) => row.actor },
      { name: "audit.action", cell: (/** @type {Data} */ row) => html`<code>${row.action}</code>` },
      { name: "audit.object", class: "clip", cell: (/** @type {Data} */ row) => row.object },
      { name: "audit.detail", class: "broken dim", cell: (/** @type {Data} */ row) => details(row.detail) },
    ]} /></section>`;
}

/** @param {any} detail @returns {string} */
function details(detail) {
  if (detail === null || detail === undefined) return "";
  if (typeof detail !== "object" || Array.isArray(detail)) return JSON.stringify(detail);
  return Object.entries(detail).map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" · ");
}

/** Nodes, what is pending and why, and the plan with its confirmation. */
export function System() {
  const nodes = useSignal(/** @type {Data[] | null} */ (null));
  const plan = useSignal(/** @type {Data | null} */ (null));
  const wrong = useSignal("");
  const load = async () => {
    try {
      nodes.value = (await get("/nodes")).items;
      plan.value = await get("/plan");
      wrong.value = "";
    } catch (error) {
      wrong.value = words(error);
    }
  };
  useEffect(() => {
    load();
    const timer = setInterval(() => document.visibilityState === "visible" && load(), LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  const held = /** @type {Data[]} */ (plan.value?.refused ?? []);
  const failed = /** @type {Data[]} */ (plan.value?.failed ?? []);
  const pending = /** @type {string[]} */ (plan.value?.pending ?? []);
  return html`<div class="stack"><h1>${t("nav.system")}</h1>
    ${wrong.value && html`<${Notice} kind="alarm" role="alert">${wrong.value}<//>`}
    ${held.map((line) => html`<${Held} key=${line.node} line=${line} load=${load} />`)}
    <section class="panel"><header><h2>${t("system.nodes")}</h2></header><div class="lines">
      ${nodes.value?.map((node) => html`<div key=${node.node}><b>${node.node}</b>
        <${State} state=${node.state === "up" ? "ready" : "unreachable"} word=${node.state === "lost" ? t("system.lost") : !node.alive ? t("system.no_daemon") : node.asterisk_up ? t("system.up") : t("system.no_asterisk")} />
        ${node.trouble && html`<span class="wrong small">${node.trouble}</span>`}
        <span class="dim num">${t("system.counts", { pending: number(node.pending), failed: number(node.failed) })}</span><span class="grow"></span>
        <span class="faint small">${t("system.seen", { version: node.version, at: node.seen_at ? dateTime(node.seen_at) : "–" })}</span></div>
        ${node.older && html`<div key=${`${node.node} older`}><${Notice} kind="alarm">${t("system.older", { node: node.node, reason: node.older })}<//><span class="grow"></span>
          <${Act} class="danger" act=${async () => { await post("/plan/confirm", { node: node.node }); await load(); }}>${t("system.confirm_older")}<//></div>`}`)}
      ${nodes.value?.length === 0 && html`<p class="empty">${t("system.no_nodes")}</p>`}</div></section>
    <section class="panel"><header><h2>${t("system.failed")}</h2></header><div class="lines">
      ${failed.map((line) => html`<div key=${`${line.node} ${line.key}`}><b>${line.key}</b><span class="dim">${line.node}</span><span class="wrong">${line.error}</span></div>`)}
      ${plan.value && failed.length === 0 && html`<p class="dim">${t("system.none_failed")}</p>`}</div></section>
    <section class="panel"><header><h2>${t("system.pending")}</h2></header>
      ${pending.length === 0 ? html`<p class="pad dim">${plan.value ? t("system.none_pending") : ""}</p>`
        : html`<ul class="chips pad">${pending.slice(0, NAMED).map((name) => html`<li key=${name}><a href=${`/console/agents/${encodeURIComponent(name)}`}>${name}</a></li>`)}</ul>
          ${pending.length > NAMED && html`<p class="pad dim">${t("system.more", { count: pending.length - NAMED })}</p>`}`}</section>
  </div>`;
}

/** What a node would remove and does not until somebody confirms exactly this. @param {{line: Data, load: () => Promise<void>}} props */
function Held({ line, load }) {
  const keys = /** @type {string[]} */ (line.keys ?? []);
  return html`<section class="panel pad stack" aria-label=${t("system.held")}><${Notice} kind="alarm">${t("system.held")}<//>
    <p><b>${line.node}</b>: ${t("system.removals", { removals: line.removals, total: line.total ?? "?" })} <span class="dim">${line.since ? dateTime(line.since) : ""}</span></p>
    <details><summary>${t("system.keys")}</summary><p class="broken small">${keys.join(", ")}${line.removals > keys.length ? " …" : ""}</p></details>
    <div class="row"><span class="grow"></span><${Act} class="danger" act=${async () => {
      await post("/plan/confirm", { node: line.node, code: line.code });
      say(t("system.confirmed"), "good");
      await load();
    }}>${t("system.confirm")}<//></div></section>`;
}
