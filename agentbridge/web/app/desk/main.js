/** The agent's desk: state, pause, queues and the login on a telephone. @module */
import { get, put, remove, session } from "../core/api.js";
import { clock, loadLanguage, t } from "../core/i18n.js";
import { Live } from "../core/live.js";
import { Languages } from "../ui/languages.js";
import { Act, Connection, Dialog, Messages, Notice, say, Since, State, words } from "../ui/parts.js";
import { html, render, signal, useEffect, useSignal } from "../vendor.js";
import { choose, chosen, devices, level, microphone, onReplaced, trouble, unlock } from "./audio.js";
import { Calls } from "./bar.js";
import { Leader } from "./leader.js";
import { Phone } from "./phone.js";

/** @typedef {Record<string, any>} Data */

/** Seconds for which a verb waits until Asterisk has it. */
const WAIT = { wait: 5 };
/** My profile. @type {import("../vendor.js").Signal<Data | null>} */
const me = signal(null);
/** Reasons to choose from. @type {import("../vendor.js").Signal<string[]>} */
const reasons = signal([]);

const speaker = new Audio();
const phone = new Phone({ microphone, onCall: () => {}, output: () => speaker });
const leader = new Leader();
onReplaced(() => {
  void microphone().then((stream) => {
    const track = stream.getAudioTracks()[0];
    if (track) for (const call of phone.calls.value) void call.replace(track);
  });
});

session.ended = () => location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);

