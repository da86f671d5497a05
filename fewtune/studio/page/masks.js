// A mask on a picture: painted with a brush or by its outline, by pointer or by keyboard. Every pixel has the number of
// a label, counted from 1; 0 is not painted, 255 passed over. Numbers come and go as run lengths along the rows.
import { blob, get } from "./api.js";
import { colour } from "./boxes.js";
import { button, field, make } from "./dom.js";
import { share } from "./format.js";
import { here, project } from "./project.js";
import { say } from "./words.js";

const PASSED_OVER = 255;
const MOST_UNDONE = 30;
const STRENGTH = 140;
const GREY = [128, 128, 128];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Run lengths as a number for each pixel. */
export function pixelsOf({ width, height, runs }) {
  const pixels = new Uint8Array(width * height);
  let place = 0;
  for (let run = 0; run < runs.length; run += 2) {
    pixels.fill(runs[run], place, place + runs[run + 1]);
    place += runs[run + 1];
  }
  return pixels;
}

export function runsOf(pixels) {
  const runs = [];
  let start = 0;
  for (let place = 1; place <= pixels.length; place++) {
    if (place < pixels.length && pixels[place] === pixels[start]) continue;
    runs.push(pixels[start], place - start);
    start = place;
  }
  return runs;
}

/** The same mask at another width and height. */
function resized(mask, width, height) {
  const from = pixelsOf(mask);
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * mask.height) / height) * mask.width;
    for (let x = 0; x < width; x++) pixels[y * width + x] = from[row + Math.floor(((x + 0.5) * mask.width) / width)];
  }
  return pixels;
}

function rgb(name) {
  const pen = new OffscreenCanvas(1, 1).getContext("2d");
  pen.fillStyle = name;
  pen.fillRect(0, 0, 1, 1);
  return pen.getImageData(0, 0, 1, 1).data;
}

/** Lay the labels' colours over what a canvas shows. */
function layOver(canvas, pixels, width, height, labels) {
  const image = new ImageData(width, height);
  const colours = [null, ...labels.map((label) => rgb(colour(label)))];
  colours[PASSED_OVER] = GREY;
  for (let place = 0; place < pixels.length; place++) {
    const seen = colours[pixels[place]];
    if (!seen) continue;
    image.data.set([seen[0], seen[1], seen[2], STRENGTH], 4 * place);
  }
  const layer = new OffscreenCanvas(width, height);
  layer.getContext("2d").putImageData(image, 0, 0);
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(layer, 0, 0, canvas.width, canvas.height);
}

/** Lay a mask, such as a model's, over a canvas. */
export const drawMask = (canvas, mask) => layOver(canvas, pixelsOf(mask), mask.width, mask.height, mask.labels);

const picture = async (row, px) => createImageBitmap(await blob(here(`/pictures/${row.id}?px=${px}`)));
const saved = (row, px) => (row.shapes === null ? null : get(here(`/masks/${row.id}?px=${px}`)));

/** A stored picture with its mask, or another; words say what is in it. */
export function shownWithMask(row, px, mask) {
  const labels = mask ? mask.labels : row.shapes?.map(({ label }) => label);
  const told = labels ? say().paintedTold([...new Set(labels)]) : say().notPainted;
  const canvas = make("canvas", { role: "img", "aria-label": `${row.name}: ${told}`, width: 1, height: 1 });
  Promise.all([picture(row, px), mask ?? saved(row, px)]).then(([bitmap, found]) => {
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    if (found) drawMask(canvas, found);
  }).catch(() => { /* stays empty */ });
  return make("figure", {}, canvas, make("figcaption", {}, row.name, make("br"), told));
}

