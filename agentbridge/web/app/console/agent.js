/** One agent: its tabs, what Asterisk has of it, and listening to it. @module */
import { get, patch, Problem, put, remove, request } from "../core/api.js";
import { dateTime, t } from "../core/i18n.js";
import { go } from "../core/router.js";
import { Form } from "../ui/forms.js";
import { Act, Dialog, Notice, say, State, words } from "../ui/parts.js";
import { html, useComputed, useEffect, useRef, useSignal } from "../vendor.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {import("../core/live.js").Live} Live */
/** @typedef {import("../ui/forms.js").Entry & {only?: string[]}} Entry */

const WAIT = { wait: 5 };
const path = (/** @type {string} */ username) => `/agents/${encodeURIComponent(username)}`;
/** @type {(name: string, kind: Entry["kind"], more?: Partial<Entry>) => Entry} */
const entry = (name, kind, more = {}) => ({ name, kind, ...more });
const BAR = { only: ["phonebar"] };
const BROWSER = { only: ["webrtc"] };

/** The fields of each tab. `only`: the typologies that have the field. @type {Record<string, Entry[]>} */
const TABS = {
  person: [
    entry("username", "text", { required: true }), entry("full_name", "text"), entry("alias", "text"), entry("email", "text"),
    entry("internal", "text"), entry("typology", "choice", { choices: ["phonebar", "external", "webrtc"] }), entry("description", "long"),
    entry("login_in_pause", "bool"), entry("hot_desk", "bool", { only: ["external"] }), entry("voicemail", "bool"), entry("deactivated", "bool"),
  ],
  voice: [
    entry("transport", "list", { hint: "hint.transport" }), entry("codecs", "list", { hint: "hint.codecs" }), entry("host", "text", { hint: "hint.host" }), entry("nat", "list"),
    entry("sip_type", "choice", { choices: ["friend", "user", "peer"] }), entry("caller_id", "text"), entry("context", "text"),
    entry("call_group", "text", { hint: "hint.group" }), entry("pickup_group", "text", { hint: "hint.group" }), entry("sip_expires", "number"), entry("sip_port", "number", BAR),
    entry("record_calls", "choice", { choices: ["inactive", "wav", "wav49", "gsm"] }), entry("record_made_calls", "bool"),
    entry("chanspy", "bool"), entry("mask_sensitive", "bool"),
  ],
  client: [
    entry("auto_answer", "bool"), entry("auto_answer_delay", "number"), entry("ring_in_use", "bool", BAR),
    entry("manual_recording", "bool"), entry("dtmf_tones", "bool"), entry("dnd_in_pause", "bool"), entry("unanswered_badge", "bool", BAR),
    entry("jaws", "bool", BAR), entry("screen_recording", "choice", { choices: ["none", "agent", "automatic"], ...BAR }),
    entry("screen_recording_path", "text", BAR), entry("remote_control", "bool", BAR), entry("remote_control_port", "number", BAR),
    entry("forward_allowed", "bool", BAR), entry("forward_to", "text", BAR), entry("ignore_pause_preview", "bool", BROWSER),
    entry("tls_certificate_path", "text", BROWSER), entry("tls_key_path", "text", BROWSER), entry("wss_port", "number", BROWSER),
    entry("may_see_settings", "bool"), entry("may_change_settings", "bool"), entry("client_log", "bool"),
    entry("client_log_level", "choice", { choices: ["error", "warning", "info", "debug"] }),
  ],
  rights: [
    entry("may_call", "bool"), entry("may_spy", "bool"), entry("prefix_required", "bool"), entry("internal_messenger", "bool"), entry("recall_me", "bool"),
    entry("download_recordings", "bool"), entry("download_attachments", "bool"), entry("download_interactions", "bool"),
  ],
};
/** Only an administrator sets these. */
const ADMIN_ONLY = new Set(["may_spy"]);
const CHANNELS = ["chat", "email", "sms", "openchannel", "fax", "whatsapp"];
const MODULES = ["voice", ...CHANNELS];
/** Which agent's phone rings when a user listens: kept in this browser. */
const STORED_DEVICE = "agentbridge.spy.device";

