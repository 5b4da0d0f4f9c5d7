/** What the desk takes from others, in one place. @module */
export * from "../vendor/ui.js";
