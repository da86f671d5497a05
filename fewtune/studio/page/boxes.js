// Boxes on a picture: drawn, moved, sized, named and deleted, by pointer or by keyboard. Boxes are in pixels of the picture itself.
import { blobWithSize } from "./api.js";
import { button, make } from "./dom.js";
import { here, project } from "./project.js";
import { say } from "./words.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const GOLDEN = 0.618034;
const LEAST_PX = 3;
const HANDLE_PX = 10;
const MOST_UNDONE = 200;

/** A colour for a label; neighbours look different. */
export function colour(label) {
  const place = project().labels.findIndex(({ name }) => name === label);
  return `hsl(${Math.round((((place < 0 ? 99 : place) * GOLDEN + 0.02) % 1) * 360)} 85% 45%)`;
}

/** Draw shapes on a canvas that is `scale` times as large as the picture. */
export function drawShapes(canvas, shapes, scale, selected = -1) {
  const pen = canvas.getContext("2d");
  const unit = Math.max(canvas.width, canvas.height) / 500;
  pen.textBaseline = "bottom";
  shapes.forEach(({ label, box, score }, place) => {
    const [left, top, right, bottom] = box.map((edge) => edge * scale);
    pen.strokeStyle = pen.fillStyle = colour(label);
    pen.lineWidth = Math.max(1.5, (place === selected ? 3.2 : 1.8) * unit);
    pen.strokeRect(left, top, right - left, bottom - top);
    pen.font = `${place === selected ? "bold " : ""}${Math.max(11, Math.round(13 * unit))}px sans-serif`;
    const text = score === undefined ? label : `${label} ${Math.round(100 * score)} %`;
    const foot = top > 18 * unit ? top - 2 : bottom - 2;
    const height = Math.max(13, 15 * unit);
    pen.fillStyle = "rgba(255, 255, 255, .85)";
    pen.fillRect(left, foot - height, pen.measureText(text).width + 4, height);
    pen.fillStyle = "#14181d";
    pen.fillText(text, left + 2, foot);
    pen.fillStyle = colour(label);
    if (place !== selected) return;
    for (const [x, y] of [[left, top], [right, top], [left, bottom], [right, bottom]]) pen.fillRect(x - 4 * unit, y - 4 * unit, 8 * unit, 8 * unit);
  });
}

/** A stored picture with its shapes; words say what they are. */
export function shownWithShapes(row, px, shapes = row.shapes) {
  const told = shapes === null ? say().notDrawn : say().boxesTold(shapes.map(({ label }) => label));
  const canvas = make("canvas", { role: "img", "aria-label": `${row.name}: ${told}`, width: 1, height: 1 });
  loaded(row, px).then(({ bitmap, width }) => {
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    drawShapes(canvas, shapes ?? [], bitmap.width / width);
  }).catch(() => { /* stays empty */ });
  return make("figure", {}, canvas, make("figcaption", {}, row.name, make("br"), told));
}

async function loaded(row, px) {
  const { content, width, height } = await blobWithSize(here(`/pictures/${row.id}?px=${px}`));
  return { bitmap: await createImageBitmap(content), width, height };
}