/** @param {{username: string, live: Live, mayChange: boolean, who: Data, changed: () => void}} props */
export function One({ username, live, mayChange, who, changed }) {
  const agent = useSignal(/** @type {Data | null} */ (null));
  const theirs = useSignal(/** @type {Data | null} */ (null));
  const wrong = useSignal("");
  const tab = useSignal("person");
  const etag = useRef("");
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  const load = async () => {
    try {
      const answer = await request("GET", path(username));
      agent.value = answer.data;
      etag.current = answer.etag;
    } catch (error) {
      wrong.value = words(error);
    }
  };
  useEffect(() => void load(), [username]);
  useEffect(() => heading.current?.focus(), [agent.value === null]);
  // until Asterisk has the last change, it is looked again: the line below the name says what became of it
  const waits = agent.value?.status.pending || agent.value?.status.error;
  useEffect(() => {
    if (!waits) return undefined;
    const timer = setInterval(() => document.visibilityState === "visible" && load(), 1500);
    return () => clearInterval(timer);
  }, [Boolean(waits)]);
  /** @param {Data} changes */
  const save = async (changes) => {
    try {
      await patch(path(username), changes, { etag: etag.current });
    } catch (error) {
      if (error instanceof Problem && error.status === 412) {
        theirs.value = { mine: changes, now: error.body.current ?? (await get(path(username))) };
        return;
      }
      throw error;
    }
    say(t("saved"), "good");
    changed();
    if (changes.username) go(`/console${path(changes.username)}`, true);
    else await load();
  };
  const record = agent.value;
  const close = html`<a class="button quiet" href="/console/agents" aria-label=${t("close")}>✕</a>`;
  if (wrong.value) return html`<section class="panel pad row"><p class="wrong grow" role="alert">${wrong.value}</p>${close}</section>`;
  if (!record) return html`<section class="panel pad" aria-busy="true"></section>`;
  const status = record.status;
  const tabs = [...Object.keys(TABS), "queues", "channels", ...(mayChange ? ["secrets"] : [])];
  const again = async () => {
    await load();
    changed();
  };
  const name = record.full_name || username;
  return html`<section class="panel" aria-label=${name}>
    <header><div><h1 ref=${heading} tabindex="-1">${name}</h1><span class="small dim">${username} · <span class="num">${record.internal}</span> · ${t(`typology.${record.typology}`)}</span></div>
      <span class="grow"></span>
      ${status.logged_in && mayChange && html`<${Act} act=${async () => { await remove(`${path(username)}/session`, WAIT); await again(); }}>${t("agents.log_out")}<//>`}
      ${record.locked && mayChange && html`<${Act} act=${async () => { await remove(`${path(username)}/lock`); await again(); }}>${t("agents.unlock")}<//>`}
      ${close}</header>
    <div class="pad stack tight"><${InAsterisk} status=${status} /><${Listening} username=${username} record=${record} live=${live} who=${who} /></div>
    <div class="tabs" role="tablist" aria-label=${name}>${tabs.map((one) => html`<button key=${one} type="button" role="tab" id=${`tab-${one}`} aria-selected=${tab.value === one}
      aria-controls="tab-panel" tabindex=${tab.value === one ? 0 : -1} onClick=${() => (tab.value = one)} onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
        const forward = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
        const step = event.key === forward ? 1 : event.key.startsWith("Arrow") && event.key.match(/Left|Right/) ? -1 : 0;
        if (!step) return;
        tab.value = /** @type {string} */ (tabs[(tabs.indexOf(tab.value) + step + tabs.length) % tabs.length]);
        document.getElementById(`tab-${tab.value}`)?.focus();
      }}>${t(`tab.${one}`)}</button>`)}</div>
    <div class="pad" id="tab-panel" role="tabpanel" aria-labelledby=${`tab-${tab.value}`}>
      ${tab.value === "queues" ? html`<${Memberships} username=${username} record=${record} mayChange=${mayChange} changed=${again} />`
        : tab.value === "channels" ? html`<${Channels} username=${username} record=${record} mayChange=${mayChange} changed=${load} />`
        : tab.value === "secrets" ? html`<${Password} username=${username} />`
        : html`<${Form} key=${tab.value} entries=${shown(tab.value, record, who)} record=${record} submit=${save} action=${t("save")} readOnly=${!mayChange} />`}
    </div>
    ${theirs.value && html`<${Conflict} theirs=${theirs.value} onClose=${() => (theirs.value = null)}
      keep=${async () => { theirs.value = null; await load(); }}
      save=${async () => { const mine = theirs.value?.mine ?? {}; await load(); await save(mine); theirs.value = null; }} />`}
  </section>`;
}

/** The fields of a tab that this agent has and this reader may set. @param {string} tab @param {Data} record @param {Data} who */
function shown(tab, record, who) {
  const admin = who.roles.includes("admin");
  return TABS[tab]?.filter((field) => (!field.only || field.only.includes(record.typology)) && (admin || !ADMIN_ONLY.has(field.name)));
}

/** What Asterisk has of the agent now, and why not. @param {{status: Data}} props */
function InAsterisk({ status }) {
  if (status.error) return html`<${Notice} kind="alarm">${t("agents.refused", { reason: status.error })}<//>`;
  if (status.pending) return html`<${State} state="ringing" word=${t("agents.pending")} />`;
  if (!status.applied_at) return html`<${State} state="offline" word=${t("agents.not_yet")} />`;
  return html`<span><${State} state="ready" word=${t("agents.in_asterisk", { at: dateTime(status.applied_at) })} /></span>`;
}

