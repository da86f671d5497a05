// Examples that the model got wrong, or whose label looks wrong: one click from being relabelled.
import { make } from "./dom.js";
import { line, proposal } from "./example.js";
import { percent } from "./format.js";
import { inBoth, say } from "./words.js";

export function mistakes(errors) {
  if (!errors.length) return make("p", {}, say().noMistakes);
  return list(errors, (error) => ({ text: say().mistake(error.label, error.prediction, percent(error.confidence)), label: error.prediction }));
}

export const suspects = (some) => list(some, (suspect) => ({ text: inBoth(suspect.why), label: suspect.suggested }));

function list(items, told) {
  return make("ul", { className: "plain" }, items.filter(({ row }) => !row.deleted).map((item) => {
    const { text, label } = told(item);
    let host = null;
    const canBe = item.row.label !== label;
    host = line(item.row, make("span", {}, `${text} `, canBe ? proposal(item.row, label, () => host) : null));
    return host;
  }));
}
