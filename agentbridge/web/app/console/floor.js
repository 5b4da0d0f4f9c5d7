/** The wallboard: queues and agents live. What is stale is shown as stale. @module */
import { language, number, percent, t } from "../core/i18n.js";
import { Connection, Notice, Since, State } from "../ui/parts.js";
import { html, useEffect, useLayoutEffect, useRef, useSignal } from "../vendor.js";

/** @typedef {import("../core/live.js").Live} Live */
/** @typedef {import("../core/live.js").Data} Data */
/** @typedef {import("../core/live.js").Collection} Collection */
/** @typedef {import("../vendor.js").Signal<Data>} Datum */

/** Above this share answered in time a queue is well; below, its bar says so. */
const WELL = 0.8;
/** Seconds of the longest wait after which a queue is marked. */
const LONG_WAIT_SECONDS = 60;
const STATES = ["talking", "ready", "ringing", "wrapup", "held", "paused", "unreachable", "unknown"];
/** How often it is looked who is there and how many are in each state; each card follows its agent at once. */
const LOOK_MS = 500;
/** Cards that are made in one task: a thousand at once would stop the page. */
const CARDS_AT_ONCE = 15;

/** @param {{live: Live}} props */
export function Floor({ live }) {
  const filter = useSignal("");
  const board = useRef(/** @type {HTMLElement | null} */ (null));
  const queues = live.of("queue");
  const agents = live.of("agent");
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const keys = (event) => {
      if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.toLowerCase() === "f") fullScreen(board.current);
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  const stale = live.connection.value !== "live";
  return html`<div class=${`floor ${stale ? "stale" : ""}`} ref=${board}>
    <div class="row wrap">
      <h1>${t("floor.title")}</h1><span class="grow"></span>
      <${Connection} live=${live} />
      <button type="button" onClick=${() => fullScreen(board.current)}>${t("floor.full")} <kbd>F</kbd></button>
    </div>
    ${live.connection.value === "stale" && html`<${Notice} kind="alarm">${t("live.stale_long")}<//>`}
    <section class="queues" aria-label=${t("floor.queues")}>
      ${queues.keys.value.length === 0 && !stale && html`<p class="panel empty">${t("floor.no_queues")}</p>`}
      ${[...queues.keys.value].sort().map((key) => html`<${Queue} key=${key} data=${queues.objects.get(key)} live=${live} />`)}
    </section>
    <div class="row wrap">
      <h2>${t("floor.agents")}</h2>
      <${Counts} agents=${agents} />
      <span class="grow"></span>
      <input type="search" data-search aria-label=${t("floor.filter")} placeholder=${`${t("floor.filter")}  /`}
        onInput=${(/** @type {InputEvent} */ event) => (filter.value = /** @type {HTMLInputElement} */ (event.target).value.trim().toLowerCase())} />
    </div>
    <${Cards} agents=${agents} live=${live} filter=${filter} />
  </div>`;
}

/** @param {HTMLElement | null} element */
function fullScreen(element) {
  if (document.fullscreenElement) document.exitFullscreen();
  else element?.requestFullscreen?.();
}

/** Runs `look` now, again each half a second, and when an agent comes or goes. @param {Collection} agents @param {() => void} look */
function useLook(agents, look) {
  const keys = agents.keys.value;
  const latest = useRef(look);
  latest.current = look;
  useEffect(() => latest.current(), [keys, language.value]);
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === "visible" && latest.current(), LOOK_MS);
    return () => clearInterval(timer);
  }, []);
}

/** Who is logged in and fits the filter, by name; the cards come a few at a time. @param {{agents: Collection, live: Live, filter: import("../vendor.js").Signal<string>}} props */
function Cards({ agents, live, filter }) {
  const names = useSignal(/** @type {string[]} */ ([]));
  const limit = useSignal(CARDS_AT_ONCE);
  const look = () => {
    const order = new Intl.Collator(language.value, { numeric: true }).compare;
    const found = agents.keys.value.filter((key) => shows(key, agents.objects.get(key)?.peek(), filter.value));
    const known = new Set(names.peek());
    if (found.length === known.size && found.every((key) => known.has(key))) return;
    const called = new Map(found.map((key) => [key, String(agents.objects.get(key)?.peek().name || key)]));
    names.value = found.sort((a, b) => order(called.get(a) ?? a, called.get(b) ?? b));
  };
  useLook(agents, look);
  useEffect(() => {
    limit.value = CARDS_AT_ONCE; // what comes back comes a few at a time too
    look();
  }, [filter.value]);
  const more = names.value.length > limit.value;
  useLayoutEffect(() => {
    if (!more) return undefined;
    const timer = setTimeout(() => (limit.value += CARDS_AT_ONCE), 0);
    return () => clearTimeout(timer);
  }, [more, limit.value]);
  if (names.value.length === 0) {
    return html`<p class="empty">${filter.value ? t("list.nothing", { text: filter.value }) : live.connection.value === "connecting" ? "" : t("floor.no_agents")}</p>`;
  }
  return html`<ul class="cards" aria-label=${t("floor.agents")}>
    ${names.value.slice(0, limit.value).map((key) => html`<${Agent} key=${key} name=${key} data=${agents.objects.get(key)} live=${live} />`)}
  </ul>`;
}

/** @param {string} key @param {Data | undefined} agent @param {string} asked in lower case */
function shows(key, agent, asked) {
  if (!agent || agent.state === "offline") return false;
  if (!asked) return true;
  const queues = Array.isArray(agent.queues) ? agent.queues.join(" ") : "";
  const reason = agent.state === "paused" ? (agent.pause_reason ?? "") : "";
  return `${agent.name ?? ""} ${key} ${agent.internal ?? ""} ${queues} ${t(`state.${agent.state}`)} ${reason}`.toLowerCase().includes(asked);
}

/** @param {{data: Datum | undefined, live: Live}} props */
function Queue({ data, live }) {
  const queue = data?.value;
  if (!queue) return null;
  const known = queue.known !== false;
  // a queue without a service level in queues.conf has none to keep
  const share = known && queue.level_seconds ? (queue.service_level ?? null) : null;
  const waited = queue.longest_since ? (live.now() - Date.parse(queue.longest_since)) / 1000 : 0;
  const figure = (/** @type {number | undefined} */ value) => (known ? number(value ?? 0) : "–");
  return html`<article class=${`panel pad queue ${known && queue.waiting > 0 && waited > LONG_WAIT_SECONDS ? "long" : ""}`}>
    <h2>${queue.name}</h2>
    <p class="waiting"><b class="num">${figure(queue.waiting)}</b> <span class="dim">${t("queue.waiting")}
      ${known && queue.waiting > 0 && html` · <${Since} since=${queue.longest_since} now=${() => live.now()} />`}</span>
      ${!known && html` <${State} state="unknown" word=${t("queue.unknown")} />`}</p>
    <div class="bar" role="img" aria-label=${share === null ? t("queue.no_level") : `${percent(share)} ${t("queue.in_time")}`}>
      <i class=${share === null ? "none" : share >= WELL ? "" : "low"} style=${{ inlineSize: `${(share ?? 1) * 100}%` }}></i></div>
    <dl class="figures num">
      <${Figure} value=${share === null ? "–" : percent(share)} name=${queue.level_seconds ? t("queue.in_seconds", { seconds: queue.level_seconds }) : t("queue.in_time")} />
      <${Figure} value=${figure(queue.ready)} name=${t("queue.ready")} />
      <${Figure} value=${figure(queue.talking)} name=${t("queue.talking")} />
      <${Figure} value=${figure(queue.paused)} name=${t("queue.paused")} />
      <${Figure} value=${figure(queue.abandoned)} name=${t("queue.abandoned")} />
    </dl>
  </article>`;
}

/** @param {{value: string, name: string}} props */
function Figure({ value, name }) {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

/** @param {{agents: Collection}} props */
function Counts({ agents }) {
  const counts = useSignal(/** @type {Record<string, number>} */ ({}));
  useLook(agents, () => {
    /** @type {Record<string, number>} */
    const found = {};
    for (const key of agents.keys.value) {
      const state = String(agents.objects.get(key)?.peek().state ?? "unknown");
      found[state] = (found[state] ?? 0) + 1;
    }
    const same = STATES.every((state) => found[state] === counts.peek()[state]);
    if (!same) counts.value = found;
  });
  return STATES.filter((state) => counts.value[state]).map(
    (state) => html`<${State} key=${state} state=${state} word=${t(`count.${state}`, { count: counts.value[state] ?? 0 })} />`,
  );
}

/** @param {{name: string, data: Datum | undefined, live: Live}} props */
function Agent({ name, data, live }) {
  const agent = data?.value;
  if (!agent || agent.state === "offline") return null;
  const queues = Array.isArray(agent.queues) ? agent.queues.join(", ") : "";
  const reason = agent.state === "paused" ? (agent.pause_reason ?? "") : "";
  return html`<li class=${`card edge-${agent.state}`}>
    <div class="row"><a class="name" dir="auto" href=${`/console/agents/${encodeURIComponent(name)}`}>${agent.name || name}</a>
      <span class="num faint">${agent.internal}</span></div>
    <div class="row"><${State} state=${agent.state} word=${reason} /><span class="grow"></span>
      <${Since} since=${agent.since} now=${() => live.now()} /></div>
    <div class="small dim clip">${agent.state === "unreachable" ? t("floor.unreachable") : agent.state === "unknown" ? t("floor.unknown") : agent.queue || queues}</div>
  </li>`;
}
