// What the check finds, each beside its rows, and mended where a click can mend it.
import { get, post } from "./api.js";
import { button, make, section } from "./dom.js";
import { line } from "./example.js";
import { loading, tell, trying } from "./notice.js";
import { here, refresh } from "./project.js";
import { inBoth, say } from "./words.js";

export function findingsSection(changed) {
  const list = make("div", { id: "findings" }, make("p", { className: "faint" }, say().moment));
  const element = section(say().findings, list);
  let asked = 0;

  async function load() {
    const mine = ++asked;
    const found = await loading(() => get(here("/findings")));
    if (!found || mine !== asked || list.contains(document.activeElement)) return;
    const shown = found.findings.map((finding) => told(finding, mended));
    list.replaceChildren(...(shown.length ? shown : [make("p", { className: "faint" }, say().nothingFound)]));
  }

  async function mended(work) {
    const done = await trying(work);
    if (!done) return;
    tell(say().mended);
    document.activeElement?.blur();
    await refresh();
    await load();
    changed();
  }

  return { element, load };
}

function told(finding, mended) {
  const rows = finding.rows.filter((row) => !row.deleted);
  return make("article", { className: `finding ${finding.level} narrow` },
    make("p", {}, `${say().levels[finding.level]}: ${inBoth(finding.what)}`),
    make("p", { className: "faint" }, inBoth(finding.how)),
    mends(finding, mended),
    rows.length ? make("details", { open: finding.level !== "info" }, make("summary", {}, say().theRows),
      make("ul", { className: "plain" }, rows.map((row) => line(row)))) : null);
}

function mends(finding, mended) {
  if (finding.mend?.do === "delete-repeats") {
    return make("p", {}, button(say().deleteRepeats, () => mended(() => post(here("/delete-repeats"))), { className: "small" }));
  }
  if (finding.mend?.do === "merge-labels") {
    return make("p", { className: "line" }, finding.mend.pairs.map(({ from, to }) => button(say().merge(from, to),
      () => mended(() => post(here("/labels/rename"), { name: from, new: to })), { className: "small" })));
  }
  return null;
}
