// Elements, what this window remembers, and numbers as people read them. Texts are only ever set as text, never as HTML.
import { WORDS } from "./words.js";

export const at = (id) => document.getElementById(id);

export function element(tag, text, className, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export const store = {
  get: (key) => { try { return sessionStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { sessionStorage.setItem(key, value); } catch { /* private windows may refuse */ } },
};

let language = store.get("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
export const say = () => WORDS[language];
export const spoken = () => language;

export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  store.set("language", language);
}

export function percent(share) {
  if (share < 0.001) return `< ${percent(0.001)}`;
  const digits = share > 0.995 || share < 0.005 ? 1 : 0;
  // Rounded towards doubt: what is not quite certain is never shown as 100 %.
  const floored = Math.floor(share * 100 * 10 ** digits) / 10 ** digits;
  return new Intl.NumberFormat(language, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits })
    .format(floored / 100);
}

/** A list of names, bars and shares. */
export function bars(shares) {
  const list = element("ul", undefined, "bars");
  for (const [label, share] of shares) {
    const bar = element("progress");
    bar.max = 1;
    bar.value = share;
    bar.setAttribute("aria-hidden", "true");
    list.append(element("li", undefined, "", element("span", label), bar, element("span", percent(share))));
  }
  return list;
}
