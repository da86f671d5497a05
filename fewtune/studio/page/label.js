// Labelling, by keyboard or by pointer: one example at a time, the most useful first.
import { get, post } from "./api.js";
import { canUndo, change, undo } from "./changes.js";
import { whatNext } from "./curve.js";
import { button, field, make, section } from "./dom.js";
import { shown } from "./example.js";
import { count, percent } from "./format.js";
import { loading, tell, trying } from "./notice.js";
import { here, project, refresh } from "./project.js";
import { session } from "./session.js";
import { say } from "./words.js";

const AHEAD = 10;
const BIG_PX = 640;

export async function labelView(host) {
  const words = say();
  let queue = [];
  let isBusy = false;
  const card = make("div", { className: "card big", id: "card", tabIndex: -1, "aria-live": "polite" });
  const guess = make("p", { className: "faint", id: "guess" });
  const choices = make("div", { className: "choices", id: "choices", role: "group", "aria-label": words.labels });
  const left = make("p", { id: "left" });
  const next = whatNext();
  const keysOn = make("input", { type: "checkbox", checked: session.get("keys") !== "off", onchange: () => session.set("keys", keysOn.checked ? "on" : "off") });
  const skip = button(words.skipRow, () => act({ skipped: true }, words.skipped));
  const back = button(words.undo, takeBack);
  const again = button(words.unskip, async () => { if (await trying(() => post(here("/unskip")))) { await refresh(); load(); } });
  const name = make("input", { id: "label-name", maxLength: 100, required: true, dir: "auto" });
  const form = make("form", { onsubmit: (event) => { event.preventDefault(); addLabel(); } },
    make("p", { className: "line" }, field(words.newLabel, name), make("button", {}, words.add)));

  async function addLabel() {
    if (!(await trying(() => post(here("/labels"), { name: name.value })))) return;
    name.value = "";
    await refresh();
    show();
  }

  async function load() {
    const found = await loading(() => get(here(`/waiting?limit=${AHEAD}`)));
    if (found) queue = found.rows;
    show();
  }

  async function fill() {
    const found = await get(here(`/waiting?limit=${AHEAD}`)).catch(() => null);
    const known = new Set(queue.map((row) => row.id));
    if (found) queue.push(...found.rows.filter((row) => !known.has(row.id)));
  }

  async function act(wanted, told) {
    const [row] = queue;
    if (!row || isBusy) return;
    isBusy = true;
    const now = await trying(() => change(row, wanted));
    isBusy = false;
    if (!now) {
      // Somebody else may have been quicker: what is there now is shown, and nothing is lost.
      await load();
      return;
    }
    queue.shift();
    tell(told);
    if (queue.length < AHEAD / 2) await fill();
    show();
  }

  async function takeBack() {
    if (isBusy) return;
    isBusy = true;
    const row = await trying(undo);
    isBusy = false;
    if (!row) return;
    tell(words.undone);
    if (row.label === null && !row.skipped && !row.deleted) queue = [row, ...queue.filter((some) => some.id !== row.id)];
    show();
  }

  const choose = (label) => act({ label }, words.savedAs(label));

  /** What the model says of the example, as long as there is such a label. */
  const proposed = () => project().labels.find(({ name: label }) => label === queue[0]?.prediction)?.name;

  function show() {
    const [row] = queue;
    const { labels, counts } = project();
    card.replaceChildren(row ? shown(row, BIG_PX) : make("p", {}, counts.all ? words.allDone : words.nothingToLabel));
    guess.textContent = proposed() ? words.guess(proposed(), percent(row.confidence)) : "";
    choices.replaceChildren(...labels.map(({ name: label }, place) => button(
      [place < 10 ? make("kbd", { "aria-hidden": "true" }, String((place + 1) % 10)) : null, make("bdi", {}, label)],
      () => choose(label),
      { disabled: !row, className: proposed() === label ? "guess" : "" })));
    left.textContent = words.left(count(counts.labelled), count(counts.unlabelled), count(counts.skipped));
    skip.disabled = !row;
    back.disabled = !canUndo();
    again.hidden = !counts.skipped;
    next.show();
  }

  function onKey(event) {
    const isTyping = event.target.matches("input, textarea, select");
    if (isTyping || !keysOn.checked || event.altKey) return;
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) return used(event, takeBack);
    if (event.ctrlKey || event.metaKey) return undefined;
    const label = /^\d$/.test(event.key) ? project().labels[(Number(event.key) + 9) % 10] : null;
    if (label) return used(event, () => choose(label.name));
    if (event.key === "s" || event.key === "ArrowRight") return used(event, () => act({ skipped: true }, words.skipped));
    if (event.key === "u" || event.key === "Backspace") return used(event, takeBack);
    const isOnControl = event.target.matches("button, a, summary");
    if (event.key === "Enter" && !isOnControl && proposed()) return used(event, () => choose(proposed()));
    return undefined;
  }

  document.addEventListener("keydown", onKey);
  host.replaceChildren(make("div", { className: "sides" },
    make("div", {}, card, guess, choices, make("p", { className: "line" }, skip, back, again), left),
    make("div", {}, section(words.labels, form), section(words.keys, keyList(), make("label", { className: "check" }, keysOn, " ", words.keysOn)),
      next.element)));
  await load();
  return {
    refresh(_, isMore) {
      // A button that has the focus keeps it while a training goes on.
      if (!isMore) return;
      if (queue.length === 0) load();
      else show();
    },
    close() { document.removeEventListener("keydown", onKey); },
  };
}

function used(event, work) {
  event.preventDefault();
  // A key that is held down would label what nobody has read.
  if (!event.repeat) work();
}

const keyList = () => make("ul", { className: "plain" }, say().keyList.map(([key, does]) => make("li", {}, make("kbd", {}, key), does)));
