// What was taken for what. A wrong cell shows its examples.
import { get, query } from "./api.js";
import { button, make, scroll } from "./dom.js";
import { mistakes } from "./mistakes.js";
import { trying } from "./notice.js";
import { here } from "./project.js";
import { say } from "./words.js";

export function confusion({ labels, scores }) {
  const counts = scores.confusion;
  const most = Math.max(1, ...counts.flatMap((row, i) => row.filter((_, j) => i !== j)));
  const shown = make("div", { id: "cell", "aria-live": "polite" });
  const head = make("tr", {}, make("td", {}, say().truthBelow), labels.map((label) => make("th", { scope: "col" }, label)));
  const rows = counts.map((row, i) => make("tr", {}, make("th", { scope: "row" }, labels[i]),
    row.map((value, j) => cell(value, i === j, Math.ceil((3 * value) / most), () => show(shown, labels[i], labels[j]), labels[i], labels[j]))));
  return make("div", {}, scroll(say().confusion, make("table", { className: "confusion" }, make("thead", {}, head), make("tbody", {}, rows))), shown);
}

function cell(value, isRight, shade, onclick, truth, predicted) {
  if (isRight) return make("td", { className: value ? "right" : "" }, String(value));
  if (!value) return make("td", { className: "faint" }, "0");
  return make("td", { className: `s${shade}` }, button(String(value), onclick, { "aria-label": say().cell(value, truth, predicted) }));
}

async function show(host, truth, predicted) {
  const found = await trying(() => get(here(`/errors${query({ truth, predicted })}`)));
  if (found) host.replaceChildren(make("h3", {}, say().takenFor(truth, predicted)), mistakes(found.errors));
}
