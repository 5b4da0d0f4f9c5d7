/** The agent's desk: state, pause, queues and the login on a telephone. @module */
import { get, put, remove, session } from "../core/api.js";
import { clock, loadLanguage, t } from "../core/i18n.js";
import { Live } from "../core/live.js";
import { askVersion, outdated } from "../core/version.js";
import { Languages } from "../ui/languages.js";
import { Act, Connection, Messages, Notice, Outdated, say, Since, State, useFocusBack, words } from "../ui/parts.js";
import { effect, html, render, signal, useEffect, useRef, useSignal } from "../vendor.js";
import { choose, chosen, closeMicrophone, devices, level, microphone, onReplaced, trouble, unlock } from "./audio.js";
import { Calls, typing } from "./bar.js";
import { History } from "./history.js";
import { Leader } from "./leader.js";
import { dialable, fromAddress, hand, listen, wanted } from "./links.js";
import { log, switchLog } from "./log.js";
import { PAGE, Phone } from "./phone.js";

/** @typedef {Record<string, any>} Data */

/** Seconds for which a verb waits until Asterisk has it. */
const WAIT = { wait: 5 };
/** My profile. @type {import("../vendor.js").Signal<Data | null>} */
const me = signal(null);
/** Reasons to choose from. @type {import("../vendor.js").Signal<string[]>} */
const reasons = signal([]);
/** The one that is chosen for the next pause, of all queues or of one. */
const reason = signal("");

const phone = new Phone({ microphone, onCall: () => {} });
const leader = new Leader();
onReplaced(() => {
  void microphone().then((stream) => {
    for (const call of phone.calls.value) void call.replace(stream);
  });
});
effect(() => {
  if (phone.registration.value === "displaced") closeMicrophone(); // who has the phone now has its own
});
/** The shift ends when the last call does. */
const endsAfter = signal(false);
effect(() => {
  if (!endsAfter.value || phone.calls.value.length > 0) return;
  endsAfter.value = false;
  void finishShift().catch((error) => say(words(error), "alarm"));
});

/** Who I am, with what my client is set to. @returns {Promise<Data>} */
const fetchMe = async () => {
  const [mine, set] = await Promise.all([get("/me"), get("/me/profile")]);
  return { ...set, ...mine };
};

session.ended = () => location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);

