// Examples that are typed.
import { post } from "./api.js";
import { choices, field, make, section } from "./dom.js";
import { tell, trying } from "./notice.js";
import { here, project, refresh } from "./project.js";
import { say } from "./words.js";

export function typeSection(changed) {
  const words = say();
  const text = make("textarea", { id: "new-text", rows: 2, required: true, maxLength: 100_000, dir: "auto" });
  const label = make("select", { id: "new-label" });
  const form = make("form", { onsubmit: (event) => { event.preventDefault(); add(); } },
    make("p", {}, field(words.text, text), make("small", {}, words.typeHint)),
    make("p", { className: "line" }, field(words.label, label), make("button", { className: "main" }, words.add)));
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  function showLabels() {
    choices(label, [["", say().noLabel], ...project().labels.map(({ name }) => [name, name])], label.value);
  }

  async function add() {
    const row = await trying(() => post(here("/examples"), { text: text.value, label: label.value || null }));
    if (!row) return;
    tell(say().added);
    text.value = "";
    text.focus();
    await refresh();
    changed();
  }

  showLabels();
  return { element: section(words.type, form), showLabels };
}