/** @param {{live: Live}} props */
function Desk({ live }) {
  const profile = me.value;
  if (!profile) return null;
  const now = live.of("me").get(profile.username) ?? profile.status;
  const loggedIn = Boolean(now.logged_in);
  const browser = profile.typology === "webrtc";
  return html`<a class="skip button" href="#work">${t("skip")}</a>
  <header class="top">
    <span class="brand">agentbridge</span>
    <span class="dim small">${profile.alias || profile.full_name || profile.username} · <span class="num">${profile.internal}</span></span>
    <span class="grow"></span>
    <${Connection} live=${live} />
    ${browser && html`<${State} state=${phone.registration.value === "registered" ? "ready" : phone.registration.value === "off" ? "offline" : "unreachable"} word=${t(`phone.${phone.registration.value}`)} />`}
    <${Languages} />
    ${loggedIn && html`<${Act} act=${endShift}>${t("desk.end")}<//>`}
    <${Act} class="quiet" act=${leave}>${t("desk.sign_out")}<//>
  </header>
  <main id="work" class=${live.connection.value === "live" ? "desk" : "desk stale"}>
    <div class="stack">
      ${live.connection.value === "stale" && html`<${Notice} kind="alarm" role="alert">${t("live.stale_long")}<//>`}
      ${browser && html`<${PhoneState} loggedIn=${loggedIn} />`}
      ${loggedIn && browser && html`<${Calls} phone=${phone} live=${live} mayDial=${leader.role.value === "leading"} />`}
      ${loggedIn ? html`<${Work} profile=${profile} now=${now} live=${live} />` : html`<${Start} profile=${profile} />`}
    </div>
    <div class="stack"><${Queues} profile=${profile} now=${now} live=${live} />${browser && loggedIn && html`<${Devices} />`}</div>
  </main>
  <${Messages} />`;
}

/** The shift ends when no call is up: one that runs is kept. */
async function endShift() {
  if (phone.calls.value.length > 0) throw new Error(t("desk.in_call"));
  await remove("/me/session", WAIT);
  phone.stop();
}

/** One button: sound, microphone, the phone registered and seen by Asterisk, and only then the login. */
async function startBrowserShift() {
  await unlock();
  await microphone();
  await phone.start();
  await put("/me/session", {}, WAIT);
}

/** What is wrong with phone or microphone, and what is done about it. @param {{loggedIn: boolean}} props */
function PhoneState({ loggedIn }) {
  const state = phone.registration.value;
  useEffect(() => {
    // after a reload the shift goes on: the phone comes back without a button where the browser lets it
    if (loggedIn && leader.role.value === "leading" && phone.registration.peek() === "off") {
      void unlock().then(microphone).then(() => phone.start()).catch(() => {});
    }
    if (leader.role.value === "lost") phone.displaced();
  }, [loggedIn, leader.role.value]);
  return html`
    ${trouble.value && html`<${Notice} kind="alarm" role="alert">${t(`mic.${trouble.value}`)}<//>`}
    ${leader.role.value !== "leading" && html`<${Notice} role="status">${t(leader.role.value === "lost" ? "phone.displaced_long" : "phone.other_tab")}
      <button type="button" onClick=${() => leader.take()}>${t("phone.use_here")}</button><//>`}
    ${loggedIn && state === "displaced" && leader.role.value === "leading" && html`<${Notice} kind="alarm" role="alert">${t("phone.displaced_long")} <${Act} act=${() => phone.start()}>${t("phone.use_here")}<//><//>`}
    ${state === "unreachable" && html`<${Notice} kind="alarm" role="alert">${t("phone.unreachable_long")}<//>`}
    ${state === "refused" && html`<${Notice} kind="alarm" role="alert">${t("phone.refused_long", { reason: phone.reason.value })}<//>`}`;
}

/** Which devices speak, hear and ring, with the microphone's level. */
function Devices() {
  const kinds = /** @type {const} */ ([["microphone", "audioinput"], ["speaker", "audiooutput"], ["ringer", "audiooutput"]]);
  return html`<section class="panel pad stack tight"><h2>${t("devices.microphone")}</h2>
    <meter aria-label=${t("devices.level")} min="0" max="1" value=${level.value}></meter>
    ${kinds.map(([which, kind]) => html`<label class="field" key=${which}>${t(`devices.${which}`)}
      <select value=${chosen.value[which]} onChange=${(/** @type {Event} */ event) => void choose(which, /** @type {HTMLSelectElement} */ (event.target).value)}>
        <option value="">${t("devices.own")}</option>
        ${devices.value.filter((device) => device.kind === kind && device.deviceId !== "default").map((device) => html`<option key=${device.deviceId} value=${device.deviceId}>${device.label}</option>`)}</select></label>`)}</section>`;
}

async function leave() {
  await remove("/session");
  location.assign("/login");
}

/** Before the shift: one button, or at a hot desk the telephones to choose from. @param {{profile: Data}} props */
function Start({ profile }) {
  const telephones = useSignal(/** @type {Data[] | null} */ (null));
  const wrong = useSignal("");
  const load = async () => {
    try {
      telephones.value = await get("/me/telephones");
      wrong.value = "";
    } catch (error) {
      wrong.value = words(error);
    }
  };
  useEffect(() => {
    if (profile.hot_desk) load();
  }, [profile.hot_desk]);
  if (profile.typology === "phonebar") {
    return html`<section class="panel pad stack"><div class="row"><${State} state="offline" large /></div><p>${t("desk.phonebar")}</p></section>`;
  }
  if (!profile.hot_desk) {
    return html`<section class="panel pad stack"><div class="row"><${State} state="offline" large /></div>
      <p class="dim">${t("desk.start_hint")}</p>
      <${Act} class="main big" disabled=${profile.typology === "webrtc" && leader.role.value !== "leading"} act=${profile.typology === "webrtc" ? startBrowserShift : () => put("/me/session", {}, WAIT)}>${t("desk.start")}<//></section>`;
  }
  return html`<section class="panel"><header><h1>${t("desk.choose")}</h1><span class="grow"></span><${Act} act=${load}>${t("desk.look_again")}<//></header>
    ${wrong.value && html`<p class="pad wrong" role="alert">${wrong.value}</p>`}
    ${telephones.value?.length === 0 && html`<p class="empty">${t("desk.no_telephones")}</p>`}
    <div class="lines">${telephones.value?.map(
      (telephone) => html`<div key=${telephone.name}><b>${telephone.name}</b><span class="dim">${telephone.description}</span><span class="grow"></span>
        ${telephone.available
          ? html`<${Act} class="main" label=${`${t("desk.take")} ${telephone.name}`} act=${() => put("/me/session", { telephone: telephone.name }, WAIT)}>${t("desk.take")}<//>`
          : html`<span class="faint">${t(telephone.mine ? "desk.mine" : `telephone.${telephone.reason}`)}</span>`}</div>`,
    )}</div></section>`;
}

