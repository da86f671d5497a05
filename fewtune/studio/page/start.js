// The list of projects, and a new one.
import { get, post } from "./api.js";
import { choices, field, make, section } from "./dom.js";
import { count } from "./format.js";
import { trying } from "./notice.js";
import { say } from "./words.js";

export async function startView(host) {
  const { projects } = await get("/api/projects");
  const title = make("input", { id: "new-title", maxLength: 100, required: true });
  const task = choices(make("select", { id: "new-task" }), Object.entries(say().tasks), "text-classification");
  const kind = field(say().projectKind, task);
  kind.className = "wide";
  const form = make("form", { onsubmit: (event) => { event.preventDefault(); create(title.value, task.value); } },
    make("p", { className: "line" }, field(say().projectName, title), kind,
      make("button", { className: "main" }, say().create)));
  const list = make("ul", { className: "plain" }, projects.map((some) => make("li", { className: "card" },
    make("a", { href: `#/p/${encodeURIComponent(some.name)}/data` }, some.title), " ",
    make("span", { className: "faint" }, say().projectLine(say().tasks[some.task], count(some.counts.all), count(some.counts.labelled))))));
  host.replaceChildren(
    make("p", { className: "sentence" }, say().welcome),
    section(say().newProject, form),
    ...(projects.length ? [make("h2", {}, say().projects), list] : []));
}

async function create(title, task) {
  const made = await trying(() => post("/api/projects", { title, task }));
  if (made) location.hash = `#/p/${encodeURIComponent(made.name)}/data`;
}
