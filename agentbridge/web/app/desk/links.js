/**
 * Numbers that come from elsewhere: a `tel:` link that the browser hands to this page, or another tab of it.
 * They are put before the agent and never called by themselves: any page can open such a link.
 * @module
 */
import { signal } from "../vendor.js";

const channel = new BroadcastChannel("agentbridge.dial");

/** A number to be confirmed; empty: none. */
export const wanted = signal("");

/** What may be dialled of a text or a `tel:` link. @param {string} text */
export function dialable(text) {
  let plain = text;
  try {
    plain = decodeURIComponent(text);
  } catch {
    // not an encoded one
  }
  return plain.replace(/^tel:/i, "").replace(/;.*$/, "").replace(/[^\d+*#]/g, "").slice(0, 33);
}

/** This tab has the phone: numbers of all tabs come here. */
export function listen() {
  channel.onmessage = (event) => {
    wanted.value = dialable(String(event.data));
  };
}

/** The tab that has the phone gets the number. @param {string} number */
export const hand = (number) => channel.postMessage(number);

/** The number in this page's address, taken out of it. @returns {string} */
export function fromAddress() {
  const parameters = new URLSearchParams(location.search);
  const number = dialable(parameters.get("dial") ?? "");
  if (parameters.has("dial")) history.replaceState(null, "", location.pathname);
  return number;
}

/** Asks the browser to open `tel:` links here. */
export const takeLinks = () => navigator.registerProtocolHandler("tel", `${location.origin}/desk?dial=%s`);
