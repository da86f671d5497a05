// Training: one button, a budget, and what is known at every moment. All of it is on the disk: a reload loses nothing.
import { post } from "./api.js";
import { button, choices, field, make, section } from "./dom.js";
import { count, seconds } from "./format.js";
import { ladder } from "./ladder.js";
import { tell, trying } from "./notice.js";
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
  const state = make("div", { id: "training" });

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
    for (const each of [start, stop, resume]) each.disabled = true;
    await trying(async () => { await post(here(path), body); tell(""); });
    await refresh().catch(() => {});
    show();
  }

  function show() {
    const { training, counts, model } = project();
    const runs = UNDER_WAY.includes(training.status);
    start.hidden = runs;
    start.disabled = false;
    start.textContent = training.status === "none" || training.status === "done" ? words.train : words.trainAnew;
    stop.hidden = training.status !== "running";
    stop.disabled = false;
    resume.hidden = !["stopped", "interrupted", "failed"].includes(training.status);
    resume.disabled = false;
    slider.disabled = method.disabled = runs;
    ready.textContent = words.ready(count(counts.labelled), project().labels.filter((label) => label.count).length);
    state.replaceChildren(...(training.status === "none" ? [] : [progressOf(training, model)]));
  }

  const ready = make("p");
  host.replaceChildren(
    section(words.trainTitle, ready, make("label", { htmlFor: "budget" }, words.budget, told), slider, make("p", {}, make("small", {}, words.budgetHint)),
      make("details", {}, make("summary", {}, words.more), make("p", { className: "line" }, field(words.method, method))),
      make("p", { className: "line" }, start, stop, resume)),
    state);
  show();
  return { refresh: show };
}

function progressOf(training, model) {
  const words = say();
  const parts = [make("p", { role: "status", className: "sentence" }, words.statuses[training.status])];
  if (training.status === "running") {
    parts.push(bar(words.timeSpent(seconds(training.seconds), seconds(training.budget_seconds)), training.seconds, training.budget_seconds));
  }
  if (training.step) {
    const { name, done, total } = training.step;
    parts.push(bar(words.step(name), done, total));
  }
  if (training.error) {
    const isEnglish = language() === "en";
    parts.push(make("p", { lang: isEnglish ? undefined : "en" }, [training.error.what, training.error.how].filter(Boolean).join(" ")));
  }
  if (training.rungs.length) parts.push(make("h3", {}, words.ladder), make("p", { className: "faint" }, words.ladderHint), ladder(training.rungs));
  if (training.status === "done" && model) parts.push(make("p", {}, make("a", { href: `#/p/${encodeURIComponent(project().name)}/see` }, words.lookAtIt)));
  return section(words.progress, ...parts);
}

function bar(text, value, max) {
  const shown = make("progress", { "aria-label": text });
  if (max) { shown.max = max; shown.value = Math.min(value, max); }
  return make("div", {}, make("p", { className: "faint" }, text), shown);
}