/** Listen, whisper, take part: one button each, and why they can't be pressed. @param {{username: string, record: Data, live: Live, who: Data}} props */
function Listening({ username, record, live, who }) {
  const device = useSignal(localStorage.getItem(STORED_DEVICE) ?? "");
  const wrong = useSignal("");
  const may = who.roles.includes("supervisor") || who.roles.includes("admin");
  const own = who.kind === "agent";
  // as text, so that of all their changes only a log-in and a log-out render this anew
  const others = useComputed(() => (may && !own ? JSON.stringify(listeners(live, username)) : "[]"));
  if (!may) return null;
  const devices = /** @type {Data[]} */ (JSON.parse(others.value));
  const chosen = devices.some((one) => one.username === device.value) ? device.value : "";
  const talks = ["talking", "held"].includes(live.of("agent").get(username)?.state);
  const why = !record.chanspy ? t("spy.closed") : !talks ? t("spy.no_call") : own || chosen ? "" : t(devices.length > 0 ? "spy.no_device" : "spy.nobody");
  /** @param {string} mode */
  const spy = (mode) => async () => {
    try {
      await put(`${path(username)}/spy`, { mode, ...(own ? {} : { listener: chosen }) }, WAIT);
      wrong.value = "";
      say(t("spy.rings"), "good");
    } catch (error) {
      wrong.value = words(error); // below the buttons, which stay where they are
    }
  };
  return html`<div class="row wrap spying" role="group" aria-label=${t("spy.title")}>
    ${["listen", "whisper", "barge"].map((mode) => html`<${Act} key=${mode} disabled=${Boolean(why)} why=${why} act=${spy(mode)}>${t(`spy.${mode}`)}<//>`)}
    ${devices.length > 0 && html`<label class="row tight small dim">${t("spy.device")} <select value=${chosen} onChange=${(/** @type {Event} */ event) => {
      device.value = /** @type {HTMLSelectElement} */ (event.target).value;
      localStorage.setItem(STORED_DEVICE, device.value);
    }}><option value=""></option>${devices.map((one) => html`<option key=${one.username} value=${one.username}>${one.name} · ${one.internal}</option>`)}</select></label>`}
    ${why ? html`<span class="small dim">${why}</span>` : wrong.value && html`<p class="wrong" role="alert">${wrong.value}</p>`}</div>`;
}

/** States in which a phone can't ring. */
const NO_PHONE = ["offline", "unreachable", "unknown"];

/** Whose phone could ring: who may listen and can be reached, by name. @param {Live} live @param {string} username who is listened to @returns {Data[]} */
function listeners(live, username) {
  const agents = live.of("agent");
  const others = agents.keys.value.filter((key) => key !== username).map((key) => ({ key, ...agents.objects.get(key)?.value }));
  const there = others.filter((/** @type {Data} */ one) => one.may_spy && !NO_PHONE.includes(one.state));
  return there.map((/** @type {Data} */ one) => ({ username: one.key, name: String(one.name || one.key), internal: one.internal }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** Two editors: what is there now beside what was to be saved. @param {{theirs: Data, onClose: () => void, keep: () => Promise<void>, save: () => Promise<void>}} props */
function Conflict({ theirs, onClose, keep, save }) {
  const text = (/** @type {any} */ value) => (typeof value === "boolean" ? t(value ? "choice.on" : "choice.off") : Array.isArray(value) ? value.join(", ") : String(value ?? ""));
  return html`<${Dialog} title=${t("conflict.title")} onClose=${onClose}>
    <p>${t("conflict.text")}</p><table><thead><tr><th scope="col">${t("conflict.field")}</th><th scope="col">${t("conflict.now")}</th><th scope="col">${t("conflict.yours")}</th></tr></thead>
    <tbody>${Object.keys(theirs.mine).map((name) => html`<tr key=${name}><th scope="row">${t(`field.${name}`)}</th><td class="broken">${text(theirs.now[name])}</td><td class="broken">${text(theirs.mine[name])}</td></tr>`)}</tbody></table>
    <div class="row wrap"><span class="grow"></span><${Act} act=${keep}>${t("conflict.take_now")}<//><${Act} class="main" act=${save}>${t("conflict.take_yours")}<//></div><//>`;
}

