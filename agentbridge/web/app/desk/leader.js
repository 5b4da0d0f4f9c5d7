/**
 * One phone over all tabs of this browser: the tab that holds the lock has it, the others show state.
 * @module
 */
import { signal } from "../vendor.js";

const LOCK = "agentbridge.phone";

/** Whether this tab may hold the phone: `waiting` for another one, `leading`, or `lost` to another one that took over. */
export class Leader {
  constructor() {
    /** @type {import("../vendor.js").Signal<"waiting" | "leading" | "lost">} */
    this.role = signal("waiting");
    void this.#wait();
  }

  /** Takes the phone over from the tab that has it, which is told. */
  take() {
    void this.#hold({ steal: true });
  }

  async #wait() {
    await this.#hold({});
  }

  /** @param {LockOptions} options */
  async #hold(options) {
    try {
      await navigator.locks.request(LOCK, options, () => {
        this.role.value = "leading";
        return new Promise(() => {}); // until this tab goes, or another one steals it
      });
    } catch {
      this.role.value = "lost"; // stolen; it waits again only when the reader asks for it
    }
  }
}
