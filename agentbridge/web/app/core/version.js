/** Whether the server has a newer version of these pages than the one that is open here. @module */
import { signal } from "../vendor.js";

const ASK_EVERY_MS = 10 * 60 * 1000;
/** All assets lie below one address with their version: /assets/VERSION/app/core/version.js */
const MINE = new URL(import.meta.url).pathname.split("/")[2] ?? "";

/** True from then on. */
export const outdated = signal(false);

/** Asks now; a server that does not answer is no newer one. */
export async function askVersion() {
  try {
    const answer = await fetch("/version", { cache: "no-store", credentials: "same-origin" });
    if (answer.ok && (await answer.json()).version !== MINE) outdated.value = true;
  } catch {
    // asked again later
  }
}

setInterval(() => void askVersion(), ASK_EVERY_MS);
