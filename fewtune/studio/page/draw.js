// Drawing boxes, one picture at a time, the most useful first. What was drawn is on the disk before the page says that it is saved.
import { get, post } from "./api.js";
import { boxEditor } from "./boxes.js";
import { canUndo, change, lastChanged, undo } from "./changes.js";
import { button, field, make, section } from "./dom.js";
import { count } from "./format.js";
import { loading, tell, trying } from "./notice.js";
import { here, project, refresh } from "./project.js";
import { session } from "./session.js";
import { say } from "./words.js";

const PX = 1024;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export async function drawView(host) {
  const words = say();
  let row = null;
  let isBusy = false;
  let isChanged = false;
  let chosen = session.get("box-label");
  const known = () => project().labels.map(({ name }) => name);
  const current = () => (known().includes(chosen) ? chosen : known()[0]);
  const editor = boxEditor(PX, current, () => { isChanged = true; show(); });
  const empty = make("p");
  const guess = make("p", { className: "faint", id: "guess" });
  const choices = make("div", { className: "choices", id: "choices", role: "group", "aria-label": words.labels });
  const left = make("p", { id: "left" });
  const save = button(words.saveNext, keep, { className: "main", id: "save" });
  const add = button(words.addBox, editor.add, { id: "add-box" });
  const skip = button(words.skipRow, () => act({ skipped: true }, words.skipped));
  const back = button(words.undo, takeBack);
  const again = button(words.unskip, async () => { if (await trying(() => post(here("/unskip")))) { await refresh(); load(); } });
  const name = make("input", { id: "label-name", maxLength: 100, required: true, dir: "auto" });
  const form = make("form", { onsubmit: (event) => { event.preventDefault(); addLabel(); } },
    make("p", { className: "line" }, field(words.newLabel, name), make("button", {}, words.add)));

  async function addLabel() {
    const given = name.value;
    if (!(await trying(() => post(here("/labels"), { name: given })))) return;
    name.value = "";
    await refresh();
    choose(given.trim());
    editor.canvas.focus();
  }

  async function load() {
    const wanted = session.get("draw");
    session.set("draw", "");
    const found = await loading(() => get(here(wanted ? `/examples/${wanted}` : "/waiting?limit=1")));
    if (found) await open(wanted ? found : found.rows[0] ?? null);
  }

  async function open(next, drawn) {
    row = next;
    isChanged = false;
    // What the model found is there to be mended: that is quicker than to draw it.
    const proposed = row && row.shapes === null && row.prediction ? JSON.parse(row.prediction) : null;
    const usable = proposed?.filter(({ label }) => known().includes(label)) ?? [];
    guess.textContent = usable.length ? words.proposedBoxes : "";
    if (row) await loading(() => editor.open(row, drawn ?? row.shapes ?? usable));
    show();
    if (row && !host.querySelector("input:focus, select:focus")) editor.canvas.focus();
  }

  /** A picture that is not shown yet cannot be found to hold nothing. */
  function keep() {
    if (editor.isOpen()) act({ shapes: editor.shapes() }, words.savedBoxes);
  }

  async function act(wanted, told) {
    if (!row || isBusy) return;
    isBusy = true;
    const now = await trying(() => change(row, wanted));
    isBusy = false;
    if (now) tell(told);
    await load();
  }

  async function takeBack() {
    if (isBusy || editor.undo()) return;
    isBusy = true;
    // What was drawn is not lost with its being saved: it is there to be mended.
    const drawn = canUndo() ? await loading(() => get(here(`/examples/${lastChanged()}`))) : null;
    const before = drawn && (await trying(undo));
    isBusy = false;
    if (!before) return;
    tell(words.undone);
    if (!before.deleted) await open(before, drawn.shapes);
  }

  function choose(label) {
    chosen = label;
    session.set("box-label", label);
    editor.rename(label);
    show();
  }

  function show() {
    const { labels, counts } = project();
    for (const part of [editor.canvas, editor.list]) part.hidden = !row;
    empty.hidden = Boolean(row);
    empty.textContent = counts.all ? words.allDone : words.nothingToLabel;
    choices.replaceChildren(...labels.map(({ name: label }, place) => button(
      [place < 10 ? make("kbd", { "aria-hidden": "true" }, String((place + 1) % 10)) : null, make("bdi", {}, label)],
      () => { choose(label); editor.canvas.focus(); },
      { className: current() === label ? "guess" : "", "aria-pressed": String(current() === label) })));
    left.textContent = words.left(count(counts.labelled), count(counts.unlabelled), count(counts.skipped));
    save.disabled = skip.disabled = !row;
    save.textContent = isChanged || !row || editor.shapes().length ? words.saveNext : words.nothingHere;
    add.disabled = !row || !labels.length;
    back.disabled = !isChanged && !canUndo();
    again.hidden = !counts.skipped;
  }

  function onKey(event) {
    if (event.target.matches("input, textarea, select") || event.altKey) return undefined;
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) return used(event, takeBack);
    if (event.ctrlKey || event.metaKey) return undefined;
    const label = /^\d$/.test(event.key) ? project().labels[(Number(event.key) + 9) % 10] : null;
    if (label) return used(event, () => choose(label.name));
    const arrow = event.target === editor.canvas ? ARROWS[event.key] : null;
    if (arrow && editor.hasSelection()) {
      event.preventDefault();
      return editor.nudge(...arrow, event.shiftKey);
    }
    if (event.key === "Delete" || event.key === "Backspace") return used(event, editor.remove);
    if (event.key === "b") return used(event, editor.add);
    if (event.key === "n") return used(event, () => editor.turn(1));
    if (event.key === "s") return used(event, () => act({ skipped: true }, words.skipped));
    if (event.key === "u") return used(event, takeBack);
    if (event.key === "Enter" && !event.target.matches("button, a, summary") && row) return used(event, keep);
    return undefined;
  }

  document.addEventListener("keydown", onKey);
  host.replaceChildren(make("div", { className: "sides" },
    make("div", {}, make("div", { className: "card drawing" }, empty, editor.canvas), guess, choices, make("p", { className: "line" }, save, add, skip, back, again), left),
    make("div", {}, section(words.labels, form), section(words.boxes, editor.list),
      section(words.keys, make("ul", { className: "plain", id: "draw-keys" }, words.boxKeys.map(([key, does]) => make("li", {}, make("kbd", {}, key), does)))))));
  await load();
  return {
    refresh() {
      if (row) show();
      else load();
    },
    close() { document.removeEventListener("keydown", onKey); },
  };
}

function used(event, work) {
  event.preventDefault();
  if (!event.repeat) work();
}
