// Pictures, drawn: nothing is loaded by its address, so the token goes along, and no rule for pictures is needed.
import { blob } from "./api.js";
import { make } from "./dom.js";
import { here } from "./project.js";

/** A stored picture with its name below. */
export function picture(row, px = 160) {
  const canvas = make("canvas", { role: "img", "aria-label": row.name, width: 1, height: 1 });
  blob(here(`/pictures/${row.id}?px=${px}`)).then((content) => draw(canvas, content)).catch(() => { /* stays empty */ });
  return make("figure", {}, canvas, make("figcaption", {}, row.name));
}

/** Draw a file on a canvas; gives the factor by which it is smaller. Refused where it is no picture. */
export async function draw(canvas, content) {
  const bitmap = await createImageBitmap(content);
  const scale = Math.min(1, 640 / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return scale;
}
