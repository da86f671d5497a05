// Examples that the model got wrong, or whose label looks wrong: one click from being relabelled.
import { make } from "./dom.js";
import { shownWithShapes } from "./boxes.js";
import { drawing, line, proposal } from "./example.js";
import { shownWithMask } from "./masks.js";
import { percent } from "./format.js";
import { inBoth, say } from "./words.js";

export function mistakes(errors) {
  if (!errors.length) return make("p", {}, say().noMistakes);
  return list(errors, (error) => ({ text: say().mistake(error.label, error.prediction, percent(error.confidence)), label: error.prediction }));
}

/** Pictures with what the model found in them, not having seen them; one click from being drawn on again. */
export function drawnMistakes(errors) {
  if (!errors.length) return make("p", {}, say().noMistakes);
  return make("ul", { className: "plain" }, errors.filter(({ row }) => !row.deleted).map(({ row, shapes, missed, extra, mask, wrong }) => make("li", { className: "row" },
    mask ? shownWithMask(row, 320, mask) : shownWithShapes(row, 320, shapes), drawing(row),
    make("p", {}, mask ? say().wrongPixels(percent(wrong)) : say().missedAndExtra(missed, extra)))));
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
