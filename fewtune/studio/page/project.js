// The project that is open: what every view shows of it, kept up with what other windows and the training do.
import { get, inProject } from "./api.js";

const EVERY_MS = 1500;

let opened = null;
let listener = () => {};
let timer = 0;
let openings = 0;

/** The state as it was last heard. */
export const project = () => opened;

/** Open a project; the listener is told of every change, and whether more changed than how far work is. */
export async function openProject(name, onChange) {
  closeProject();
  const nth = ++openings;
  const state = await get(inProject(name));
  // Another one was opened meanwhile.
  if (nth !== openings) return;
  opened = state;
  listener = onChange;
  timer = setInterval(look, EVERY_MS);
}

export function closeProject() {
  openings++;
  clearInterval(timer);
  opened = null;
  listener = () => {};
}

/** Look now, as after a change of one's own. */
export async function refresh() {
  if (!opened) return;
  const name = opened.name;
  const state = await get(inProject(name));
  if (!opened || opened.name !== name) return;
  const before = opened;
  opened = state;
  if (JSON.stringify(state) !== JSON.stringify(before)) listener(state, withoutWork(state) !== withoutWork(before));
}

const withoutWork = (state) => JSON.stringify({ ...state, training: null, smaller: null });

function look() {
  if (document.hidden) return;
  refresh().catch(() => { /* told when something is asked for */ });
}

/** The address of a part of the open project. */
export const here = (path = "") => inProject(opened.name, path);

export const isPictures = () => opened.task !== "text-classification";

/** What is drawn on the pictures, if anything: "boxes" or "masks". */
export const drawnAs = () => ({ "object-detection": "boxes", segmentation: "masks" })[opened.task] ?? "";

export const isDrawn = () => drawnAs() !== "";
