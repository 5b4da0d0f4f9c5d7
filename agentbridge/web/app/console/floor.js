/** The wallboard: queues and agents live. What is stale is shown as stale. @module */
import { number, percent, t } from "../core/i18n.js";
import { Connection, Since, State } from "../ui/parts.js";
import { computed, html, useEffect, useMemo, useRef, useSignal } from "../vendor.js";

/** @typedef {import("../core/live.js").Live} Live */
/** @typedef {import("../core/live.js").Data} Data */
/** @typedef {import("../vendor.js").Signal<Data>} Datum */

/** Above this share answered in time a queue is well; below, its bar says so. */
const WELL = 0.8;
/** Seconds of the longest wait after which a queue is marked. */
const LONG_WAIT_SECONDS = 60;
const STATES = ["talking", "ready", "ringing", "wrapup", "held", "paused", "unreachable", "unknown"];

/** @param {{live: Live}} props */
export function Floor({ live }) {
  const filter = useSignal("");
  const board = useRef(/** @type {HTMLElement | null} */ (null));
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const queues = live.of("queue");
  const agents = live.of("agent");
  const sorted = useMemo(() => computed(() => [...agents.keys.value].sort(byName(agents))), [agents]);
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const keys = (event) => {
      if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/") {
        event.preventDefault();
        field.current?.focus();
      } else if (event.key.toLowerCase() === "f") fullScreen(board.current);
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  return html`<div class=${`floor ${live.connection.value === "live" ? "" : "stale"}`} ref=${board}>
    <div class="row wrap">
      <h1>${t("floor.title")}</h1><span class="grow"></span>
      <${Connection} live=${live} />
      <button type="button" onClick=${() => fullScreen(board.current)}>${t("floor.full")} <kbd>F</kbd></button>
    </div>
    <section class="queues" aria-label=${t("floor.queues")}>
      ${queues.keys.value.length === 0 && html`<p class="panel empty">${t("floor.no_queues")}</p>`}
      ${[...queues.keys.value].sort().map((key) => html`<${Queue} key=${key} data=${queues.objects.get(key)} live=${live} />`)}
    </section>
    <div class="row wrap">
      <h2>${t("floor.agents")}</h2>
      <${Counts} agents=${agents} />
      <span class="grow"></span>
      <input ref=${field} type="search" aria-label=${t("floor.filter")} placeholder=${`${t("floor.filter")}  /`}
        onInput=${(/** @type {InputEvent} */ event) => (filter.value = /** @type {HTMLInputElement} */ (event.target).value)} />
    </div>
    <ul class="cards" aria-label=${t("floor.agents")}>
      ${sorted.value.map((key) => html`<${Agent} key=${key} name=${key} data=${agents.objects.get(key)} live=${live} filter=${filter} />`)}
    </ul>
    ${sorted.value.length === 0 && html`<p class="empty">${t("floor.no_agents")}</p>`}
  </div>`;
}

/** @param {HTMLElement | null} element */
function fullScreen(element) {
  if (document.fullscreenElement) document.exitFullscreen();
  else element?.requestFullscreen?.();
}

/** @param {import("../core/live.js").Collection} agents @returns {(a: string, b: string) => number} */
function byName(agents) {
  const name = (/** @type {string} */ key) => String(agents.objects.get(key)?.peek().name ?? key);
  return (a, b) => name(a).localeCompare(name(b), undefined, { numeric: true });
}

/** @param {{data: Datum | undefined, live: Live}} props */
function Queue({ data, live }) {
  const queue = data?.value;
  if (!queue) return null;
  const share = queue.service_level ?? null;
  const waited = queue.longest_since ? (live.now() - Date.parse(queue.longest_since)) / 1000 : 0;
  return html`<article class=${`panel pad queue ${queue.waiting > 0 && waited > LONG_WAIT_SECONDS ? "long" : ""}`}>
    <h2>${queue.name}</h2>
    <p class="waiting"><b class="num">${number(queue.waiting ?? 0)}</b> <span class="dim">${t("queue.waiting")}
      ${queue.waiting > 0 && html` · <${Since} since=${queue.longest_since} now=${() => live.now()} />`}</span></p>
    <div class="bar" role="img" aria-label=${share === null ? t("queue.no_level") : `${percent(share)} ${t("queue.in_time")}`}>
      <i class=${share === null || share >= WELL ? "" : "low"} style=${{ inlineSize: `${(share ?? 1) * 100}%` }}></i></div>
    <dl class="figures num">
      <${Figure} value=${share === null ? "–" : percent(share)} name=${t("queue.in_time")} />
      <${Figure} value=${number(queue.ready ?? 0)} name=${t("queue.ready")} />
      <${Figure} value=${number(queue.talking ?? 0)} name=${t("queue.talking")} />
      <${Figure} value=${number(queue.paused ?? 0)} name=${t("queue.paused")} />
      <${Figure} value=${number(queue.abandoned ?? 0)} name=${t("queue.abandoned")} />
    </dl>
  </article>`;
}

/** @param {{value: string, name: string}} props */
function Figure({ value, name }) {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

/** @param {{agents: import("../core/live.js").Collection}} props */
function Counts({ agents }) {
  const counts = useMemo(
    () =>
      computed(() => {
        /** @type {Record<string, number>} */
        const found = {};
        for (const key of agents.keys.value) {
          const state = String(agents.get(key)?.state ?? "unknown");
          found[state] = (found[state] ?? 0) + 1;
        }
        return found;
      }),
    [agents],
  );
  return STATES.filter((state) => counts.value[state]).map(
    (state) => html`<${State} key=${state} state=${state} word=${t(`count.${state}`, { count: counts.value[state] ?? 0 })} />`,
  );
}

/**
 * @param {{name: string, data: Datum | undefined, live: Live, filter: import("../vendor.js").Signal<string>}} props
 */
function Agent({ name, data, live, filter }) {
  const agent = data?.value;
  if (!agent || agent.state === "offline") return null;
  const asked = filter.value.trim().toLowerCase();
  const queues = Array.isArray(agent.queues) ? agent.queues.join(" ") : "";
  const reason = agent.state === "paused" ? (agent.pause_reason ?? "") : "";
  const text = `${agent.name ?? ""} ${name} ${agent.internal ?? ""} ${queues} ${t(`state.${agent.state}`)} ${reason}`.toLowerCase();
  if (asked && !text.includes(asked)) return null;
  return html`<li class=${`card edge-${agent.state}`}>
    <div class="row"><a class="name" href=${`/console/agents/${encodeURIComponent(name)}`}>${agent.name || name}</a><span class="grow"></span>
      <span class="num faint">${agent.internal}</span></div>
    <div class="row"><${State} state=${agent.state} word=${reason} /><span class="grow"></span>
      <${Since} since=${agent.since} now=${() => live.now()} /></div>
    <div class="small dim clip">${agent.state === "unreachable" ? t("floor.unreachable") : agent.queue || queues}</div>
  </li>`;
}
