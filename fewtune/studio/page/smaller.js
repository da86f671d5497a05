// A smaller model beside the one that was trained: made when somebody asks for it, and what it costs.
import { get, post } from "./api.js";
import { button, choices, field, make, scroll, section } from "./dom.js";
import { download } from "./download.js";
import { mb, milliseconds, share, count } from "./format.js";
import { tell, trying } from "./notice.js";
import { bar } from "./progress.js";
import { here, project } from "./project.js";
import { inBoth, language, say } from "./words.js";

const DROPS = ["0.005", "0.01", "0.02", "0.05"];
const USUAL_DROP = "0.01";

/** The section; `isPrivate` says whether the examples leave with the model. */
export async function smallerSection(isPrivate) {
  const words = say();
  const way = make("select", { id: "way" });
  const drop = choices(make("select", { id: "max-drop" }), DROPS.map((value) => [value, words.points(100 * value)]), USUAL_DROP);
  const start = button(words.makeSmaller, () => ask("", { way: way.value, max_drop: Number(drop.value) }), { id: "make-smaller" });
  const stop = button(words.stop, () => ask("/stop"), { id: "stop-smaller" });
  const form = make("div", {}, make("details", {}, make("summary", {}, words.more),
    make("p", { className: "line" }, field(words.way, way), field(words.mayLose, drop))), make("p", { className: "line" }, start, stop));
  const status = make("p", { role: "status" });
  const bars = make("div");
  const progress = make("div", { id: "smaller-progress" }, status, bars);
  const costs = make("div", { id: "smaller" });
  let told = null;

  async function ask(path, body) {
    tell(words.moment);
    // A button that cannot be pressed loses the focus.
    const isFocused = form.contains(document.activeElement);
    start.disabled = stop.disabled = true;
    const found = await trying(() => post(here(`/smaller${path}`), body));
    tell("");
    if (found) told = found;
    show();
    if (isFocused) (told.status === "running" ? stop : start).focus();
  }

  async function load() {
    told = await get(here("/smaller"));
    show();
  }

  function show() {
    const runs = told.status === "running";
    const isFocused = stop.contains(document.activeElement);
    form.hidden = !told.ways.length;
    start.hidden = runs;
    stop.hidden = !runs;
    start.disabled = stop.disabled = way.disabled = drop.disabled = false;
    if (runs) way.disabled = drop.disabled = true;
    choices(way, told.ways.map((name) => [name, words.ways[name] ?? name]), way.value || told.ways[0]);
    // It ended by itself: the other button stands in the place of the one that is gone.
    if (isFocused && stop.hidden) start.focus();
    showProgress();
    costs.replaceChildren(...parts());
  }

  function showProgress() {
    const { step, error } = told;
    const said = words.smallerStatuses[told.status] ?? "";
    // What has not changed is not told again.
    if (status.textContent !== said) status.textContent = said;
    status.hidden = !said;
    bars.replaceChildren(
      told.status === "running" && step ? bar(words.step(step.name), step.done, step.total) : "",
      error ? make("p", { lang: language() === "en" ? undefined : "en" }, [error.what, error.how].filter(Boolean).join(" ")) : "");
  }

  function parts() {
    const { by_fit: byFit, taken, refused, ways } = told;
    const shown = [];
    if (byFit) shown.push(make("p", {}, words.smallerAlready), ...cost(byFit));
    if (taken) {
      shown.push(...cost(taken), make("p", {}, download(words.downloadSmaller, () => `/smaller.zip${isPrivate() ? "?private=true" : ""}`,
        `${project().name.replace(/^p-/, "")}-small.fewtune.zip`, { className: "main", id: "download-smaller" })));
    }
    if (refused) shown.push(make("h3", {}, words.notTaken), ...cost(refused));
    if (!ways.length) shown.push(make("p", {}, byFit ? words.nothingFurther : words.nothingSmaller));
    return shown;
  }

  await load();
  return {
    element: section(words.smaller, make("p", { className: "faint" }, words.smallerHint), costs, progress, form),
    refresh(state) {
      const { status, number, step } = state.smaller;
      if (status !== told.status || number !== told.number) load().catch(() => { /* told when something is asked for */ });
      else if (status === "running") { told.step = step; showProgress(); }
    },
  };
}

/** Both models beside each other, and what is known of the drop. */
function cost({ models, metric, words: sentence }) {
  const words = say();
  // What nobody labelled has no score: then only how many answers changed is known.
  const isScored = models.some(({ score }) => score !== null);
  const head = ["", words.size, words.oneAnswer, words.answersASecond, ...(isScored ? [metric === "accuracy" ? words.accuracy : words.score] : [])];
  const rows = models.map((model) => make("tr", { className: model.taken ? "taken" : "" },
    make("th", { scope: "row" }, inBoth(model.name), model.taken ? ` ${words.taken}` : null),
    [mb(model.size_mb), milliseconds(model.p50_ms), count(Math.round(model.per_second)), ...(isScored ? [share(model.score, 1)] : [])].map((text) => make("td", { className: "number" }, text))));
  return [
    scroll(words.smaller, make("table", { className: "wide costs" },
      make("thead", {}, make("tr", {}, head.map((text) => (text ? make("th", { scope: "col" }, text) : make("td"))))), make("tbody", {}, rows))),
    make("p", {}, inBoth(sentence)),
  ];
}
