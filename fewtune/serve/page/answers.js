// What a bundle answered, shown in the way of its task.
import { at, bars, element, percent, say } from "./dom.js";
import { colour, drawBoxes, drawMask, drawn, drawPatches } from "./canvas.js";

// Log-odds from which a word is painted faintly, well, and strongly.
const STRENGTHS = [0.25, 1, 2.5];
const MOST_TOLD = 3;
const USUAL_SCORE = 0.3;

const legend = () => element("p", undefined, "legend", element("span", say().spokeFor, "for"), " ", element("span", say().spokeAgainst, "against"));
const inOrder = (shares) => Object.entries(shares).sort((a, b) => b[1] - a[1]);

/** The head and the details of an answer; `file` is the picture that was asked about, if it was one. */
export async function shown(info, answer, file) {
  if (answer.parts) return textClasses(answer);
  if (answer.weights) return pictureClasses(answer, file);
  if (info.task === "object-detection") return boxes(info, answer.prediction, file);
  if (info.task === "segmentation") return mask(info, answer.prediction, file);
  return { head: say().written[info.task] ?? info.task, details: [written(answer.prediction)] };
}

function written(text) {
  const made = element("p", text, "written");
  made.dir = "auto";
  return made;
}

const headOf = (answer) => say().answer(answer.prediction, percent(answer.confidence));

function textClasses(answer) {
  const best = answer.parts.filter((part) => part.weight >= STRENGTHS[0]).sort((a, b) => b.weight - a.weight);
  const words = best.slice(0, MOST_TOLD).map((part) => say().without(part.text, percent(part.confidence_without)));
  const painted = element("p", undefined, "words", ...answer.parts.map(paint));
  painted.id = "words";
  const told = element("p", words.length ? say().told(words.join(say().join)) : say().nothing);
  told.id = "told";
  return { head: headOf(answer), details: [bars(inOrder(answer.probabilities)), element("h3", say().words), painted, legend(), told] };
}

function paint(part) {
  const strength = STRENGTHS.filter((least) => Math.abs(part.weight ?? 0) >= least).length;
  if (!strength) return document.createTextNode(part.text);
  const mark = element("mark", part.text, `s${strength} ${part.weight > 0 ? "for" : "against"}`);
  mark.title = percent(part.confidence_without);
  return mark;
}

async function pictureClasses(answer, file) {
  const { canvas } = await drawn(file, say().pictureOf(headOf(answer)));
  const count = drawPatches(canvas, answer.weights);
  const told = count ? legend() : element("p", say().nothingRegion);
  return { head: headOf(answer), details: [bars(inOrder(answer.probabilities)), element("h3", say().regions), canvas, told] };
}

async function boxes(info, found, file) {
  const numberOf = (label) => info.labels.indexOf(label);
  const slider = element("input");
  Object.assign(slider, { type: "range", id: "least", min: 0, max: 100, value: 100 * USUAL_SCORE });
  const value = element("output");
  const label = element("label", `${say().least}: `, "", value);
  label.htmlFor = "least";
  const place = element("div");
  const list = element("ul", undefined, "plain");
  list.id = "found";

  async function show() {
    const least = slider.value / 100;
    const sure = found.filter((box) => box.score >= least);
    value.textContent = percent(least);
    const told = say().found(sure.length);
    const { canvas, scale } = await drawn(file, say().pictureOf(`${told}: ${sure.map((box) => box.category).join(say().join)}`));
    drawBoxes(canvas, sure, scale, numberOf);
    place.replaceChildren(canvas);
    list.replaceChildren(...sure.map((box) => element("li", undefined, "", swatch(numberOf(box.category)), ` ${say().answer(box.category, percent(box.score))}`)));
    return told;
  }

  slider.addEventListener("input", async () => { at("answer").textContent = await show(); });
  return { head: await show(), details: [label, slider, place, list] };
}

function swatch(number) {
  const made = element("canvas", undefined, "swatch");
  Object.assign(made, { width: 14, height: 14 });
  made.setAttribute("aria-hidden", "true");
  const pen = made.getContext("2d");
  pen.fillStyle = colour(number);
  pen.fillRect(0, 0, 14, 14);
  return made;
}

async function mask(info, found, file) {
  const numberOf = (label) => info.labels.indexOf(label);
  const hidden = new Set();
  const place = element("div");
  const all = found.width * found.height;
  const told = inOrder(found.pixels).map(([label, pixels]) => say().answer(label, percent(pixels / all)));

  async function show() {
    const { canvas } = await drawn(file, say().pictureOf(told.join(say().join)));
    drawMask(canvas, found, numberOf, (label) => !hidden.has(label));
    place.replaceChildren(canvas);
  }

  const list = element("ul", undefined, "plain", ...inOrder(found.pixels).map(([label], number) => {
    const box = element("input");
    Object.assign(box, { type: "checkbox", checked: true });
    box.addEventListener("change", () => { hidden[box.checked ? "delete" : "add"](label); show(); });
    return element("li", undefined, "", element("label", undefined, "check", box, " ", swatch(numberOf(label)), ` ${told[number]}`));
  }));
  list.id = "found";
  await show();
  return { head: say().marked, details: [place, list] };
}
