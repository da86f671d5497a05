// What can be taken away: the model, the data, and the commands that do the same without this page.
import { get } from "./api.js";
import { button, make, section } from "./dom.js";
import { download } from "./download.js";
import { loading, tell } from "./notice.js";
import { drawnAs, here, isDrawn, isPictures, project } from "./project.js";
import { smallerSection } from "./smaller.js";
import { say } from "./words.js";

export async function takeView(host) {
  const words = say();
  const stem = project().name.replace(/^p-/, "");
  const commands = await get(here("/commands"));
  const isPrivate = make("input", { type: "checkbox", id: "private" });
  const model = project().model
    ? [make("p", {}, words.takeModel), make("label", { className: "check" }, isPrivate, " ", words.withPrivate),
      make("p", {}, download(words.downloadModel, () => `/bundle.zip${isPrivate.checked ? "?private=true" : ""}`, `${stem}.fewtune.zip`, { className: "main", id: "download" }))]
    : [make("p", {}, words.noModel)];
  const data = [
    isDrawn() ? download("COCO JSON", () => "/coco.json", `${stem}.json`, { id: "coco" }) : download("CSV", () => "/data.csv", `${stem}.csv`, { id: "csv" }),
    drawnAs() === "masks" ? null : download("Label Studio JSON", () => "/label-studio.json", `${stem}.json`, { id: "label-studio" }),
    isPictures() ? download(words.picturesZip, () => "/data.zip", `${stem}.zip`, { id: "data-zip" }) : null,
  ];
  const smaller = project().model ? await smallerSection(() => isPrivate.checked) : null;
  host.replaceChildren(
    section(words.theModel, ...model), smaller?.element ?? "",
    section(words.theData, make("p", {}, words.takeData), make("p", { className: "line" }, data)),
    section(words.theSame, make("p", {}, words.takeCommands(isPictures() ? `${stem}.zip` : `${stem}.csv`)),
      make("h3", {}, words.terminal), code(commands.shell), make("h3", {}, "Python"), code(commands.python)));
  const had = project().model?.number;
  // What took this view's place when there was another model.
  let after = null;
  return {
    async refresh(state) {
      if (after) (await after)?.refresh(state);
      else if (state.model?.number === had) smaller?.refresh(state);
      else after = loading(() => takeView(host));
    },
  };
}

function code(text) {
  const shown = make("pre", { tabIndex: 0 }, make("code", {}, text));
  const copy = button(say().copy, async () => {
    // Over plain HTTP from another machine a page has no clipboard.
    const isCopied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
    if (!isCopied) getSelection().selectAllChildren(shown);
    tell(isCopied ? say().copied : say().selected);
  }, { className: "small" });
  return make("div", {}, shown, copy);
}