/** An editor; `label()` gives the label that is painted, `changed()` is told of every change. */
export function maskEditor(px, label, changed) {
  const words = say();
  const canvas = make("canvas", { id: "draw", tabIndex: 0, role: "application", width: 1, height: 1, "aria-describedby": "draw-keys" });
  const list = make("ul", { className: "plain", id: "painted" });
  const size = make("input", { type: "range", id: "brush-size", min: 1, max: 60, value: 12 });
  const tools = Object.entries(words.brushes).map(([name, text]) =>
    button(text, () => { take(name); canvas.focus(); }, { id: `tool-${name}`, "aria-pressed": String(name === "brush") }));
  let bitmap = null;
  let pixels = new Uint8Array(0);
  let labels = [];
  let undone = [];
  let tool = "brush";
  let stroke = null;
  let cursor = null;
  let isDue = false;

  const width = () => canvas.width;
  const radius = () => (Number(size.value) * Math.max(canvas.width, canvas.height)) / 500;

  async function open(row, drawn) {
    bitmap = null;
    [undone, stroke, cursor] = [[], null, null];
    const [found, grid] = await Promise.all([picture(row, px), get(here(`/masks/${row.id}?px=${px}`))]);
    row.mask = row.shapes === null ? null : grid;
    Object.assign(canvas, { width: grid.width, height: grid.height });
    const content = drawn ?? (row.shapes === null ? proposal(row) : null) ?? grid;
    labels = [...content.labels];
    pixels = resized(content, grid.width, grid.height);
    bitmap = found;
    canvas.setAttribute("aria-label", row.name);
    show();
  }

  /** What the model found, as far as its labels are there. */
  function proposal(row) {
    const mask = row.prediction ? JSON.parse(row.prediction) : null;
    const known = project().labels.map(({ name }) => name);
    return mask?.labels.every((name) => known.includes(name)) ? mask : null;
  }

  function paint() {
    isDue = false;
    if (!bitmap) return;
    const pen = canvas.getContext("2d");
    pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    layOver(canvas, pixels, canvas.width, canvas.height, labels);
    pen.lineWidth = Math.max(1, canvas.width / 400);
    pen.strokeStyle = "#fff";
    if (stroke?.outline) {
      pen.beginPath();
      stroke.outline.forEach(([x, y], place) => (place ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.stroke();
    }
    if (cursor) {
      pen.beginPath();
      pen.arc(cursor[0], cursor[1], radius(), 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  /** Show the picture at the next occasion: a stroke has more points than the screen has frames. */
  function look() {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(paint);
  }

  function show() {
    if (!bitmap) return;
    paint();
    const counts = new Array(256).fill(0);
    for (const number of pixels) counts[number]++;
    list.replaceChildren(...labels.flatMap((name, place) => (counts[place + 1] ? [make("li", {},
      words.paintedShare(name, share(counts[place + 1] / pixels.length)), " ",
      button("✕", () => edit(() => pixels.forEach((number, at) => { if (number === place + 1) pixels[at] = 0; })), { className: "small", "aria-label": words.unpaint(name) }))] : [])));
  }

  function keep() {
    undone = [...undone, { pixels: pixels.slice(), labels: [...labels] }].slice(-MOST_UNDONE);
  }

  function edit(work) {
    keep();
    work();
    show();
    changed();
  }

  function undo() {
    if (!undone.length) return false;
    ({ pixels, labels } = undone.pop());
    show();
    changed();
    return true;
  }

  function take(name) {
    tool = name;
    tools.forEach((press) => press.setAttribute("aria-pressed", String(press.id === `tool-${name}`)));
  }

  /** The number that is painted; null where there is no label to paint with. */
  function number() {
    if (tool === "eraser") return 0;
    const name = label();
    if (!name) return null;
    if (!labels.includes(name)) labels.push(name);
    return labels.indexOf(name) + 1;
  }

  /** A round spot; the pixels themselves are set, for a canvas would blur the edge into other numbers. */
  function spot([x, y], value) {
    const reach = Math.max(0.5, radius());
    for (let row = Math.max(0, Math.ceil(y - reach)); row <= Math.min(canvas.height - 1, y + reach); row++) {
      const half = Math.sqrt(reach * reach - (row - y) * (row - y));
      const [from, to] = [Math.max(0, Math.ceil(x - half)), Math.min(width() - 1, Math.floor(x + half))];
      if (to >= from) pixels.fill(value, row * width() + from, row * width() + to + 1);
    }
  }

  function line(from, to, value) {
    const steps = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) / Math.max(1, radius() / 2)));
    for (let step = 0; step <= steps; step++) spot([0, 1].map((axis) => from[axis] + ((to[axis] - from[axis]) * step) / steps), value);
  }

  /** What lies inside an outline, by the even-odd rule, at the middle of each row of pixels. */
  function inside(outline, value) {
    for (let row = 0; row < canvas.height; row++) {
      const crossings = outline.flatMap(([x, y], place) => {
        const [nextX, nextY] = outline[(place + 1) % outline.length];
        return (y <= row + 0.5) === (nextY <= row + 0.5) ? [] : [x + ((row + 0.5 - y) / (nextY - y)) * (nextX - x)];
      }).sort((a, b) => a - b);
      for (let pair = 0; pair + 1 < crossings.length; pair += 2) {
        const [from, to] = [Math.max(0, Math.ceil(crossings[pair] - 0.5)), Math.min(width(), Math.ceil(crossings[pair + 1] - 0.5))];
        if (to > from) pixels.fill(value, row * width() + from, row * width() + to);
      }
    }
  }

  function placeOf(event) {
    const seen = canvas.getBoundingClientRect();
    return [((event.clientX - seen.left) / seen.width) * canvas.width, ((event.clientY - seen.top) / seen.height) * canvas.height];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (!bitmap || event.button) return;
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    keep();
    const value = number();
    if (value === null) { undone.pop(); return; }
    const at = placeOf(event);
    cursor = null;
    stroke = { value, at, outline: tool === "outline" ? [at] : null };
    if (!stroke.outline) spot(at, value);
    look();
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    const at = placeOf(event);
    if (stroke.outline) stroke.outline.push(at);
    else line(stroke.at, at, stroke.value);
    stroke.at = at;
    look();
  });

  canvas.addEventListener("pointerup", () => {
    if (!stroke) return;
    if (stroke.outline) inside(stroke.outline, stroke.value);
    stroke = null;
    show();
    changed();
  });

  /** Move the brush by keyboard; it paints while `paints`. */
  function move([right, down], paints) {
    const step = Math.max(1, radius());
    const from = cursor ?? [canvas.width / 2, canvas.height / 2];
    cursor = [Math.min(canvas.width, Math.max(0, from[0] + right * step)), Math.min(canvas.height, Math.max(0, from[1] + down * step))];
    const to = cursor;
    if (paints) stamp(from, to);
    else look();
  }

  function stamp(from, to) {
    keep();
    const value = number();
    if (value === null) { undone.pop(); return; }
    line(from, to, value);
    show();
    changed();
  }

  /** What a key does; nothing where it means nothing here. */
  function key(event) {
    if (!bitmap) return null;
    if (event.target === canvas && ARROWS[event.key]) return () => move(ARROWS[event.key], event.shiftKey);
    if (event.target === canvas && event.key === " ") return () => { cursor ??= [canvas.width / 2, canvas.height / 2]; stamp(cursor, cursor); };
    if (event.key === "[" || event.key === "]") return () => { size.value = Number(size.value) + (event.key === "]" ? 3 : -3); look(); };
    const name = { b: "brush", o: "outline", e: "eraser" }[event.key];
    return name ? () => take(name) : null;
  }

  const isEmpty = () => pixels.every((value) => value === 0);
  const content = () => ({ width: canvas.width, height: canvas.height, runs: runsOf(pixels), labels });
  return {
    canvas, open, undo, key, isEmpty, content, isOpen: () => bitmap !== null,
    wanted: () => ({ mask: content() }),
    choose: () => { if (tool === "eraser") take("brush"); },
    saved: (row) => saved(row, px),
    hasProposal: (row) => row.shapes === null && proposal(row) !== null,
    tools: [...tools, field(words.brushSize, size)],
    title: words.painted, list, keys: words.maskKeys, proposed: words.proposedMask, nothing: words.nothingPainted,
  };
}
