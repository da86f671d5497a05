// How good the model is, in plain words; where it errs; and what it says of something new.
import { get } from "./api.js";
import { make, section } from "./dom.js";
import { count } from "./format.js";
import { learningCurve } from "./curve.js";
import { confusion } from "./confusion.js";
import { ladder } from "./ladder.js";
import { drawnMistakes, mistakes, suspects } from "./mistakes.js";
import { loading } from "./notice.js";
import { drawnAs, here, isDrawn, project } from "./project.js";
import { trySection } from "./try.js";
import { inBoth, say } from "./words.js";

export async function seeView(host) {
  const words = say();
  if (!project().model) {
    host.replaceChildren(section(words.howGood, make("p", {}, words.noModel)));
    let isAsked = false;
    return {
      refresh(state) {
        if (!state.model || isAsked) return;
        isAsked = true;
        loading(() => seeView(host));
      },
    };
  }
  const result = await get(here("/result"));
  const first = result.sentences.map((sentence, place) => make("p", { className: place ? "" : "sentence" }, inBoth(sentence)));
  const behind = project().counts.labelled - result.examples;
  host.replaceChildren(
    section(words.howGood, ...first, result.forecast ? make("p", {}, inBoth(result.forecast)) : null, learningCurve(),
      behind > 0 ? make("p", {}, words.behind(count(behind))) : null),
    trySection(),
    isDrawn() ? section(words.drawnMistakes, make("p", { className: "faint" }, drawnAs() === "masks" ? words.paintedMistakesHint : words.drawnMistakesHint), drawnMistakes(result.drawn_errors))
      : section(words.mistakes(count(result.error_count)), make("p", { className: "faint" }, words.mistakesHint), mistakes(result.errors)),
    result.suspects.length ? section(words.suspects(count(result.suspects.length)), make("p", { className: "faint" }, words.suspectsHint), suspects(result.suspects)) : "",
    !result.scores.confusion?.length ? "" : section(words.confusion, make("p", { className: "faint" }, words.confusionHint), confusion(result)),
    section(words.ladder, ladder(result.rungs), leftOut(result.left_out)));
  return {};
}

const leftOut = (some) => some.length
  ? make("details", {}, make("summary", {}, say().notTried), make("ul", {}, some.map(({ name, why }) => make("li", {}, `${name}: ${inBoth(why)}`))))
  : null;
