// Something new, and what the model says of it.
import { post, query, upload } from "./api.js";
import { field, make, section } from "./dom.js";
import { percent } from "./format.js";
import { trying } from "./notice.js";
import { draw } from "./picture.js";
import { drawShapes } from "./boxes.js";
import { drawMask } from "./masks.js";
import { here, isPictures } from "./project.js";
import { say } from "./words.js";

// Log-odds from which a word is marked.
const LEAST = 0.25;

export function trySection() {
  const answer = make("div", { id: "answer", "aria-live": "polite" });
  return section(say().tryIt, isPictures() ? pictureForm(answer) : textForm(answer), answer);
}

function textForm(answer) {
  const text = make("textarea", { id: "try-text", rows: 2, maxLength: 20_000, required: true, dir: "auto" });
  const form = make("form", { onsubmit: async (event) => {
    event.preventDefault();
    const found = await trying(() => post(here("/try"), { text: text.value }));
    if (found) answer.replaceChildren(...told(found), spoken(found.parts));
  } }, make("p", {}, field(say().text, text)), make("button", { className: "main", id: "try" }, say().ask));
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return form;
}

function pictureForm(answer) {
  const file = make("input", { type: "file", id: "try-picture", accept: "image/*" });
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    const found = await trying(() => upload(here(`/try-picture${query({ file: chosen.name })}`), chosen));
    file.value = "";
    if (!found) return;
    const words = found.mask ? say().paintedTold(found.mask.labels.filter((_, place) => found.mask.runs.some((number, at) => at % 2 === 0 && number === place + 1)))
      : found.shapes && say().boxesTold(found.shapes.map(({ label }) => label));
    const canvas = make("canvas", { role: "img", "aria-label": words ? `${chosen.name}: ${words}` : chosen.name, width: 1, height: 1 });
    draw(canvas, chosen).then((scale) => (found.mask ? drawMask(canvas, found.mask) : drawShapes(canvas, found.shapes ?? [], scale))).catch(() => canvas.remove());
    answer.replaceChildren(...(words ? [make("h3", {}, words)] : told(found)), make("div", { className: "big" }, canvas));
  });
  return make("p", {}, field(say().choosePicture, file));
}

function told(found) {
  const bars = Object.entries(found.probabilities).sort((a, b) => b[1] - a[1]).map(([label, value]) => make("li", {},
    make("span", {}, label), make("progress", { max: 1, value, "aria-hidden": "true" }), make("span", {}, percent(value))));
  return [make("h3", {}, say().answer(found.prediction, percent(found.confidence))), make("ul", { className: "plain bars" }, bars)];
}

function spoken(parts) {
  const painted = parts.map(({ text, weight }) => {
    if (weight === null || Math.abs(weight) < LEAST) return text;
    return make("mark", { className: weight > 0 ? "for" : "against" }, text);
  });
  if (painted.every((part) => typeof part === "string")) return make("p", { className: "faint" }, say().nothingSpoke);
  return make("div", {}, make("h3", {}, say().spoke), make("p", { className: "words", dir: "auto" }, painted),
    make("p", { className: "faint" }, make("span", { className: "for" }, say().spokeFor), " ", make("span", { className: "against" }, say().spokeAgainst)));
}
