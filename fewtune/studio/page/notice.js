// The line that tells what happened, and the box that tells what went wrong.
import { at, button, make } from "./dom.js";
import { language, say } from "./words.js";

export function tell(text) {
  at("status").textContent = text;
}

export function clearError() {
  at("error").hidden = true;
  at("error").replaceChildren();
}

export function tellError(error) {
  const known = say().errors[error.code];
  // What the library says it says in English.
  const message = make("div", { lang: known || language() === "en" ? undefined : "en" }, known || error.message);
  at("error").replaceChildren(message, button(say().close, clearError, { className: "small" }));
  at("error").hidden = false;
}

/** Fetch what is to be shown; an error is told, and undefined given back. What was told before stays. */
export async function loading(work) {
  try {
    return await work();
  } catch (error) {
    tellError(error);
    return undefined;
  }
}

/** Do what somebody asked for: as `loading`, and what was told of the last time goes. */
export async function trying(work) {
  clearError();
  return loading(work);
}
