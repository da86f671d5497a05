// Pictures with what was found in them: boxes, masks, and the regions that spoke.
import { element } from "./dom.js";

const MOST_PX = 1024;
const GOLDEN = 0.618034;
const STRENGTHS = [0.25, 1, 2.5];

/** A colour for the class of this number; neighbours look different. */
export const colour = (number) => `hsl(${Math.round(((number * GOLDEN + 0.02) % 1) * 360)} 85% 50%)`;

/** A canvas with a picture, and the factor by which it is smaller than its file. */
export async function drawn(file, told) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, MOST_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = element("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", told);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return { canvas, scale };
}

export function drawBoxes(canvas, boxes, scale, numberOf) {
  const pen = canvas.getContext("2d");
  const unit = Math.max(canvas.width, canvas.height) / 400;
  pen.lineWidth = Math.max(1.5, 1.6 * unit);
  pen.font = `${Math.max(11, Math.round(11 * unit))}px sans-serif`;
  pen.textBaseline = "bottom";
  for (const { category, bbox } of boxes) {
    const [left, top, width, height] = bbox.map((value) => value * scale);
    pen.strokeStyle = pen.fillStyle = colour(numberOf(category));
    pen.strokeRect(left, top, width, height);
    pen.fillText(category, left + 2, top > 16 * unit ? top - 1 : top + height);
  }
}

/** COCO's run lengths: down the columns, the first of pixels that are not covered. */
function covered(runs, size) {
  const pixels = new Uint8Array(size);
  let place = 0;
  runs.forEach((run, number) => {
    if (number % 2) pixels.fill(1, place, place + run);
    place += run;
  });
  return pixels;
}

export function drawMask(canvas, mask, numberOf, isShown) {
  const pen = canvas.getContext("2d");
  const image = pen.getImageData(0, 0, canvas.width, canvas.height);
  for (const [label, runs] of Object.entries(mask.runs)) {
    if (!isShown(label)) continue;
    const pixels = covered(runs, mask.width * mask.height);
    const [red, green, blue] = rgb(colour(numberOf(label)));
    for (let y = 0; y < canvas.height; y++) {
      const row = Math.floor((y * mask.height) / canvas.height);
      for (let x = 0; x < canvas.width; x++) {
        if (!pixels[Math.floor((x * mask.width) / canvas.width) * mask.height + row]) continue;
        const place = 4 * (y * canvas.width + x);
        image.data[place] = (image.data[place] + red) / 2;
        image.data[place + 1] = (image.data[place + 1] + green) / 2;
        image.data[place + 2] = (image.data[place + 2] + blue) / 2;
      }
    }
  }
  pen.putImageData(image, 0, 0);
}

function rgb(name) {
  const pen = new OffscreenCanvas(1, 1).getContext("2d");
  pen.fillStyle = name;
  pen.fillRect(0, 0, 1, 1);
  return pen.getImageData(0, 0, 1, 1).data;
}

/** Frames around the patches that spoke: whole lines for, broken ones against. Gives how many there are. */
export function drawPatches(canvas, weights) {
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  let count = 0;
  weights.forEach((row, y) => row.forEach((weight, x) => {
    const strength = STRENGTHS.filter((least) => Math.abs(weight) >= least).length;
    if (!strength) return;
    count += 1;
    const name = weight > 0 ? "--for" : "--against";
    const [left, right] = [x, x + 1].map((edge) => Math.round((edge * canvas.width) / row.length));
    const [top, bottom] = [y, y + 1].map((edge) => Math.round((edge * canvas.height) / weights.length));
    pen.fillStyle = `rgba(${style.getPropertyValue(name)}, ${0.1 + 0.13 * strength})`;
    pen.strokeStyle = `rgb(${style.getPropertyValue(name)})`;
    pen.lineWidth = Math.max(1, (strength * canvas.width) / 500);
    pen.setLineDash(weight > 0 ? [] : [6, 4]);
    pen.fillRect(left, top, right - left, bottom - top);
    pen.strokeRect(left + 1, top + 1, right - left - 2, bottom - top - 2);
  }));
  return count;
}
