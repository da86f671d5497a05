// The labels: added, renamed, made one, deleted.
import { post } from "./api.js";
import { button, field, make, section } from "./dom.js";
import { count } from "./format.js";
import { tell, trying } from "./notice.js";
import { here, project, refresh } from "./project.js";
import { say } from "./words.js";

export function labelSetSection() {
  const list = make("ul", { className: "plain", id: "labels" });
  const name = make("input", { id: "label-name", maxLength: 100, required: true, dir: "auto" });
  const form = make("form", { onsubmit: (event) => { event.preventDefault(); add(); } },
    make("p", { className: "line" }, field(say().newLabel, name), make("button", {}, say().add)));

  async function add() {
    if (await changed("/labels", { name: name.value })) name.value = "";
  }

  function show() {
    if (list.contains(document.activeElement)) return;
    list.replaceChildren(...project().labels.map((label, place) => entry(label, place)));
  }

  async function changed(path, body) {
    const done = await trying(() => post(here(path), body));
    if (!done) return false;
    tell(say().saved);
    document.activeElement?.blur();
    await refresh();
    show();
    return true;
  }

  function entry(label, place) {
    const key = place < 10 ? make("kbd", { title: say().keyOf }, String((place + 1) % 10)) : null;
    const renamed = make("input", { value: label.name, maxLength: 100, "aria-label": say().newName(label.name), dir: "auto" });
    const rename = make("form", { className: "line", hidden: true, onsubmit: (event) => {
      event.preventDefault();
      changed("/labels/rename", { name: label.name, new: renamed.value });
    } }, renamed, make("button", { className: "small" }, say().rename));
    const edit = button("✎", () => { rename.hidden = !rename.hidden; if (!rename.hidden) renamed.focus(); },
      { className: "small", title: say().rename, "aria-label": say().renameThis(label.name) });
    const remove = label.count ? null : button("✕", () => changed("/labels/delete", { name: label.name }),
      { className: "small", title: say().deleteLabel, "aria-label": say().deleteThis(label.name) });
    return make("li", {}, key, make("bdi", {}, label.name), " ", make("span", { className: "faint" }, count(label.count)), " ", edit, " ", remove, rename);
  }

  show();
  return { element: section(say().labels, list, form), show };
}
