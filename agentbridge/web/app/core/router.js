/** Pages by the path below one root, without reloading: links are ordinary links. @module */
import { signal } from "../vendor.js";

export const path = signal(location.pathname);

/** @param {string} to @param {boolean} [replace] */
export function go(to, replace = false) {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  path.value = location.pathname;
}

/**
 * Follows links below `root` inside this page. What the browser does with a modifier key or another button stays its own.
 * @param {string} root
 */
export function followLinks(root) {
  addEventListener("popstate", () => (path.value = location.pathname));
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
    if (link.pathname !== root && !link.pathname.startsWith(`${root}/`)) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