/** @param {{live: Live}} props */
function Desk({ live }) {
  const profile = me.value;
  const told = profile && live.of("me").get(profile.username);
  const now = told ?? profile?.status;
  const loggedIn = Boolean(now?.logged_in);
  useFocusBack("[data-now]", loggedIn);
  useFocusBack("[data-pause]", Boolean(now?.paused));
  if (!profile) return null;
  const browser = profile.typology === "webrtc";
  return html`<a class="skip button" href="#work">${t("skip")}</a>
  <header class="top">
    <span class="brand">agentbridge</span>
    <span class="dim small">${profile.alias || profile.full_name || profile.username} · <span class="num">${profile.internal}</span></span>
    <span class="grow"></span>
    <${Connection} live=${live} />
    ${browser && html`<${State} state=${phone.registration.value === "registered" ? "ready" : phone.registration.value === "off" ? "offline" : "unreachable"} word=${t(`phone.${phone.registration.value}`)} />`}
    <${Languages} />
    ${loggedIn && profile.typology !== "phonebar" && (endsAfter.value
      ? html`<span class="dim small" role="status">${t("desk.ends_after")}</span><button type="button" onClick=${() => (endsAfter.value = false)}>${t("desk.stay")}</button>`
      : html`<${Act} act=${endShift}>${t("desk.end")}<//>`)}
    <${Act} class="quiet" act=${() => leave(browser && loggedIn && !now.calls)}>${t("desk.sign_out")}<//>
  </header>
  <main id="work" class=${live.connection.value === "live" ? "desk" : "desk stale"}>
    <h1 class="hidden-text">${t("desk.title")}</h1>
    <div class="stack">
      ${live.connection.value === "stale" && html`<${Notice} kind="alarm" role="alert">${t("live.stale_long")}<//>`}
      ${outdated.value && html`<${Outdated} inCall=${phone.calls.value.length > 0} />`}
      ${browser && html`<${PhoneState} loggedIn=${loggedIn} loggedOut=${told?.logged_in === false} inCall=${(now.calls ?? 0) > 0} />`}
      ${loggedIn && browser && html`<${Calls} phone=${phone} live=${live} profile=${profile} mayDial=${leader.role.value === "leading" && profile.may_call !== false} />`}
      ${loggedIn ? html`<${Work} profile=${profile} now=${now} live=${live} />` : html`<${Start} profile=${profile} live=${live} />`}
    </div>
    <div class="stack"><${Queues} profile=${profile} now=${now} live=${live} />
      <${History} live=${live} dial=${browser && loggedIn && phone.registration.value === "registered" && profile.may_call !== false ? (/** @type {string} */ number) => phone.dial(number) : null} />
      ${profile.forward_allowed && html`<${Forward} profile=${profile} />`}
      ${browser && loggedIn && html`<${Devices} />`}</div>
  </main>
  <${Messages} />`;
}

/** The shift ends now, or with the call that is up. */
async function endShift() {
  if (phone.calls.value.length > 0) endsAfter.value = true;
  else await finishShift();
}

async function finishShift() {
  await remove("/me/session", WAIT);
  quit();
}

/** Ends what a shift needs: the phone and the microphone. */
function quit() {
  phone.stop();
  closeMicrophone();
}

/** How long Asterisk's new contact may take to be seen by the daemon. */
const SEEN_WITHIN_MS = 10_000;

/**
 * One button: sound, microphone, the phone registered and its contact seen by the server; only then the login.
 * @param {Live} live
 */
async function startBrowserShift(live) {
  unlock();
  try {
    await microphone();
  } catch {
    throw new Error(t(`mic.${trouble.value || "busy"}`));
  }
  try {
    await phone.start();
    await seen(live);
    await put("/me/session", {}, WAIT);
  } catch (error) {
    quit();
    throw error;
  }
}

/** Until the server has seen this phone's contact. @param {Live} live @returns {Promise<void>} */
function seen(live) {
  const username = me.value?.username;
  return new Promise((resolve, reject) => {
    // before the effect, which runs at once: the server may have seen the contact already
    const end = (/** @type {() => void} */ then) => {
      clearTimeout(timer);
      queueMicrotask(() => stop());
      then();
    };
    const timer = setTimeout(() => end(() => reject(new Error(t("phone.not_seen")))), SEEN_WITHIN_MS);
    const stop = effect(() => {
      if (live.of("me").get(username)?.contact) end(resolve);
    });
  });
}

/** This tab has the phone again, or after a reload: without a button where the browser lets it. */
async function resumePhone() {
  unlock();
  await microphone().catch(() => {});
  try {
    await phone.start();
  } catch (error) {
    return log("warning", "phone.not_started", { error: String(error) });
  }
  // a call that the server still has is one of a page that died: its caller hears nobody
  const running = (await get("/me/calls").catch(() => ({ items: [] }))).items.some((/** @type {Data} */ call) => call.answered_at);
  if (running && phone.calls.value.length === 0) {
    log("warning", "call.orphaned");
    await put("/me/hangup", {}).catch(() => {});
  }
}

/**
 * What is wrong with phone or microphone, and what is done about it. A call that another tab has is not taken away from it.
 * @param {{loggedIn: boolean, loggedOut: boolean, inCall: boolean}} props `loggedOut`: the server says so
 */
function PhoneState({ loggedIn, loggedOut, inCall }) {
  const state = phone.registration.value;
  const role = leader.role.value;
  useEffect(() => {
    if (loggedIn && role === "leading" && phone.registration.peek() === "off") void resumePhone();
    if (role === "leading") listen();
    if (role === "lost") phone.displaced();
  }, [loggedIn, role]);
  const worked = useRef(loggedIn);
  const calls = phone.calls.value.length;
  useEffect(() => {
    if (loggedIn) worked.current = true;
    if (!worked.current || !loggedOut || calls > 0) return;
    // by somebody else: the phone ends with the shift, or with the last call
    worked.current = false;
    quit();
  }, [loggedIn, loggedOut, calls]);
  const take = async () => {
    leader.take();
    unlock();
    await microphone().catch(() => {});
    if (loggedIn) await phone.start();
  };
  return html`
    ${trouble.value && loggedIn && html`<${Notice} kind="alarm" role="alert">${t(`mic.${trouble.value}`)}<//>`}
    ${role !== "leading" && html`<${Notice} role="status">${t(role === "lost" ? "phone.displaced_tab" : "phone.other_tab")}
      <${Act} act=${take} disabled=${inCall} why=${t("phone.in_call")}>${t("phone.use_here")}<//><//>`}
    ${loggedIn && state === "displaced" && role === "leading" && html`<${Notice} kind="alarm" role="alert">${t("phone.displaced_long")} <${Act} act=${take}>${t("phone.use_here")}<//><//>`}
    ${loggedIn && state === "off" && role === "leading" && html`<${Notice} kind="alarm" role="alert">${t("phone.off_long")} <${Act} act=${take}>${t("phone.connect")}<//><//>`}
    ${state === "unreachable" && html`<${Notice} kind="alarm" role="alert">${t("phone.unreachable_long")}<//>`}
    ${state === "refused" && html`<${Notice} kind="alarm" role="alert">${t("phone.refused_long", { reason: phone.reason.value })}<//>`}`;
}

/** Which devices speak, hear and ring, with the microphone's level. */
function Devices() {
  const kinds = /** @type {const} */ ([["microphone", "audioinput"], ["speaker", "audiooutput"], ["ringer", "audiooutput"]]);
  return html`<section class="panel pad stack tight"><h2>${t("devices.title")}</h2>
    <meter aria-label=${t("devices.level")} min="0" max="1" value=${level.value}></meter>
    ${kinds.map(([which, kind]) => html`<label class="field" key=${which}>${t(`devices.${which}`)}
      <select value=${chosen.value[which]} onChange=${(/** @type {Event} */ event) => void choose(which, /** @type {HTMLSelectElement} */ (event.target).value)}>
        <option value="">${t("devices.own")}</option>
        ${devices.value.filter((device) => device.kind === kind && device.deviceId !== "default").map((device) => html`<option key=${device.deviceId} value=${device.deviceId}>${device.label}</option>`)}</select></label>`)}</section>`;
}

/** P6, W7: whether direct calls ring in a pause. It answers at once, and goes back where the server refuses. @param {{profile: Data}} props */
function DoNotDisturb({ profile }) {
  const wrong = useSignal("");
  /** @param {Event} event */
  const turn = async (event) => {
    const on = /** @type {HTMLInputElement} */ (event.target).checked;
    const before = me.value;
    me.value = { ...profile, dnd_in_pause: on };
    try {
      await put("/me/do-not-disturb", { on });
      wrong.value = "";
    } catch (error) {
      wrong.value = words(error);
      me.value = before;
    }
  };
  return html`<div><label class="switch"><input type="checkbox" role="switch" checked=${profile.dnd_in_pause} disabled=${!profile.may_change_settings} onChange=${turn} />
      <span>${t("dnd.title")} <span class="small dim">${t(profile.may_change_settings ? "dnd.hint" : "dnd.fixed")}</span></span></label>
    ${wrong.value && html`<p class="wrong" role="alert">${wrong.value}</p>`}</div>`;
}

/** P13: where direct calls go; empty: to me. @param {{profile: Data}} props */
function Forward({ profile }) {
  const number = useSignal(profile.forward_to);
  const set = async () => {
    await put("/me/forward", { number: dialable(number.value) });
    me.value = await fetchMe();
  };
  return html`<section class="panel pad"><label class="field">${t("forward.to")}
    <span class="row"><input inputmode="tel" class="grow" value=${number.value} onInput=${(/** @type {Event} */ event) => (number.value = /** @type {HTMLInputElement} */ (event.target).value)} />
    <${Act} act=${set} disabled=${dialable(number.value) === profile.forward_to}>${t("save")}<//></span></label></section>`;
}

