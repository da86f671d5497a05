// The data: bring it, type it, look through it, mend what the check finds.
import { make } from "./dom.js";
import { bringSection } from "./bring.js";
import { findingsSection } from "./findings.js";
import { labelSetSection } from "./label-set.js";
import { isPictures, project } from "./project.js";
import { rowsSection } from "./rows.js";
import { typeSection } from "./typed.js";

export async function dataView(host) {
  const rows = rowsSection();
  const findings = findingsSection(() => rows.load());
  const labels = labelSetSection();
  const changed = () => rows.load();
  const typed = isPictures() ? null : typeSection(changed);
  host.replaceChildren(make("div", { className: "sides" },
    make("div", {}, bringSection(changed), typed?.element, rows.element),
    make("div", {}, labels.element, findings.element)));
  await Promise.all([rows.load(), findings.load()]);
  let revision = project().revision;
  return {
    refresh(state, isMore) {
      if (!isMore) return;
      labels.show();
      typed?.showLabels();
      if (state.revision === revision) return;
      revision = state.revision;
      rows.reloadUnlessBusy();
      findings.load();
    },
  };
}
