// Drawing boxes or masks, one picture at a time, the most useful first. What was drawn is on the disk before the page says that it is saved.
import { get, post } from "./api.js";
import { boxEditor } from "./boxes.js";
import { canUndo, change, lastChanged, undo } from "./changes.js";
import { whatNext } from "./curve.js";
import { button, field, make, section } from "./dom.js";
import { count } from "./format.js";
import { maskEditor } from "./masks.js";
import { loading, tell, trying } from "./notice.js";
import { drawnAs, here, project, refresh } from "./project.js";
import { session } from "./session.js";
import { say } from "./words.js";

const PX = 1024;
const EDITORS = { boxes: boxEditor, masks: maskEditor };

export async function drawView(host) {
  const words = say();
  let row = null;
  let isBusy = false;
  let isChanged = false;
  let chosen = session.get("box-label");
  const known = () => project().labels.map(({ name }) => name);
  const current = () => (known().includes(chosen) ? chosen : known()[0]);
  const editor = EDITORS[drawnAs()](PX, current, () => { isChanged = true; show(); });
  const empty = make("p");
  const guess = make("p", { className: "faint", id: "guess" });
  const choices = make("div", { className: "choices", id: "choices", role: "group", "aria-label": words.labels });
  const left = make("p", { id: "left" });
  const save = button(words.saveNext, keep, { className: "main", id: "save" });
  const skip = button(words.skipRow, () => act({ skipped: true }, words.skipped));
  const back = button(words.undo, takeBack);
  const again = button(words.unskip, async () => { if (await trying(() => post(here("/unskip")))) { await refresh(); load(); } });
  const name = make("input", { id: "label-name", maxLength: 100, required: true, dir: "auto" });
  const next = whatNext();
  const listed = section(editor.title, editor.list);
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
    guess.textContent = row && editor.hasProposal(row) ? editor.proposed : "";
    if (row) await loading(() => editor.open(row, drawn));
    show();
    if (row && !host.querySelector("input:focus, select:focus")) editor.canvas.focus();
  }

  /** A picture that is not shown yet cannot be found to hold nothing. */
  function keep() {
    if (editor.isOpen()) act(editor.wanted(), words.savedBoxes);
  }

  async function act(wanted, told) {
    if (!row || isBusy) return;
    isBusy = true;
    editor.canvas.ariaBusy = "true";
    let isElsewhere = false;
    const now = await trying(() => change(row, wanted).catch((error) => { isElsewhere = error.status === 409; throw error; }));
    if (isElsewhere) await reopen();
    isBusy = false;
    editor.canvas.ariaBusy = "false";
    if (now) {
      tell(told);
      await load();
    }
  }

  /** The picture as it is now, under what is drawn here: nothing of that is lost because another window was quicker. */
  async function reopen() {
    const drawn = editor.isOpen() ? editor.content() : undefined;
    const now = await loading(() => get(here(`/examples/${row.id}`)));
    if (now?.deleted) await load();
    else if (now) await open(now, drawn);
  }

  async function takeBack() {
    if (isBusy || (row && editor.undo())) return;
    isBusy = true;
    // What was drawn is not lost with its being saved: it is there to be mended.
    const drawn = canUndo() ? await loading(async () => ({ content: await editor.saved(await get(here(`/examples/${lastChanged()}`))) })) : null;
    const before = drawn && (await trying(undo));
    isBusy = false;
    if (!before) return;
    tell(words.undone);
    if (!before.deleted) await open(before, drawn.content);
  }

  function choose(label) {
    chosen = label;
    session.set("box-label", label);
    editor.choose(label);
    show();
  }

  function show() {
    const { labels, counts } = project();
    for (const part of [editor.canvas, listed]) part.hidden = !row;
    empty.hidden = Boolean(row);
    empty.textContent = counts.all ? words.allDone : words.nothingToLabel;
    choices.replaceChildren(...labels.map(({ name: label }, place) => button(
      [place < 10 ? make("kbd", { "aria-hidden": "true" }, String((place + 1) % 10)) : null, make("bdi", {}, label)],
      () => { choose(label); editor.canvas.focus(); },
      { className: current() === label ? "guess" : "", "aria-pressed": String(current() === label) })));
    left.textContent = words.left(count(counts.labelled), count(counts.unlabelled), count(counts.skipped));
    save.disabled = skip.disabled = !row;
    save.textContent = isChanged || !row || !editor.isEmpty() ? words.saveNext : editor.nothing;
    for (const tool of editor.tools) tool.disabled = !row || !labels.length;
    back.disabled = !isChanged && !canUndo();
    again.hidden = !counts.skipped;
    next.show();
  }

  function onKey(event) {
    if (event.target.matches("input, textarea, select") || event.altKey) return undefined;
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) return used(event, takeBack);
    if (event.ctrlKey || event.metaKey) return undefined;
    const label = /^\d$/.test(event.key) ? project().labels[(Number(event.key) + 9) % 10] : null;
    if (label) return used(event, () => choose(label.name));
    const does = row && editor.key(event);
    // An arrow that is held down goes on.
    if (does) { event.preventDefault(); return does(); }
    if (event.key === "s") return used(event, () => act({ skipped: true }, words.skipped));
    if (event.key === "u") return used(event, takeBack);
    if (event.key === "Enter" && !event.target.matches("button, a, summary") && row) return used(event, keep);
    return undefined;
  }

  document.addEventListener("keydown", onKey);
  host.replaceChildren(make("div", { className: "sides" },
    make("div", {}, make("div", { className: "card drawing" }, empty, editor.canvas), guess, choices, make("p", { className: "line" }, save, skip, back, again), make("p", { className: "line" }, editor.tools), left),
    make("div", {}, section(words.labels, form), listed,
      section(words.keys, make("ul", { className: "plain", id: "draw-keys" }, editor.keys.map(([key, does]) => make("li", {}, make("kbd", {}, key), does)))),
      next.element)));
  await load();
  return {
    refresh(_, isMore) {
      // A button that has the focus keeps it while a training goes on.
      if (!isMore) return;
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