/** @param {boolean} idle at work with the phone of a page: without one nobody can be rung, so the shift ends too */
async function leave(idle) {
  if (idle) await finishShift();
  await remove("/session");
  location.assign("/login");
}

/** Before the shift: one button, or at a hot desk the telephones to choose from. @param {{profile: Data, live: Live}} props */
function Start({ profile, live }) {
  const telephones = useSignal(/** @type {Data[] | null} */ (null));
  const wrong = useSignal("");
  const load = async () => {
    try {
      telephones.value = (await get("/me/telephones")).items;
      wrong.value = "";
    } catch (error) {
      wrong.value = words(error);
    }
  };
  useEffect(() => {
    if (profile.hot_desk) load();
  }, [profile.hot_desk]);
  if (profile.typology === "phonebar") {
    return html`<section class="panel pad stack"><div class="row" data-now tabindex="-1"><${State} state="offline" large /></div><p>${t("desk.phonebar")}</p></section>`;
  }
  if (!profile.hot_desk) {
    return html`<section class="panel pad stack"><div class="row" data-now tabindex="-1"><${State} state="offline" large /></div>
      <p class="dim">${t("desk.start_hint")}</p>
      <${Act} class="main big" disabled=${profile.typology === "webrtc" && leader.role.value !== "leading"} act=${profile.typology === "webrtc" ? () => startBrowserShift(live) : () => put("/me/session", {}, WAIT)}>${t("desk.start")}<//></section>`;
  }
  return html`<section class="panel"><header><h2 data-now tabindex="-1">${t("desk.choose")}</h2><span class="grow"></span><${Act} act=${load}>${t("desk.look_again")}<//></header>
    ${wrong.value && html`<p class="pad wrong" role="alert">${wrong.value}</p>`}
    ${telephones.value?.length === 0 && html`<p class="empty">${t("desk.no_telephones")}</p>`}
    <div class="lines">${telephones.value?.map(
      (telephone) => html`<div key=${telephone.name}><b>${telephone.name}</b><span class="dim">${telephone.description}</span><span class="grow"></span>
        ${telephone.available
          ? html`<${Act} class="main" label=${`${t("desk.take")} ${telephone.name}`} act=${() => put("/me/session", { telephone: telephone.name }, WAIT)}>${t("desk.sit_down")}<//>`
          : html`<span class="faint">${t(telephone.mine ? "desk.mine" : `telephone.${telephone.reason}`)}</span>`}</div>`,
    )}</div></section>`;
}

