// The desk's rendering: Preact, its hooks, signals and htm in one module, since a browser resolves no bare names without
// an inline import map, which our Content-Security-Policy forbids.
import htm from "htm";
import { h } from "preact";

export { Fragment, h, render } from "preact";
export { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export { batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect } from "@preact/signals";

/**
 * An element of a template. htm would keep those without a value in them and give the same node again; Preact's nodes know
 * their parent, so that the first page of each kind would never be freed. 3 in the list that htm hands over: keep none.
 */
function element(...given) {
  this[0] = 3;
  return h(...given);
}
export const html = htm.bind(element);
