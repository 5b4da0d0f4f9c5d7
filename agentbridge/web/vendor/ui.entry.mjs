// The desk's rendering: Preact, its hooks, signals and htm in one module, since a browser resolves no bare names without
// an inline import map, which our Content-Security-Policy forbids.
import htm from "htm";
import { h } from "preact";

export { Fragment, h, render } from "preact";
export { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export { batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect } from "@preact/signals";
export const html = htm.bind(h);
