// Training: one button, a budget, and what is known at every moment. All of it is on the disk: a reload loses nothing.
import { post } from "./api.js";
import { at, button, choices, field, make, section } from "./dom.js";
import { count, seconds } from "./format.js";
import { ladder } from "./ladder.js";
import { tell, trying } from "./notice.js";
import { bar } from "./progress.js";
import { here, project, refresh } from "./project.js";
import { session } from "./session.js";
import { language, say } from "./words.js";

const MINUTES = [1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120];
const USUAL = 3;
const UNDER_WAY = ["running", "ordering"];
const METHODS = {
  "text-classification": ["auto", "tfidf", "head", "contrastive", "partial", "lora", "full"],
  "image-classification": ["auto", "head", "partial", "full"],
  "object-detection": ["auto", "partial", "full"],
  segmentation: ["auto", "head", "partial", "full"],
};

export async function trainView(host) {
  const words = say();
  const slider = make("input", { type: "range", id: "budget", min: 0, max: MINUTES.length - 1, step: 1, value: session.get("budget") ?? USUAL });
  const told = make("output", { htmlFor: "budget" });
  const method = choices(make("select", { id: "method" }), METHODS[project().task].map((name) => [name, words.methods[name]]), session.get("method") ?? "auto");
  const start = button(words.train, () => ask("/training", { minutes: MINUTES[slider.value], method: method.value }), { className: "main", id: "train" });
  const stop = button(words.stop, () => ask("/training/stop"), { id: "stop" });
  const resume = button(words.resume, () => ask("/training/resume"), { id: "resume" });
  const progress = progressSection();

  const tellBudget = () => {
    const text = words.minutes(MINUTES[slider.value]);
    told.textContent = ` ${text}`;
    slider.setAttribute("aria-valuetext", text);
    session.set("budget", slider.value);
  };
  slider.addEventListener("input", tellBudget);
  method.addEventListener("change", () => session.set("method", method.value));
  tellBudget();

  async function ask(path, body) {
    tell(words.moment);
    // A button that cannot be pressed loses the focus.
    const isFocused = [start, stop, resume].includes(document.activeElement);
    for (const each of [start, stop, resume]) each.disabled = true;
    await trying(async () => { await post(here(path), body); tell(""); });
    await refresh().catch(() => {});
    show();
    if (isFocused) [stop, resume, start].find((each) => !each.hidden)?.focus();
  }

  function show() {
    const { training, counts } = project();
    const runs = UNDER_WAY.includes(training.status);
    start.hidden = runs;
    start.disabled = false;
    start.textContent = training.status === "none" || training.status === "done" ? words.train : words.trainAnew;
    const isOnStop = document.activeElement === stop;
    stop.hidden = training.status !== "running";
    // It ended by itself.
    if (isOnStop && stop.hidden) at("view").focus();
    stop.disabled = false;
    resume.hidden = !["stopped", "interrupted", "failed"].includes(training.status);
    resume.disabled = false;
    slider.disabled = method.disabled = runs;
    ready.textContent = words.ready(count(counts.labelled), project().labels.filter((label) => label.count).length);
    progress.show(project());
  }

  const ready = make("p");
  host.replaceChildren(
    section(words.trainTitle, ready, make("label", { htmlFor: "budget" }, words.budget, told), slider, make("p", {}, make("small", {}, words.budgetHint)),
      make("details", {}, make("summary", {}, words.more), make("p", { className: "line" }, field(words.method, method))),
      make("p", { className: "line" }, start, stop, resume)),
    make("div", { id: "training" }, progress.element));
  show();
  return { refresh: show };
}

/** What is known of the training; what has not changed stays as it is, so that nobody is told it again and again. */
function progressSection() {
  const words = say();
  const status = make("p", { role: "status", className: "sentence" });
  const bars = make("div");
  const candidates = make("div");
  const onward = make("p", {}, make("a", { href: `#/p/${encodeURIComponent(project().name)}/see` }, words.lookAtIt));
  const element = section(words.progress, status, bars, candidates, onward);
  let shown = "";

  function show({ training, model }) {
    element.hidden = training.status === "none";
    if (element.hidden) return;
    const told = words.statuses[training.status];
    if (status.textContent !== told) status.textContent = told;
    bars.replaceChildren(...barsOf(training));
    const rungs = JSON.stringify(training.rungs);
    if (rungs !== shown) candidates.replaceChildren(make("h3", {}, words.ladder), make("p", { className: "faint" }, words.ladderHint), ladder(training.rungs));
    candidates.hidden = !training.rungs.length;
    shown = rungs;
    onward.hidden = training.status !== "done" || !model;
  }

  return { element, show };
}

function barsOf(training) {
  const words = say();
  const parts = [];
  if (training.status === "running") {
    parts.push(bar(words.timeSpent(seconds(training.seconds), seconds(training.budget_seconds)), training.seconds, training.budget_seconds));
  }
  if (training.step) parts.push(bar(words.step(training.step.name), training.step.done, training.step.total));
  if (training.error) {
    const isEnglish = language() === "en";
    parts.push(make("p", { lang: isEnglish ? undefined : "en" }, [training.error.what, training.error.how].filter(Boolean).join(" ")));
  }
  return parts;
}
