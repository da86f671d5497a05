// How far something is.
import { make } from "./dom.js";

/** A bar under its words; without `max` nobody knows how long it takes. */
export function bar(text, value, max) {
  const shown = make("progress", { "aria-label": text });
  if (max) { shown.max = max; shown.value = Math.min(value, max); }
  return make("div", {}, make("p", { className: "faint" }, text), shown);
}
