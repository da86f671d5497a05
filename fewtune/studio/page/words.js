// What the page says, in the language that was chosen.
import { en } from "./words-en.js";
import { zh } from "./words-zh.js";
import { session } from "./session.js";

const ALL = { en, zh };
let chosen = session.get("language") || (navigator.language.startsWith("zh") ? "zh" : "en");

export const language = () => chosen;

export function switchLanguage() {
  chosen = chosen === "zh" ? "en" : "zh";
  session.set("language", chosen);
}

/** The words of the chosen language. */
export const say = () => ALL[chosen];

/** A sentence that the server gave in both languages. */
export const inBoth = (sentence) => sentence[chosen];

/** The code for the lang attribute. */
export const languageTag = () => (chosen === "zh" ? "zh-Hans" : "en");
