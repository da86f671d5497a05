// One example with what can be done to it.
import { change } from "./changes.js";
import { button, choices, make, written } from "./dom.js";
import { tell, trying } from "./notice.js";
import { picture } from "./picture.js";
import { shownWithShapes } from "./boxes.js";
import { shownWithMask } from "./masks.js";
import { drawnAs, isDrawn, isPictures, project } from "./project.js";
import { session } from "./session.js";
import { say } from "./words.js";

/** The text, or the picture. */
export function shown(row, px) {
  if (isDrawn()) return (drawnAs() === "masks" ? shownWithMask : shownWithShapes)(row, px ?? 320);
  return isPictures() ? picture(row, px) : written(row.input);
}

/** A line: the example, its label to be changed, a button that deletes it, and words below. */
export function line(row, ...below) {
  const host = make("li", { className: "row", "data-id": row.id });
  host.append(...parts(host, row, below));
  return host;
}

function parts(host, row, below) {
  const select = make("select", { "aria-label": say().label, onchange: () => relabel(host, row, select.value || null, below) });
  choices(select, [["", say().noLabel], ...project().labels.map(({ name }) => [name, name])], row.label ?? "");
  const remove = button("✕", () => removed(host, row), {
    className: "small", title: say().deleteRow, "aria-label": say().deleteRow,
  });
  const labelled = isDrawn() ? drawing(row) : select;
  return [shown(row), labelled, remove, ...below.map((some) => make("p", {}, some))];
}

/** A button that opens the picture where boxes are drawn. */
export const drawing = (row) => button(drawnAs() === "masks" ? say().paintHere : say().drawHere, () => {
  session.set("draw", String(row.id));
  location.hash = `#/p/${encodeURIComponent(project().name)}/label`;
}, { className: "small" });

async function relabel(host, row, label, below) {
  const now = await trying(() => change(row, { label }));
  if (now) {
    tell(say().savedAs(label ?? say().noLabel));
    host.replaceChildren(...parts(host, { ...row, ...now, input: row.input }, below));
    host.querySelector("select").focus();
  } else {
    host.querySelector("select").value = row.label ?? "";
  }
}

async function removed(host, row) {
  const now = await trying(() => change(row, { deleted: true }));
  if (!now) return;
  tell(say().deleted);
  const next = host.nextElementSibling || host.previousElementSibling;
  host.remove();
  next?.querySelector("select")?.focus();
}

/** A button that gives a row the label that was proposed. */
export function proposal(row, label, host) {
  const press = button(say().changeTo(label), async () => {
    const now = await trying(() => change(row, { label }));
    if (!now) return;
    tell(say().savedAs(label));
    (host() ?? press).replaceWith(make("li", { className: "row" }, make("span", {}, say().savedAs(label))));
  }, { className: "small" });
  return press;
}