/** @param {{profile: Data, now: Data, live: Live}} props */
function Work({ profile, now, live }) {
  const reason = useSignal("");
  const confirming = useSignal(false);
  const paused = Boolean(now.paused);
  const mayAct = profile.typology !== "phonebar";
  const state = now.state ?? (paused ? "paused" : "ready");
  const pause = async () => {
    const answer = await put("/me/pause", { reason: reason.value }, WAIT);
    if (answer?.pending) say(t("desk.pending"), "alarm");
  };
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const keys = (event) => {
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.toLowerCase() !== "p" || !mayAct) return;
      document.querySelector(/** @type {const} */ ("[data-pause]"))?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [mayAct]);
  return html`<section class="panel pad stack">
    <div class="row wrap">
      <${State} state=${state} word=${state === "paused" ? now.pause_reason || "" : ""} large />
      <span class="dim"><${Since} since=${now.since} now=${() => live.now()} /></span>
      ${now.telephone && html`<span class="dim">${t("desk.at", { telephone: now.telephone })}</span>`}
      <span class="grow"></span>
      ${mayAct && (paused
        ? html`<${Act} class="main big" data-pause act=${() => remove("/me/pause", WAIT)}>${t("desk.resume")} <kbd>P</kbd><//>`
        : html`<select aria-label=${t("desk.reason")} onChange=${(/** @type {Event} */ event) => (reason.value = /** @type {HTMLSelectElement} */ (event.target).value)}>
            <option value="">${t("desk.no_reason")}</option>
            ${reasons.value.map((text) => html`<option key=${text}>${text}</option>`)}
          </select>
          <${Act} class="big" data-pause act=${pause}>${t("desk.pause")} <kbd>P</kbd><//>`)}
    </div>
    ${!mayAct && html`<p class="dim">${t("desk.phonebar")}</p>`}
    ${state === "unreachable" && html`<${Notice} kind="alarm" role="alert">${t("desk.unreachable")}<//>`}
    ${now.error && html`<${Notice} kind="alarm" role="alert">${now.error}<//>`}
    ${confirming.value && html`<${Dialog} title=${t("desk.end")} onClose=${() => (confirming.value = false)} />`}
    ${now.since && html`<p class="small faint">${t("desk.since", { at: clock(now.since) })}</p>`}
  </section>`;
}

/** What each queue says of me. @param {{profile: Data, now: Data, live: Live}} props */
function Queues({ profile, now, live }) {
  /** @type {string[]} */
  const names = now.queues ?? profile.queues.map((/** @type {Data} */ queue) => queue.name);
  const mayAct = profile.typology !== "phonebar" && Boolean(now.logged_in);
  return html`<section class="panel"><header><h2>${t("desk.queues")}</h2></header>
    ${names.length === 0 && html`<p class="empty">${t("desk.no_queues")}</p>`}
    <div class="lines">${names.map((name) => {
      const queue = live.of("queue").get(name) ?? {};
      const pausedHere = now.paused || now.paused_queues?.includes(name);
      const here = now.paused ? now.pause_reason : "";
      return html`<div key=${name}><b>${name}</b>
        <${State} state=${!now.logged_in ? "offline" : pausedHere ? "paused" : "ready"} word=${pausedHere ? here || t("state.paused") : !now.logged_in ? "" : t("desk.taking")} />
        <span class="grow"></span>
        <span class="num dim">${queue.waiting === undefined ? "" : t("desk.waiting", { count: queue.waiting })}</span>
        ${mayAct && !now.paused && (pausedHere
          ? html`<${Act} label=${`${t("desk.resume")} ${name}`} act=${() => remove(`/me/pause?queue=${encodeURIComponent(name)}`, WAIT)}>${t("desk.resume")}<//>`
          : html`<${Act} class="quiet" label=${`${t("desk.pause")} ${name}`} act=${() => put("/me/pause", { queue: name }, WAIT)}>${t("desk.pause")}<//>`)}
      </div>`;
    })}</div></section>`;
}

addEventListener("beforeunload", (event) => {
  if (phone.calls.value.length > 0) event.preventDefault(); // the browser asks whether to leave a call
});

await loadLanguage();
me.value = await get("/me");
get("/pause-reasons").then((answer) => (reasons.value = answer.items.map((/** @type {Data} */ item) => item.name ?? item)), () => {});
const live = new Live(["me", "agent", "queue", "call", "recording"], {
  onNotice: (name, notice) => {
    if (name === "phone.displaced") phone.displaced();
    if (name === "session.taken_over") say(t("notice.taken_over", { by: notice.by ?? "" }), "alarm");
  },
});
render(html`<${Desk} live=${live} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
