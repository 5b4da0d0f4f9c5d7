/**
 * What goes on right now: the event stream of /v1/events as signals, one for each object.
 *
 * The server sends whole objects, so that a repeated or late one does no harm. A page that has heard nothing for longer than
 * two marks shows what it has as stale, and never as live.
 * @module
 */
import { batch, signal } from "../vendor.js";

/** @typedef {Record<string, any>} Data */
/** @typedef {"connecting" | "live" | "stale" | "over"} Connection */

const MARK_SECONDS = 15;
const SILENT_MS = 2.5 * MARK_SECONDS * 1000;
/** Objects that are taken in at one go, since each renders what shows it: a thousand of them must not stop the page. */
const SLICE_OBJECTS = 20;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
/** Close codes of the server: the session is over; it restarts. */
const SESSION_OVER = 4401;
const RESTART = 1012;

/** One kind of object, by key. `keys` changes when one comes or goes, each object's signal when it changes. */
export class Collection {
  constructor() {
    /** @type {Map<string, import("../vendor.js").Signal<Data>>} */
    this.objects = new Map();
    /** @type {import("../vendor.js").Signal<string[]>} */
    this.keys = signal([]);
  }

  /** @param {string} key @param {Data | null} data null: it is gone, or not for these eyes @returns {boolean} whether keys change */
  put(key, data) {
    const there = this.objects.get(key);
    if (data === null) return this.objects.delete(key);
    if (there) {
      there.value = data;
      return false;
    }
    this.objects.set(key, signal(data));
    return true;
  }

  publish() {
    this.keys.value = [...this.objects.keys()];
  }

  /** @param {string} key @returns {Data | undefined} */
  get(key) {
    const found = this.objects.get(key);
    if (found === undefined) void this.keys.value; // whoever asked is told when it comes
    return found?.value;
  }
}

/**
 * Follows the stream until `close()`; comes back after every loss with a random wait.
 */
export class Live {
  /**
   * @param {string[]} kinds agent, queue, call, recording, telephone, node, me
   * @param {{onNotice?: (name: string, notice: Data) => void, queues?: string[]}} [options]
   */
  constructor(kinds, options = {}) {
    this.kinds = kinds;
    this.queues = options.queues;
    this.onNotice = options.onNotice ?? (() => {});
    /** @type {Record<string, Collection>} */
    this.collections = Object.fromEntries(kinds.map((kind) => [kind, new Collection()]));
    /** @type {import("../vendor.js").Signal<Connection>} */
    this.connection = signal("connecting");
    /** Milliseconds that the server's clock is ahead of this one. */
    this.ahead = 0;
    this.cursor = "";
    this.failures = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.closed = false;
    this.heardAt = 0;
    this.snapshot = false;
    /** What was heard and is not shown yet, the newest of each object. @type {Map<string, {kind: string, key: string, data: Data | null}>} */
    this.pending = new Map();
    /** @type {Set<Collection>} */
    this.grown = new Set();
    this.slicing = false;
    this.timer = setInterval(() => this.#watch(), 1000);
    addEventListener("online", this.#hurry);
    document.addEventListener("visibilitychange", this.#hurry);
    this.#connect();
  }

  /** @param {string} kind */
  of(kind) {
    return /** @type {Collection} */ (this.collections[kind]);
  }

  /** The server's clock, in milliseconds. */
  now() {
    return Date.now() + this.ahead;
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
    clearTimeout(this.retry);
    removeEventListener("online", this.#hurry);
    document.removeEventListener("visibilitychange", this.#hurry);
    this.socket?.close();
  }

  #connect() {
    if (this.closed) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/v1/events`);
    this.socket = socket;
    this.heardAt = Date.now();
    socket.onopen = () => {
      socket.send(JSON.stringify({ op: "subscribe", kinds: this.kinds, queues: this.queues, cursor: this.cursor || undefined }));
    };
    socket.onmessage = (event) => this.#take(JSON.parse(event.data));
    socket.onclose = (event) => this.#lost(socket, event.code);
  }

  /** @param {WebSocket} socket @param {number} code */
  #lost(socket, code) {
    if (this.closed || socket !== this.socket) return;
    this.socket = null;
    if (code === SESSION_OVER) {
      this.connection.value = "over";
      return;
    }
    this.connection.value = "stale";
    this.failures += 1;
    const full = code === RESTART ? 5000 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(this.failures, 10));
    this.retry = setTimeout(() => this.#connect(), full * (0.5 + Math.random() / 2));
  }

  /** A network that is back, or a page that is looked at again, need not wait. */
  #hurry = () => {
    if (this.closed || this.connection.value === "over" || document.visibilityState === "hidden") return;
    if (this.socket === null) {
      clearTimeout(this.retry);
      this.#connect();
    } else {
      this.#watch();
    }
  };

  /** A connection that is silent for longer than the server's heartbeat is dead, whatever the socket believes. */
  #watch() {
    const socket = this.socket;
    if (socket === null || Date.now() - this.heardAt < SILENT_MS) return;
    this.#lost(socket, 0);
    socket.onclose = null;
    socket.close();
  }

  /** @param {Data} message */
  #take(message) {
    this.heardAt = Date.now();
    if (message.now) this.ahead = Date.parse(message.now) - Date.now();
    switch (message.type) {
      case "snapshot":
        this.snapshot = true;
        break;
      case "resumed":
        this.snapshot = false;
        break;
      case "put":
        this.#put(message.objects);
        break;
      case "notice":
        this.onNotice(message.name, message);
        break;
    }
    if (message.type === "mark" && this.snapshot) this.#put([]); // a snapshot of nothing
    // a snapshot counts as seen when its objects have come, not before
    if (message.cursor) this.cursor = message.type === "snapshot" ? "" : message.cursor;
    this.failures = 0;
    if (this.connection.value !== "live" && message.type !== "notice") this.connection.value = "live";
  }

  /** @param {{kind: string, key: string, data: Data | null}[]} objects */
  #put(objects) {
    if (this.snapshot) {
      // what is not in it is gone: a snapshot replaces all that this page had
      this.snapshot = false;
      this.pending.clear();
      for (const [kind, collection] of Object.entries(this.collections)) {
        for (const key of collection.objects.keys()) this.pending.set(`${kind} ${key}`, { kind, key, data: null });
      }
    }
    for (const object of objects) this.pending.set(`${object.kind} ${object.key}`, object);
    if (!this.slicing) this.#slice();
  }

  /** Takes in what is pending, a little at a time; a page that nobody sees takes all at once. */
  #slice = () => {
    let left = document.visibilityState === "hidden" ? Infinity : SLICE_OBJECTS;
    batch(() => {
      for (const [id, { kind, key, data }] of this.pending) {
        this.pending.delete(id);
        const collection = this.collections[kind];
        if (collection?.put(key, data)) this.grown.add(collection);
        if (--left === 0) break;
      }
      if (this.pending.size > 0) return;
      for (const collection of this.grown) collection.publish();
      this.grown.clear();
    });
    this.slicing = this.pending.size > 0;
    if (this.slicing) setTimeout(this.#slice, 0);
  };
}
