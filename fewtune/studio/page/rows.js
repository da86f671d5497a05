// The examples, a page at a time.
import { get, query } from "./api.js";
import { button, choices, field, make, section } from "./dom.js";
import { line } from "./example.js";
import { count } from "./format.js";
import { loading } from "./notice.js";
import { here, isDrawn, project } from "./project.js";
import { say } from "./words.js";

const A_PAGE = 50;

export function rowsSection() {
  const words = say();
  let offset = 0;
  const show = choices(make("select", { id: "show" }), Object.entries(words.shows), "all");
  const label = make("select", { id: "show-label" });
  const search = make("input", { id: "search", type: "search", maxLength: 200 });
  const list = make("ul", { className: "plain", id: "rows" });
  const where = make("span", { role: "status" });
  const before = button(words.before, () => turn(-A_PAGE));
  const after = button(words.after, () => turn(A_PAGE));
  const fromStart = () => { offset = 0; load(); };
  for (const control of [show, label]) control.addEventListener("change", fromStart);
  let typing = 0;
  search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(fromStart, 250); });

  function turn(by) {
    offset = Math.max(0, offset + by);
    load().then(() => element.scrollIntoView());
  }

  async function load() {
    choices(label, [["", say().anyLabel], ...project().labels.map(({ name }) => [name, name])], label.value);
    const asked = { show: show.value, label: label.value, search: search.value.trim(), offset, limit: A_PAGE };
    const page = await loading(() => get(here(`/examples${query(asked)}`)));
    if (!page) return;
    list.replaceChildren(...page.rows.map((row) => line(row.is_cut ? { ...row, input: `${row.input}…` } : row)));
    where.textContent = page.total ? say().pageOf(count(offset + 1), count(offset + page.rows.length), count(page.total)) : say().noRows;
    before.disabled = offset === 0;
    after.disabled = offset + A_PAGE >= page.total;
  }

  /** A list in which somebody works is not taken from under their hands. */
  function reloadUnlessBusy() {
    if (!list.contains(document.activeElement)) load();
  }

  const element = section(words.rows,
    make("p", { className: "line" }, field(words.show, show), isDrawn() ? null : field(words.label, label), field(words.search, search)),
    list, make("div", { className: "pager" }, before, where, after));
  return { element, load, reloadUnlessBusy };
}
