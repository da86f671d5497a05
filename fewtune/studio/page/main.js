// Which view is shown: after the part of the address behind #.
import { whenTokenIsWanted } from "./api.js";
import { at, make } from "./dom.js";
import { clearError, tell, trying } from "./notice.js";
import { closeProject, isDrawn, openProject, project } from "./project.js";
import { session } from "./session.js";
import { languageTag, say, switchLanguage } from "./words.js";
import { startView } from "./start.js";
import { dataView } from "./data.js";
import { labelView } from "./label.js";
import { drawView } from "./draw.js";
import { trainView } from "./train.js";
import { seeView } from "./see.js";
import { takeView } from "./take.js";

const VIEWS = { data: dataView, label: (host) => (isDrawn() ? drawView(host) : labelView(host)), train: trainView, see: seeView, take: takeView };

// What is on the page: it may have `refresh`, told of changes from elsewhere, and `close`.
let view = {};
// How often something was to be shown: what arrives when something else is wanted already is not.
let shows = 0;

async function show() {
  const nth = ++shows;
  view.close?.();
  view = {};
  clearError();
  const [, , name, tab] = location.hash.split("/");
  document.documentElement.lang = languageTag();
  at("language").textContent = say().other;
  at("skip").textContent = say().skip;
  at("token-label").textContent = say().token;
  at("token-go").textContent = say().go;
  await trying(async () => {
    if (!name) {
      closeProject();
      showHead(null);
      await fill(nth, startView);
      return;
    }
    const wanted = decodeURIComponent(name);
    const shown = tab in VIEWS ? tab : "data";
    if (project()?.name !== wanted) await openProject(wanted, (state, isMore) => view.refresh?.(state, isMore));
    if (nth !== shows) return;
    showHead(shown);
    await fill(nth, VIEWS[shown]);
  });
}

/** Show a view in a place of its own: one that is late writes where nobody looks, and is closed. */
async function fill(nth, open) {
  const host = make("div");
  at("view").replaceChildren(host);
  const opened = (await open(host)) ?? {};
  if (nth === shows) view = opened;
  else opened.close?.();
}

function showHead(tab) {
  at("title").textContent = tab ? project().title : "";
  at("tabs").hidden = !tab;
  document.title = tab ? `${project().title} · ${say().tabs[tab]} · fewtune studio` : "fewtune studio";
  if (!tab) return;
  at("tabs").setAttribute("aria-label", say().steps);
  at("tabs").replaceChildren(...Object.keys(VIEWS).map((each) => make("a", {
    href: `#/p/${encodeURIComponent(project().name)}/${each}`,
    "aria-current": each === tab ? "page" : undefined,
  }, say().tabs[each])));
}

at("language").addEventListener("click", () => {
  switchLanguage();
  tell("");
  show();
});
at("skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("view").focus();
});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  session.set("token", at("token").value.trim());
  at("token-form").hidden = true;
  show();
});
whenTokenIsWanted(() => {
  at("token-form").hidden = false;
  at("token").focus();
});
addEventListener("hashchange", () => {
  tell("");
  // At once: by the time everything is loaded, somebody may be typing.
  at("view").focus();
  show();
});
show();
