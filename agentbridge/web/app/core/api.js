/**
 * The HTTP API under /v1: one function for all requests, and one error for all refusals.
 * @module
 */

/**
 * What the server refused, as an RFC 9457 problem: `status` is HTTP's, or 0 when the server was not reached; `code` is AB001 …;
 * `field` and `rule` say what to mend.
 */
export class Problem extends Error {
  /** @param {number} status @param {Record<string, any>} body */
  constructor(status, body) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    /** @type {string} */
    this.code = body.code ?? "";
    /** @type {string} */
    this.field = body.field ?? "";
    /** @type {string} */
    this.rule = body.rule ?? "";
    /** @type {Record<string, any>} */
    this.body = body;
  }
}

/**
 * @typedef {object} Options
 * @property {unknown} [body] sent as JSON; a string or Blob as it is, with `type`
 * @property {string} [type] media type of a body that is not JSON
 * @property {string} [etag] the version that a change is meant for (If-Match)
 * @property {number} [wait] seconds to wait until Asterisk has the change (Prefer: wait)
 * @property {AbortSignal} [signal]
 */

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {any} data the JSON body, or null
 * @property {string} etag
 * @property {Headers} headers
 */

/** Told when the session is over, wherever a request finds that out. @type {{ended: () => void}} */
export const session = { ended: () => {} };

/**
 * Sends one request. Throws Problem for every answer that is not 2xx, and with status 0 where there was none.
 * @param {string} method @param {string} path below /v1, beginning with / @param {Options} [options]
 * @returns {Promise<Answer>}
 */
export async function request(method, path, options = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  /** @type {BodyInit | undefined} */
  let body;
  if (options.type !== undefined) {
    headers["Content-Type"] = options.type;
    body = /** @type {BodyInit} */ (options.body);
  } else if (options.body !== undefined || method !== "GET") {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(options.body ?? {});
  }
  if (options.etag) headers["If-Match"] = options.etag;
  if (options.wait) headers.Prefer = `wait=${options.wait}`;
  /** @type {Response} */
  let response;
  try {
    response = await fetch(`/v1${path}`, { method, headers, body, signal: options.signal, credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, { title: "unreachable" });
  }
  const data = await json(response);
  if (!response.ok) {
    if (response.status === 401 && path !== "/session") session.ended();
    throw new Problem(response.status, { retry_after: response.headers.get("Retry-After"), ...(data ?? { title: response.statusText }) });
  }
  return { status: response.status, data, etag: response.headers.get("ETag") ?? "", headers: response.headers };
}

/** The body's JSON, or null where it has none. @param {Response} response */
async function json(response) {
  if (!(response.headers.get("Content-Type") ?? "").includes("json")) return null;
  try {
    return await response.json();
  } catch {
    return null;
  }
}

/** @param {string} path @param {Options} [options] */
export const get = async (path, options) => (await request("GET", path, options)).data;
/** @param {string} path @param {unknown} [body] @param {Options} [options] */
export const put = async (path, body, options) => (await request("PUT", path, { ...options, body })).data;
/** @param {string} path @param {unknown} [body] @param {Options} [options] */
export const post = async (path, body, options) => (await request("POST", path, { ...options, body })).data;
/** @param {string} path @param {unknown} body @param {Options} [options] */
export const patch = (path, body, options) => request("PATCH", path, { ...options, body });
/** @param {string} path @param {Options} [options] */
export const remove = async (path, options) => (await request("DELETE", path, options)).data;