/** Queues with their penalties, and teams, which bring queues of their own. @param {{username: string, record: Data, mayChange: boolean, changed: () => Promise<void>}} props */
function Memberships({ username, record, mayChange, changed }) {
  const queues = useSignal(/** @type {string[]} */ ([]));
  const teams = useSignal(/** @type {string[]} */ ([]));
  useEffect(() => {
    const names = (/** @type {string} */ kind) => get(`/${kind}?limit=500`).then((page) => page.items.map((/** @type {Data} */ one) => one.name), () => []);
    names("queues").then((found) => (queues.value = found));
    names("teams").then((found) => (teams.value = found));
  }, []);
  const own = /** @type {Record<string, number>} */ (record.own_queues);
  const all = /** @type {Record<string, number>} */ (record.queues);
  const mine = /** @type {string[]} */ (record.teams);
  /** @param {Record<string, number>} memberships */
  const set = async (memberships) => {
    await put(`${path(username)}/queues`, memberships);
    await changed();
  };
  /** @param {string[]} names */
  const setTeams = async (names) => {
    await put(`${path(username)}/teams`, names);
    await changed();
  };
  return html`<div class="stack"><section><h2>${t("nav.queues")}</h2><div class="lines">
    ${Object.keys(all).length === 0 && html`<p class="dim">${t("agents.no_queue")}</p>`}
    ${Object.entries(all).map(([name, penalty]) => html`<div key=${name}><b>${name}</b>
      ${name in own
        ? mayChange
          ? html`<label class="row tight small dim">${t("agents.penalty")} <input type="number" class="short" min="0" value=${own[name]} onChange=${(/** @type {Event} */ event) => set({ ...own, [name]: Number(/** @type {HTMLInputElement} */ (event.target).value) })} /></label>`
          : html`<span class="small dim">${t("agents.penalty")} ${penalty}</span>`
        : html`<span class="small dim">${t("agents.by_team")}</span>`}
      <span class="grow"></span>
      ${mayChange && name in own && html`<${Act} class="quiet" label=${`${t("agents.take_out")}: ${name}`} act=${() => set(Object.fromEntries(Object.entries(own).filter(([other]) => other !== name)))}>${t("agents.take_out")}<//>`}</div>`)}
    </div>${mayChange && html`<${Adding} label=${t("agents.queue")} names=${queues.value.filter((name) => !(name in own))} add=${(/** @type {string} */ name) => set({ ...own, [name]: 0 })} />`}</section>
    <section><h2>${t("nav.teams")}</h2><div class="lines">
    ${mine.length === 0 && html`<p class="dim">${t("agents.no_team")}</p>`}
    ${mine.map((name) => html`<div key=${name}><b>${name}</b><span class="grow"></span>
      ${mayChange && html`<${Act} class="quiet" label=${`${t("agents.take_out")}: ${name}`} act=${() => setTeams(mine.filter((other) => other !== name))}>${t("agents.take_out")}<//>`}</div>`)}
    </div>${mayChange && html`<${Adding} label=${t("agents.team")} names=${teams.value.filter((name) => !mine.includes(name))} add=${(/** @type {string} */ name) => setTeams([...mine, name])} />`}</section></div>`;
}

