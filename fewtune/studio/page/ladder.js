// The candidates that were tried, each with its score and interval.
import { make, scroll } from "./dom.js";
import { seconds, share } from "./format.js";
import { say } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

export function ladder(rungs) {
  const words = say();
  const head = make("tr", {}, [words.candidate, rungs.some(({ scores }) => scores.accuracy) ? words.accuracy : words.score, words.range, words.took].map((text) => make("th", { scope: "col" }, text)));
  return scroll(words.ladder, make("table", { className: "wide ladder" }, make("thead", {}, head), make("tbody", {}, rungs.map(rungRow))));
}

function rungRow(rung) {
  const score = rung.scores.accuracy ?? Object.values(rung.scores)[0];
  const told = score.low === null ? share(score.value) : say().interval(share(score.value), share(score.low), share(score.high));
  return make("tr", { className: rung.taken ? "taken" : "" },
    make("th", { scope: "row" }, say().methods[rung.method] ?? rung.method, rung.model ? make("div", { className: "faint" }, rung.model) : null, rung.taken ? ` ${say().taken}` : null),
    make("td", { className: "number" }, told), make("td", {}, interval(score)), make("td", { className: "number" }, seconds(rung.seconds)));
}

/** From 0 to 1: the interval as a line, the value as a dot. The numbers stand beside it. */
function interval(score) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "interval");
  svg.setAttribute("viewBox", "0 0 100 12");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(drawn("line", { class: "scale", x1: 0, x2: 100, y1: 11, y2: 11 }));
  if (score.low !== null) svg.append(drawn("line", { x1: 100 * score.low, x2: 100 * score.high, y1: 6, y2: 6 }));
  if (score.value !== null) svg.append(drawn("circle", { cx: 100 * score.value, cy: 6, r: 3 }));
  return svg;
}

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
