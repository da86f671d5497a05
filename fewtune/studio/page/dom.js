// Elements. Whatever a person typed is only ever set as text, never as HTML.

/** An element with properties (on… are listeners, data-… and aria-… attributes) and children: elements or texts. */
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) set(made, name, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function set(element, name, value) {
  if (value === undefined || value === null) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name in element && !name.includes("-")) element[name] = value;
  else element.setAttribute(name, value);
}

export const button = (text, onclick, properties = {}) =>
  make("button", { type: "button", onclick, ...properties }, text);

/** A field under its label. */
export const field = (text, control) => make("label", {}, text, control);

export const section = (title, ...children) => {
  const id = `h${Math.random().toString(36).slice(2)}`;
  return make("section", { "aria-labelledby": id }, make("h2", { id }, title), ...children);
};

/** What may be wider than the window: it is moved by keyboard, too. */
export const scroll = (label, ...children) => make("div", { className: "scroll", tabIndex: 0, role: "group", "aria-label": label }, ...children);

/** A text that somebody wrote, in whatever direction it runs. */
export const written = (text, className = "text") => make("div", { className, dir: "auto" }, text);

export const at = (id) => document.getElementById(id);

/** Fill a select: pairs of value and text. */
export function choices(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value, false, value === chosen)));
  return select;
}
