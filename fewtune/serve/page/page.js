// The page that tries a bundle.
import { shown } from "./answers.js";
import { at, element, say, spoken, store, switchLanguage } from "./dom.js";

const PICTURES = new Set(["image-classification", "object-detection", "segmentation"]);
const EXPLAINED = new Set(["text-classification", "image-classification"]);
// Fewer would hide boxes that the slider may want.
const LEAST_SCORE = 0.05;
let models = [];
let last = null;
let dropped = null;

const chosen = () => models[at("model").selectedIndex];

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  const token = at("token").value.trim() || store.get("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error(say().unreachable);
  }
  if (response.status === 401) {
    at("token-row").hidden = false;
    at("token").focus();
    throw new Error(say().tokenWanted);
  }
  const answer = await response.json();
  if (!response.ok) throw new Error([answer.error.where, answer.error.what, answer.error.how].filter(Boolean).join("\n"));
  if (token) store.set("token", token);
  return answer;
}

const asJson = (body) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

function asForm(file) {
  const form = new FormData();
  form.append("inputs", file);
  if (chosen().task === "object-detection") form.append("least_score", LEAST_SCORE);
  if (chosen().task === "segmentation") form.append("masks", "rle");
  return { method: "POST", body: form };
}

const inBase64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result);
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});

async function answered(info, text, file) {
  const path = `models/${encodeURIComponent(info.name)}`;
  if (EXPLAINED.has(info.task)) return ask(`${path}/explain`, asJson({ input: file ? await inBase64(file) : text }));
  const { predictions } = await ask(`${path}/predict`, file ? asForm(file) : asJson({ inputs: [text] }));
  return predictions[0];
}

function showError(error) {
  at("error").textContent = error ? error.message : "";
  at("error").hidden = !error;
}

async function translate() {
  document.documentElement.lang = spoken();
  for (const place of document.querySelectorAll("[data-say]")) place.textContent = say()[place.dataset.say];
  at("language").textContent = say().other;
  at("language").lang = spoken() === "zh" ? "en" : "zh";
  showAbout();
  if (last) await show(last);
}

function showModels() {
  at("model").replaceChildren(...models.map((info) => new Option(info.name)));
  at("model-row").hidden = models.length < 2;
  choose();
}

/** The form and the words below it are those of the chosen model. */
function choose() {
  const readsPictures = PICTURES.has(chosen().task);
  at("text-row").hidden = readsPictures;
  at("picture-row").hidden = !readsPictures;
  at("result").hidden = true;
  last = null;
  showAbout();
}

function showAbout() {
  const info = chosen();
  if (!info) return;
  const lines = [say().about(info)];
  const score = info.scores.accuracy;
  const hundred = (share) => (share === null ? null : Math.round(share * 100));
  if (score && score.value !== null) lines.push(say().score(hundred(score.value), hundred(score.low), hundred(score.high)));
  const names = [...new Set(info.licences.map((entry) => `${entry.part}: ${entry.licence}`))];
  if (names.length) lines.push(say().licences(names.join("; ")));
  at("about").replaceChildren(...lines.map((line) => element("p", line)));
}

async function show(given) {
  last = given;
  const { head, details } = await shown(given.info, given.answer, given.file);
  at("answer").textContent = head;
  at("details").replaceChildren(...details);
  at("result").hidden = false;
}

/** What was typed or chosen; undefined where there is nothing, which is then told. */
function given() {
  if (PICTURES.has(chosen().task)) {
    const file = dropped ?? at("picture").files[0];
    if (file) return { file };
    at("picture").focus();
    return showError(new Error(say().noPicture));
  }
  const text = at("text").value;
  if (text.trim()) return { text };
  at("text").focus();
  return showError(new Error(say().empty));
}

async function submit(event) {
  event?.preventDefault();
  showError(null);
  at("go").disabled = true;
  try {
    if (!models.length) await load();
    const input = given();
    if (!input) return;
    at("status").textContent = say().asking;
    const info = chosen();
    await show({ info, file: input.file, answer: await answered(info, input.text, input.file) });
    at("status").textContent = at("answer").textContent;
  } catch (error) {
    at("result").hidden = true;
    at("status").textContent = "";
    last = null;
    showError(error);
  } finally {
    at("go").disabled = false;
  }
}

async function load() {
  models = (await ask("models")).models;
  showModels();
}

at("form").addEventListener("submit", submit);
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
at("picture").addEventListener("change", () => {
  dropped = null;
  if (at("picture").files.length) submit();
});
for (const [name, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  at("picture-row").addEventListener(name, (event) => {
    event.preventDefault();
    at("picture-row").classList.toggle("over", isOver);
  });
}
at("picture-row").addEventListener("drop", (event) => {
  [dropped] = event.dataTransfer.files;
  at("picture").value = "";
  if (dropped) submit();
});
at("model").addEventListener("change", choose);
at("language").addEventListener("click", () => {
  switchLanguage();
  translate();
});
translate();
load().catch(showError);