/** A choice and a button that adds it. @param {{label: string, names: string[], add: (name: string) => Promise<void>}} props */
export function Adding({ label, names, add }) {
  const chosen = useSignal("");
  return html`<div class="row wrap"><select aria-label=${label} value=${chosen.value} onChange=${(/** @type {Event} */ event) => (chosen.value = /** @type {HTMLSelectElement} */ (event.target).value)}>
    <option value="">${label}</option>${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>
    <${Act} disabled=${!chosen.value} act=${async () => { await add(chosen.value); chosen.value = ""; }}>${t("agents.put_in")}<//></div>`;
}

/** Modules that are on, and of each channel how much at once (O1) and whether it is answered by itself (O2). @param {{username: string, record: Data, mayChange: boolean, changed: () => Promise<void>}} props */
function Channels({ username, record, mayChange, changed }) {
  const modules = /** @type {string[]} */ (record.modules);
  const channels = /** @type {Record<string, Data>} */ (record.channels);
  /** @param {string} name @param {boolean} on */
  const turn = async (name, on) => {
    await put(`${path(username)}/modules`, on ? [...modules, name] : modules.filter((other) => other !== name));
    await changed();
  };
  /** @param {string} name @param {Data} change */
  const set = async (name, change) => {
    await put(`${path(username)}/channels`, { ...channels, [name]: { capacity: 0, auto_answer: false, auto_answer_delay: 0, ...channels[name], ...change } });
    await changed();
  };
  const wrong = useSignal("");
  const told = (/** @type {Promise<void>} */ done) => done.then(() => (wrong.value = ""), (error) => (wrong.value = words(error)));
  const at = (/** @type {Event} */ event) => /** @type {HTMLInputElement} */ (event.target);
  return html`<div class="stack tight">${wrong.value && html`<p class="wrong" role="alert">${wrong.value}</p>`}<p class="small dim">${t("channels.hint")}</p>
    <div class="scroll" tabindex="0" role="region" aria-label=${t("tab.channels")}><table><thead><tr><th scope="col">${t("field.channel")}</th><th scope="col">${t("channels.on")}</th><th scope="col">${t("channels.capacity")}</th><th scope="col">${t("channels.auto_answer")}</th><th scope="col">${t("channels.delay")}</th></tr></thead>
    <tbody>${MODULES.map((name) => html`<tr key=${name}><th scope="row">${t(`channel.${name}`)}</th>
      <td><input type="checkbox" aria-label=${`${t(`channel.${name}`)}: ${t("channels.on")}`} disabled=${!mayChange} checked=${modules.includes(name)} onChange=${(/** @type {Event} */ event) => told(turn(name, at(event).checked))} /></td>
      ${name === "voice" ? html`<td></td><td></td><td></td>` : html`
      <td><input type="number" class="short" min="0" aria-label=${`${t(`channel.${name}`)}: ${t("channels.capacity")}`} disabled=${!mayChange} value=${channels[name]?.capacity ?? 0} onChange=${(/** @type {Event} */ event) => told(set(name, { capacity: Number(at(event).value) }))} /></td>
      <td><input type="checkbox" aria-label=${`${t(`channel.${name}`)}: ${t("channels.auto_answer")}`} disabled=${!mayChange} checked=${channels[name]?.auto_answer ?? false} onChange=${(/** @type {Event} */ event) => told(set(name, { auto_answer: at(event).checked }))} /></td>
      <td><input type="number" class="short" min="0" aria-label=${`${t(`channel.${name}`)}: ${t("channels.delay")}`} disabled=${!mayChange} value=${channels[name]?.auto_answer_delay ?? 0} onChange=${(/** @type {Event} */ event) => told(set(name, { auto_answer_delay: Number(at(event).value) }))} /></td>`}</tr>`)}</tbody></table></div></div>`;
}

/** @param {{username: string}} props */
function Password({ username }) {
  return html`<${Form} entries=${[entry("password", "password", { required: true })]} record=${{}} action=${t("agents.set_password")}
    submit=${async (/** @type {Data} */ changes) => { await put(`${path(username)}/password`, changes); say(t("agents.password_set"), "good"); }} />`;
}
