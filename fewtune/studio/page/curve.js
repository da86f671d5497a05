// The learning curve: drawn by the library, as in its report, with the numbers below.
import { get } from "./api.js";
import { make, scroll, section } from "./dom.js";
import { here, project } from "./project.js";
import { inBoth, say } from "./words.js";

/** The figure; nothing where there is none. It comes by itself: what is below it need not wait. */
export function learningCurve() {
  const host = make("div", { className: "curve" });
  get(here("/curve")).then(({ figure }) => figure && host.append(shown(figure))).catch(() => { /* the sentence stands beside it */ });
  return host;
}

/** What the next labels are likely to bring: hidden until something is foreseen, drawn once a model. */
export function whatNext() {
  const words = make("p", { className: "faint" });
  const curve = make("div");
  const element = section(say().whatNext, words, curve);
  let drawnFor = 0;
  return {
    element,
    show() {
      const { forecast, model } = project();
      element.hidden = !forecast;
      if (!forecast) return;
      words.textContent = inBoth(forecast);
      if (model.number !== drawnFor) curve.replaceChildren(learningCurve());
      drawnFor = model.number;
    },
  };
}

function shown({ caption, description, drawing, columns, rows }) {
  const svg = parsed(drawing);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", inBoth(caption));
  return make("figure", {}, make("figcaption", {}, inBoth(caption)), svg, make("p", { className: "faint" }, inBoth(description)),
    make("details", {}, make("summary", {}, say().numbers), scroll(say().numbers, make("table", { className: "wide" },
      make("thead", {}, make("tr", {}, columns.map((column) => make("th", { scope: "col" }, inBoth(column))))),
      make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell) => make("td", {}, inBoth(cell))))))))));
}

/** A drawing holds nothing that anybody typed, and a parser runs no scripts. */
function parsed({ width, height, content }) {
  const text = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}">${content}</svg>`;
  return document.importNode(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, true);
}
