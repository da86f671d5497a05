// The page that tries a bundle. Texts and labels are only ever set as text, never as HTML.
"use strict";

const WORDS = {
  en: {
    skip: "To the text", token: "Token of the service", model: "Model", text: "Text",
    hint: "Ctrl + Enter asks.", go: "Ask", asking: "Asking …", words: "The words that spoke",
    spokeFor: "spoke for it", spokeAgainst: "spoke against it", empty: "Type a text first.",
    answer: (label, share) => `${label} (${share})`,
    told: (words) => `Spoke most for it: ${words}.`, nothing: "No single word decided it.",
    without: (word, share) => `“${word}” (without it ${share})`, join: ", ",
    tokenWanted: "This service asks for its token.", unreachable: "The service cannot be reached.",
    about: (info) => `${info.name}: ${info.task}, ${info.method}${info.model ? `, ${info.model}` : ""}`,
    score: (value, low, high) => `About ${value} of 100 new texts right` +
      (low === null ? "." : `; between ${low} and ${high}, as far as could be tested.`),
    licences: (names) => `Licences: ${names}`, other: "中文",
  },
  zh: {
    skip: "跳到文本", token: "服务令牌", model: "模型", text: "文本",
    hint: "按 Ctrl + Enter 提交。", go: "预测", asking: "正在预测……", words: "起作用的词",
    spokeFor: "支持该结果", spokeAgainst: "反对该结果", empty: "请先输入文本。",
    answer: (label, share) => `${label}（${share}）`,
    told: (words) => `最支持该结果的词：${words}。`, nothing: "没有哪个词单独起决定作用。",
    without: (word, share) => `“${word}”（去掉后为 ${share}）`, join: "、",
    tokenWanted: "此服务需要令牌。", unreachable: "无法连接到服务。",
    about: (info) => `${info.name}：${info.task}，${info.method}${info.model ? `，${info.model}` : ""}`,
    score: (value, low, high) => `每 100 条新文本约有 ${value} 条正确` +
      (low === null ? "。" : `；测试得出的范围为 ${low} 至 ${high} 条。`),
    licences: (names) => `许可证：${names}`, other: "English",
  },
};
// Log-odds from which a word is painted faintly, well, and strongly.
const STRENGTHS = [0.25, 1, 2.5];
const MOST_TOLD = 3;

const at = (id) => document.getElementById(id);
const store = {
  get: (key) => { try { return sessionStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { sessionStorage.setItem(key, value); } catch { /* private windows may refuse */ } },
};
let language = store.get("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
let models = [];
let shown = null;

const say = () => WORDS[language];
const percent = (share) => {
  if (share < 0.001) return `< ${percent(0.001)}`;
  const digits = share > 0.995 || share < 0.005 ? 1 : 0;
  // Rounded towards doubt: what is not quite certain is never shown as 100 %.
  const floored = Math.floor(share * 100 * 10 ** digits) / 10 ** digits;
  return new Intl.NumberFormat(language, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits })
    .format(floored / 100);
};

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  const token = at("token").value.trim() || store.get("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
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

function showError(error) {
  at("error").textContent = error ? error.message : "";
  at("error").hidden = !error;
}

function translate() {
  document.documentElement.lang = language;
  for (const place of document.querySelectorAll("[data-say]")) place.textContent = say()[place.dataset.say];
  at("language").textContent = say().other;
  at("language").lang = language === "zh" ? "en" : "zh";
  showAbout();
  if (shown) showAnswer(shown);
}

function showModels() {
  at("model").replaceChildren(...models.map((info) => new Option(info.name)));
  at("model-row").hidden = models.length < 2;
  showAbout();
}

function showAbout() {
  const info = models[at("model").selectedIndex];
  if (!info) return;
  const lines = [say().about(info)];
  const score = info.scores.accuracy;
  const hundred = (share) => (share === null ? null : Math.round(share * 100));
  if (score && score.value !== null) lines.push(say().score(hundred(score.value), hundred(score.low), hundred(score.high)));
  const names = [...new Set(info.licences.map((entry) => `${entry.part}: ${entry.licence}`))];
  if (names.length) lines.push(say().licences(names.join("; ")));
  at("about").replaceChildren(...lines.map((line) => element("p", line)));
}

function showAnswer(answer) {
  shown = answer;
  at("answer").textContent = say().answer(answer.prediction, percent(answer.confidence));
  const bars = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]).map(([label, share]) => {
    const row = element("li");
    const bar = element("progress");
    bar.max = 1;
    bar.value = share;
    bar.setAttribute("aria-hidden", "true");
    row.append(element("span", label), bar, element("span", percent(share)));
    return row;
  });
  at("bars").replaceChildren(...bars);
  at("words").replaceChildren(...answer.parts.map(painted));
  const best = answer.parts.filter((part) => part.weight >= STRENGTHS[0]).sort((a, b) => b.weight - a.weight);
  const words = best.slice(0, MOST_TOLD).map((part) => say().without(part.text, percent(part.confidence_without)));
  at("told").textContent = words.length ? say().told(words.join(say().join)) : say().nothing;
  at("result").hidden = false;
}

function painted(part) {
  const strength = STRENGTHS.filter((least) => Math.abs(part.weight ?? 0) >= least).length;
  if (!strength) return document.createTextNode(part.text);
  const mark = element("mark", part.text, `s${strength} ${part.weight > 0 ? "for" : "against"}`);
  mark.title = percent(part.confidence_without);
  return mark;
}

async function submit(event) {
  event.preventDefault();
  showError(null);
  const text = at("text").value;
  if (!text.trim()) {
    showError(new Error(say().empty));
    at("text").focus();
    return;
  }
  at("go").disabled = true;
  at("status").textContent = say().asking;
  try {
    if (!models.length) await load();
    const name = models[at("model").selectedIndex].name;
    showAnswer(await ask(`models/${encodeURIComponent(name)}/explain`, { input: text }));
    at("status").textContent = at("answer").textContent;
  } catch (error) {
    at("result").hidden = true;
    at("status").textContent = "";
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
at("model").addEventListener("change", showAbout);
at("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  store.set("language", language);
  translate();
});
translate();
load().catch(showError);
