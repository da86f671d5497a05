"""Learn classes: climb the ladder, tune what is best on everything, and say how good it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from fewtune import catalog
from fewtune.errors import RecipeError
from fewtune.evaluate.learning_curve import FRACTIONS, learning_curve, smaller, training_size
from fewtune.interfaces import Candidate, ClassifierTask, Fitted, Method, RunContext, Tuner, TuningError
from fewtune.journal import Journal
from fewtune.ladder import Climb, NothingTriedError, climb, comparisons
from fewtune.learn.gains import unlabelled_gain
from fewtune.learn.learnt import Learnt, json_lines, learns_unlabelled, nothing_to_try, parity_inputs, resolved
from fewtune.progress import SilentProgress
from fewtune.recipe import Recipe
from fewtune.runtime.answers import SCOPE_FILE
from fewtune.runtime.classification import ClassifierRuntime
from fewtune.tune.blend import BlendCandidate
from fewtune.types import (
    AnswerRules,
    CurvePoint,
    Dataset,
    Example,
    FloatArray,
    LearningCurve,
    LeftOut,
    Resampling,
    Rung,
    Scores,
    Suspect,
)

_PARITY_TOLERANCE = 1e-4
# Share of the budget that the learning curve may take.
_CURVE_SHARE = 0.1


def learn_classes(
    task: ClassifierTask,
    methods: Sequence[Method],
    dataset: Dataset,
    test: Dataset | None,
    recipe: Recipe,
    run: RunContext,
) -> Learnt:
    """Climb the ladder, tune the winner on everything, score it, and look at what its answers teach.

    Args:
        task: what is learnt.
        methods: those that may be tried.
        dataset: labelled examples.
        test: others, to score the finished model on; they choose nothing.
        recipe: every setting.
        run: what all parts share.

    Raises:
        RecipeError: there is nothing to try, or nothing could be tuned.
    """
    climbed, not_offered = _climb(_tuners(methods), dataset, recipe, task, run)
    climbed, fitted = _fit_winner(climbed, dataset, run)
    rungs = _with_tune_seconds(climbed, fitted)
    tested = None if test is None else fitted.reference([example.input for example in test])
    scores = _evaluate(task, dataset, test, tested, climbed)
    rules = task.answer_rules(dataset, climbed.winner.trial, climbed.winner.resampling.groups, run)
    fitted = _with_scope(fitted, rules)
    suspects = task.suspects(dataset, climbed.winner.trial, fitted, run)
    again = _resolved(recipe, task, climbed, run.threads)
    return Learnt(
        fitted=fitted,
        recipe=again,
        model=climbed.winner.candidate.model,
        scores=scores,
        rungs=rungs,
        left_out=not_offered + climbed.left_out,
        resampling=climbed.winner.resampling.name,
        private=_private(dataset, test, tested, climbed, suspects),
        disagreement=_disagreement(task, dataset, fitted),
        parity_tolerance=_PARITY_TOLERANCE,
        answer_rules=rules,
        comparisons=comparisons(climbed, task.targets(dataset, dataset.labels)),
        learning_curve=_learning_curve(task, dataset, again, climbed, rungs, scores, run),
        suspects=suspects or (),
        unlabelled=unlabelled_gain(dataset, rungs, climbed.winner.trial.settings),
        on_test=None if test is None else _on_test(task, test, dataset.labels),
    )


def _tuners(methods: Sequence[Method]) -> list[Tuner]:
    return [method for method in methods if isinstance(method, Tuner)]


def _resolved(recipe: Recipe, task: ClassifierTask, climbed: Climb, threads: int) -> Recipe:
    candidate, settings = climbed.winner.candidate, climbed.winner.trial.settings
    # A blend names its members' models in its settings, and the views that they learn from.
    model = "auto" if candidate.method == BlendCandidate.method else candidate.model
    augment = str(settings.get("augment", "none"))
    return resolved(
        recipe, task, method=candidate.method, model=model, settings=settings, augment=augment, threads=threads
    )


def _climb(
    tuners: Sequence[Tuner], dataset: Dataset, recipe: Recipe, task: ClassifierTask, run: RunContext
) -> tuple[Climb, tuple[LeftOut, ...]]:
    """Climb the ladder; where not even the rungs asked for could be had, the frozen ones stand in for them."""
    resampling = task.resample(dataset, run)
    candidates, not_offered = _offers(tuners, dataset, recipe)
    if not candidates:
        raise nothing_to_try(not_offered)
    temperature = recipe.settings.get("temperature")
    try:
        search = recipe.method == "auto"
        return climb(candidates, dataset, resampling, task, run, temperature=temperature, search=search), not_offered
    except NothingTriedError as error:
        stand_ins = catalog.stand_ins(recipe, task)
        if not stand_ins:
            raise RecipeError(f"Nothing could be tuned: {error}.", where=f"--method {recipe.method}") from None
        run.progress.say(f"The frozen encoder stands in for {recipe.method}: {error}")
        instead, more = _offers(stand_ins, dataset, recipe)
        return climb(
            instead, dataset, resampling, task, run, temperature=temperature
        ), not_offered + error.left_out + more


def _fit_winner(climbed: Climb, dataset: Dataset, run: RunContext) -> tuple[Climb, Fitted]:
    """Tune the winner on everything; where that fails, the next best stands in for it."""
    while True:
        winner = climbed.winner
        try:
            return climbed, winner.candidate.fit(dataset, winner.trial.settings, run)
        except TuningError as error:
            if len(climbed.winners) == 1:
                raise RecipeError(f"Nothing could be tuned on all of the data: {error}.") from None
            run.progress.say(f"{winner.candidate.name} could not be tuned on everything ({error}); the next best is")
            climbed = climbed.without_winner(f"on all of the data, {error}")


def _offers(tuners: Sequence[Tuner], dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], tuple[LeftOut, ...]]:
    offers = [tuner.candidates(dataset, recipe) for tuner in tuners]
    candidates = [candidate for found, _ in offers for candidate in found]
    return candidates, tuple(reason for _, left_out in offers for reason in left_out)


def _with_tune_seconds(climbed: Climb, fitted: Fitted) -> tuple[Rung, ...]:
    rungs = list(climbed.rungs)
    rungs[climbed.winner.place] = replace(rungs[climbed.winner.place], tune_seconds=fitted.seconds)
    return tuple(rungs)


def _learning_curve(
    task: ClassifierTask,
    dataset: Dataset,
    again: Recipe,
    climbed: Climb,
    rungs: Sequence[Rung],
    scores: Scores,
    run: RunContext,
) -> LearningCurve:
    """What was taken, trained on parts of the data, where the budget allows; and what more labels would bring."""
    winner, rung = climbed.winner, rungs[climbed.winner.place]
    if not learns_unlabelled(winner.trial.settings):
        dataset = replace(dataset, unlabelled=None)
    # The clock decides once: a resumed run draws the same curve.
    folds = run.journal.once("folds of the learning curve", lambda: _curve_folds(rungs, rung, winner.resampling, run))
    resampling = winner.resampling.first(max(1, folds))
    points: list[CurvePoint] = []
    if folds:
        with run.progress.step("Learning curve", total=len(FRACTIONS)) as step:
            for fraction in FRACTIONS:
                point = _curve_point(task, dataset, again, resampling, fraction, run)
                if point is None:
                    points = []
                    break
                points.append(point)
                step.advance()
    full = _scored_on(task, dataset, winner.trial.log_probs, resampling)
    now = scores[task.primary_metric]
    return learning_curve(rung.name, task.primary_metric, [*points, full], now, len(dataset), len(dataset.labels))


def _curve_folds(rungs: Sequence[Rung], rung: Rung, resampling: Resampling, run: RunContext) -> int:
    """How many of the folds the learning curve is measured on; 0 where the budget has no room for it."""
    members = [some.seconds for some in rungs if some.name in rung.name.split(" + ")]
    seconds = sum(FRACTIONS) * (sum(members) or rung.seconds)
    allowed = min(_CURVE_SHARE * run.budget_seconds, run.seconds_left / 2)
    if seconds <= allowed:
        return len(resampling.splits)
    return 1 if seconds / len(resampling.splits) <= allowed else 0


def _curve_point(
    task: ClassifierTask, dataset: Dataset, again: Recipe, resampling: Resampling, fraction: float, run: RunContext
) -> CurvePoint | None:
    """What training on a part gives; None where it could not be had, or not on all of the folds."""
    some = smaller(
        resampling, task.targets(dataset, dataset.labels), fraction, run.generator("learning curve", fraction)
    )
    # Trainings on parts are others than those of the journal, whatever their folds are called.
    place = run.work / f"curve-{fraction}"
    place.mkdir(exist_ok=True)
    apart = replace(run, journal=Journal(place), budget_seconds=max(1.0, run.seconds_left), progress=SilentProgress())
    (candidate,), _ = _offers(catalog.find_tuners(again, task), dataset, again)
    try:
        (trial,) = candidate.cross_fit(dataset, some, apart)
    except TuningError:
        return None
    answered = np.asarray(np.isfinite(trial.log_probs[:, :, 0]).any(axis=0))
    if not all(answered[split.valid].all() for split in some.splits):
        return None
    return _scored_on(task, dataset, trial.log_probs, some)


def _scored_on(task: ClassifierTask, dataset: Dataset, log_probs: FloatArray, resampling: Resampling) -> CurvePoint:
    """Out-of-fold answers scored on these folds alone."""
    kept = np.full_like(log_probs[: resampling.repeats], np.nan)
    for number, split in enumerate(resampling.splits):
        repeat = number // resampling.folds if len(resampling.splits) > 1 else 0
        if repeat < len(log_probs):
            kept[repeat, split.valid] = log_probs[repeat, split.valid]
    scores = task.score(dataset, dataset.labels, kept, resampling.groups, how=resampling.name, out_of_fold=True)
    return CurvePoint(training_size(resampling), scores[task.primary_metric])


def _with_scope(fitted: Fitted, rules: AnswerRules) -> Fitted:
    """With the class means among the files of the bundle, where inputs of another kind can be told by them."""
    if rules.scope_threshold is None or fitted.class_means is None:
        return fitted
    from safetensors.numpy import save

    content = save({"class_means": np.ascontiguousarray(fitted.class_means, np.float32)})
    return replace(fitted, assets={**fitted.assets, SCOPE_FILE: content})


def _evaluate(
    task: ClassifierTask, dataset: Dataset, test: Dataset | None, tested: FloatArray | None, climbed: Climb
) -> Scores:
    """On the test data where there is some; else out of fold, corrected for the choice among the trials."""
    if test is not None and tested is not None:
        return _scored(task, test, dataset.labels, tested)
    how = f"out of fold ({climbed.winner.resampling.name}), corrected for the choice among what was tried"
    groups = climbed.winner.resampling.groups
    log_probs = climbed.winner.trial.log_probs
    return task.score(dataset, dataset.labels, log_probs, groups, how=how, optimism=climbed.optimism, out_of_fold=True)


def _scored(task: ClassifierTask, test: Dataset, labels: tuple[str, ...], tested: FloatArray) -> Scores:
    how = f"on {len(test)} test examples ({test.source}) that chose nothing"
    return task.score(test, labels, tested, task.groups(test), how=how)


def _on_test(
    task: ClassifierTask, test: Dataset, labels: tuple[str, ...]
) -> Callable[[ClassifierRuntime], tuple[Scores, dict[str, bytes]]]:
    """What the test data say of another bundle than the one that was tuned."""

    def score(runtime: ClassifierRuntime) -> tuple[Scores, dict[str, bytes]]:
        tested = runtime.log_probs([example.input for example in test])
        return _scored(task, test, labels, tested), {"test.jsonl": _answers(test, labels, tested)}

    return score


def _private(
    dataset: Dataset,
    test: Dataset | None,
    tested: FloatArray | None,
    climbed: Climb,
    suspects: Sequence[Suspect] | None,
) -> dict[str, bytes]:
    """What holds training content: answers to examples that were not seen (first repeat), and suspected labels."""
    files = {
        "out_of_fold.jsonl": _answers(dataset, dataset.labels, climbed.winner.trial.log_probs[0]),
    }
    if suspects is not None:
        files["label_issues.jsonl"] = json_lines(asdict(suspect) for suspect in suspects)
    if test is not None and tested is not None:
        files["test.jsonl"] = _answers(test, dataset.labels, tested)
    return files


def _answers(dataset: Dataset, labels: Sequence[str], log_probs: FloatArray) -> bytes:
    """A JSON line an example: its label, and what the model answered."""

    def line(example: Example, row: FloatArray) -> dict[str, Any]:
        found = {"place": example.place, "text": example.input, "label": example.target}
        if not np.isnan(row[0]):
            found |= {"prediction": labels[int(row.argmax())], "confidence": round(float(np.exp(row.max())), 6)}
        return found

    return json_lines(map(line, dataset, log_probs))


def _disagreement(task: ClassifierTask, dataset: Dataset, fitted: Fitted) -> Callable[[ClassifierRuntime], float]:
    """How far the written bundle's probabilities are from the tuner's, at most."""

    def largest(runtime: ClassifierRuntime) -> float:
        inputs = parity_inputs(task, dataset)
        return float(np.abs(np.exp(runtime.log_probs(inputs)) - np.exp(fitted.reference(inputs))).max())

    return largest