/** An editor; `label()` gives the label of a new box, `changed()` is told of every change. */
export function boxEditor(px, label, changed) {
  const canvas = make("canvas", { id: "draw", tabIndex: 0, role: "application", width: 1, height: 1, "aria-describedby": "draw-keys" });
  const list = make("ul", { className: "plain", id: "boxes" });
  let picture = null;
  let shapes = [];
  let selected = -1;
  let undone = [];
  let drag = null;

  const scale = () => picture.bitmap.width / picture.width;
  const clampX = (x) => Math.min(picture.width, Math.max(0, x));
  const clampY = (y) => Math.min(picture.height, Math.max(0, y));

  async function open(row, drawn) {
    picture = null;
    [shapes, selected, undone, drag] = [structuredClone(drawn ?? row.shapes ?? proposal(row)), -1, [], null];
    picture = await loaded(row, px);
    canvas.setAttribute("aria-label", row.name);
    show();
  }

  /** What the model found is there to be mended: that is quicker than to draw it. */
  function proposal(row) {
    const known = project().labels.map(({ name }) => name);
    return row.prediction ? JSON.parse(row.prediction).filter((shape) => known.includes(shape.label)) : [];
  }

  function show() {
    if (!picture) return;
    Object.assign(canvas, { width: picture.bitmap.width, height: picture.bitmap.height });
    canvas.getContext("2d").drawImage(picture.bitmap, 0, 0);
    const drawn = drag?.made ? [...shapes, drag.made] : shapes;
    drawShapes(canvas, drawn, scale(), selected);
    list.replaceChildren(...shapes.map((shape, place) => make("li", {},
      button(say().box(place + 1, shape.label), () => { selected = place; show(); canvas.focus(); }, { className: "small", "aria-pressed": String(place === selected) }), " ",
      button("✕", () => { selected = place; remove(); }, { className: "small", "aria-label": say().deleteBox(place + 1, shape.label) }))));
  }

  function keep() {
    undone = [...undone, structuredClone(shapes)].slice(-MOST_UNDONE);
  }

  function edit(work) {
    keep();
    work();
    show();
    changed();
  }

  function remove() {
    if (selected < 0) return;
    edit(() => { shapes.splice(selected, 1); selected = -1; });
    canvas.focus();
  }

  /** Take the last change back; false where there is none. */
  function undo() {
    if (!undone.length) return false;
    shapes = undone.pop();
    selected = -1;
    show();
    changed();
    return true;
  }

  /** Give the selected box a label. */
  function rename(name) {
    if (selected >= 0 && shapes[selected].label !== name) edit(() => { shapes[selected].label = name; });
  }

  /** A box in the middle, to be moved by keyboard. */
  function add() {
    if (!picture || !label()) return;
    const [x, y] = [picture.width / 2, picture.height / 2];
    edit(() => {
      shapes.push({ label: label(), box: [x - x / 4, y - y / 4, x + x / 4, y + y / 4] });
      selected = shapes.length - 1;
    });
  }

  function turn(by) {
    if (!shapes.length) return;
    selected = (selected + by + shapes.length) % shapes.length;
    show();
  }

  /** Move the selected box, or its lower right corner, by shares of the picture. */
  function nudge(right, down, sizes) {
    if (selected < 0) return false;
    const step = Math.max(1, Math.round(Math.max(picture.width, picture.height) / 100));
    edit(() => {
      const box = shapes[selected].box;
      const [width, height] = [box[2] - box[0], box[3] - box[1]];
      if (sizes) {
        box[2] = Math.max(box[0] + LEAST_PX, clampX(box[2] + right * step));
        box[3] = Math.max(box[1] + LEAST_PX, clampY(box[3] + down * step));
      } else {
        box[0] = Math.min(picture.width - width, Math.max(0, box[0] + right * step));
        box[1] = Math.min(picture.height - height, Math.max(0, box[1] + down * step));
        [box[2], box[3]] = [box[0] + width, box[1] + height];
      }
    });
    return true;
  }

  function placeOf(event) {
    const seen = canvas.getBoundingClientRect();
    return [clampX(((event.clientX - seen.left) / seen.width) * picture.width), clampY(((event.clientY - seen.top) / seen.height) * picture.height)];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (!picture || event.button) return;
    canvas.focus();
    canvas.setPointerCapture(event.pointerId);
    const [x, y] = placeOf(event);
    const near = (HANDLE_PX * picture.width) / canvas.getBoundingClientRect().width;
    const corner = selected < 0 ? -1 : cornersOf(shapes[selected].box).findIndex(([cx, cy]) => Math.abs(cx - x) < near && Math.abs(cy - y) < near);
    const inside = shapes.findLastIndex(({ box }) => x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3]);
    const before = structuredClone(shapes);
    if (corner >= 0) {
      drag = { before, fixed: cornersOf(shapes[selected].box)[3 - corner] };
    } else if (inside >= 0 && inside === selected) {
      drag = { before, from: [x, y], box: [...shapes[selected].box] };
    } else if (inside >= 0 && !event.shiftKey) {
      selected = inside;
    } else {
      selected = -1;
      drag = label() ? { before, fixed: [x, y], made: { label: label(), box: [x, y, x, y] } } : null;
    }
    show();
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [x, y] = placeOf(event);
    if (drag.fixed) {
      const [fx, fy] = drag.fixed;
      (drag.made ?? shapes[selected]).box = [Math.min(x, fx), Math.min(y, fy), Math.max(x, fx), Math.max(y, fy)];
    } else {
      const [left, top, right, bottom] = drag.box;
      const moveX = Math.min(picture.width - right, Math.max(-left, x - drag.from[0]));
      const moveY = Math.min(picture.height - bottom, Math.max(-top, y - drag.from[1]));
      shapes[selected].box = [left + moveX, top + moveY, right + moveX, bottom + moveY];
    }
    show();
  });

  canvas.addEventListener("pointerup", () => {
    if (!drag) return;
    const { made, before } = drag;
    drag = null;
    if (made && isLarge(made.box)) {
      shapes.push(made);
      selected = shapes.length - 1;
    }
    if (selected >= 0 && !isLarge(shapes[selected].box)) shapes = before;
    if (JSON.stringify(before) !== JSON.stringify(shapes)) {
      undone = [...undone, before].slice(-MOST_UNDONE);
      changed();
    }
    show();
  });

  /** What a key does; nothing where it means nothing here. */
  function key(event) {
    const arrow = event.target === canvas ? ARROWS[event.key] : null;
    if (arrow && selected >= 0) return () => nudge(...arrow, event.shiftKey);
    if (event.key === "Delete" || event.key === "Backspace") return remove;
    return { b: add, n: () => turn(1) }[event.key] ?? null;
  }

  const words = say();
  const rounded = () => shapes.map(({ label: name, box }) => ({ label: name, box: box.map((edge) => Math.round(10 * edge) / 10) }));
  return {
    canvas, open, undo, key, isEmpty: () => !shapes.length, content: rounded, isOpen: () => picture !== null,
    wanted: () => ({ shapes: rounded() }),
    choose: rename,
    saved: (row) => row.shapes,
    hasProposal: (row) => row.shapes === null && proposal(row).length > 0,
    tools: [button(words.addBox, add, { id: "add-box" })],
    title: words.boxes, list, keys: words.boxKeys, proposed: words.proposedBoxes, nothing: words.nothingHere,
  };
}

const cornersOf = ([left, top, right, bottom]) => [[left, top], [right, top], [left, bottom], [right, bottom]];
const isLarge = ([left, top, right, bottom]) => right - left >= LEAST_PX && bottom - top >= LEAST_PX;