/** @param {{profile: Data, now: Data, live: Live}} props */
function Work({ profile, now, live }) {
  const paused = Boolean(now.paused);
  const mayAct = profile.typology !== "phonebar";
  const state = now.state ?? (paused ? "paused" : "ready");
  const pause = async () => {
    const answer = await put("/me/pause", { reason: reason.value }, WAIT);
    reason.value = ""; // the next pause is another one
    if (answer?.pending) say(t("desk.pending"), "alarm");
  };
  useEffect(() => {
    /** @param {KeyboardEvent} event */
    const keys = (event) => {
      if (typing(event) || event.key.toLowerCase() !== "p" || !mayAct) return;
      document.querySelector(/** @type {const} */ ("[data-pause]"))?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, [mayAct]);
  return html`<section class="panel pad stack">
    <div class="row wrap">
      <span class="row wrap" data-now tabindex="-1"><${State} state=${state} word=${state === "paused" ? now.pause_reason || "" : ""} large />
        <span class="dim"><${Since} since=${now.since} now=${() => live.now()} /></span>
        ${now.telephone && html`<span class="dim">${t("desk.at", { telephone: now.telephone })}</span>`}</span>
      <span class="grow"></span>
      ${mayAct && (paused
        ? html`<${Act} class="main big" data-pause act=${() => remove("/me/pause", WAIT)}>${t("desk.resume")} <kbd>P</kbd><//>`
        : html`<select aria-label=${t("desk.reason")} value=${reason.value} onChange=${(/** @type {Event} */ event) => (reason.value = /** @type {HTMLSelectElement} */ (event.target).value)}>
            <option value="">${t("desk.no_reason")}</option>
            ${reasons.value.map((text) => html`<option key=${text}>${text}</option>`)}
          </select>
          <${Act} class="big" data-pause act=${pause}>${t("desk.pause")} <kbd>P</kbd><//>`)}
    </div>
    ${!mayAct && html`<p class="dim">${t("desk.phonebar")}</p>`}
    ${profile.may_see_settings && html`<${DoNotDisturb} profile=${profile} />`}
    ${state === "unreachable" && html`<${Notice} kind="alarm" role="alert">${t("desk.unreachable")}<//>`}
    ${now.error && html`<${Notice} kind="alarm" role="alert">${now.error}<//>`}
    ${now.since && html`<p class="small faint">${t("desk.since", { at: clock(now.since) })}</p>`}
  </section>`;
}

/** What each queue says of me. @param {{profile: Data, now: Data, live: Live}} props */
function Queues({ profile, now, live }) {
  /** @type {string[]} */
  const names = now.queues ?? profile.queues.map((/** @type {Data} */ queue) => queue.name);
  /** @type {Record<string, string>} reasons by queue */
  const pauses = now.queue_pauses ?? {};
  const mayAct = profile.typology !== "phonebar" && Boolean(now.logged_in);
  const away = now.state === "unreachable";
  return html`<section class="panel"><header><h2>${t("desk.queues")}</h2></header>
    ${names.length === 0 && html`<p class="empty">${t("desk.no_queues")}</p>`}
    <div class="lines">${names.map((name) => {
      const queue = live.of("queue").get(name) ?? {};
      const pausedHere = now.paused || name in pauses;
      const here = now.paused ? now.pause_reason : pauses[name];
      return html`<div key=${name}><b>${name}</b>
        <${State} state=${!now.logged_in ? "offline" : pausedHere ? "paused" : away ? "unreachable" : "ready"} word=${pausedHere ? here || t("state.paused") : now.logged_in && !away ? t("desk.taking") : ""} />
        <span class="grow"></span>
        <span class="num dim">${queue.waiting === undefined ? "" : t("desk.waiting", { count: queue.waiting })}</span>
        ${mayAct && !now.paused && (pausedHere
          ? html`<${Act} label=${`${t("desk.resume")} ${name}`} act=${() => remove(`/me/pause?queue=${encodeURIComponent(name)}`, WAIT)}>${t("desk.resume")}<//>`
          : html`<${Act} class="quiet" label=${`${t("desk.pause")} ${name}`} act=${() => put("/me/pause", { queue: name, reason: reason.value }, WAIT)}>${t("desk.pause")}<//>`)}
      </div>`;
    })}</div></section>`;
}

addEventListener("beforeunload", (event) => {
  if (phone.calls.value.length > 0) event.preventDefault(); // the browser asks whether to leave a call
});
// who leaves all the same ends the call: without this word the caller would be in silence until Asterisk notices
addEventListener("pagehide", () => phone.stop());

await loadLanguage();
const linked = fromAddress();
me.value = await fetchMe();
switchLog(me.value?.client_log, me.value?.client_log_level);
get("/pause-reasons").then((answer) => (reasons.value = answer.items.map((/** @type {Data} */ item) => item.name ?? item)), () => {});
const live = new Live(["me", "agent", "queue", "call", "recording"], {
  onNotice: (name, notice) => {
    if (name === "phone.displaced" && notice.page !== PAGE) phone.displaced();
    if (name === "session.taken_over") say(t("notice.taken_over", { by: notice.by ?? "" }), "alarm");
    if (name === "client_log.switched") {
      switchLog(notice.on, notice.level);
      say(t(notice.on ? "notice.log_on" : "notice.log_off", { level: notice.level ?? "" }));
    }
  },
});
effect(() => {
  // a server that restarted may be of another version, and what the directory says of me another
  if (live.connection.value !== "live") return;
  void askVersion();
  fetchMe().then((profile) => (me.value = profile), () => {});
});
if (linked) {
  // this tab dials when it has the phone, else the one that has
  if (leader.role.value === "leading") wanted.value = linked;
  else setTimeout(() => (leader.role.value === "leading" ? (wanted.value = linked) : hand(linked)), 500);
}
// a tel: link in this page itself
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[href^='tel:']") : null;
  if (!(link instanceof HTMLAnchorElement)) return;
  event.preventDefault();
  wanted.value = dialable(link.href);
});
render(html`<${Desk} live=${live} />`, /** @type {HTMLElement} */ (document.getElementById("page")));
