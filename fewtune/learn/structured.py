"""Learn answers that are not classes: boxes, masks, translations.

A fit is dear here, so the budget decides first: each rung is given an equal part of what is left, plans
what it does in that time, and is scored on held-out examples. The best by the primary metric is tuned on
everything.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fewtune.errors import RecipeError
from fewtune.evaluate.structured import (
    answered,
    compare_answers,
    part_of,
    primary,
    selection_optimism,
    structured_scores,
)
from fewtune.interfaces import (
    Fitted,
    Method,
    RunContext,
    StructuredCandidate,
    StructuredTask,
    StructuredTrial,
    StructuredTuner,
    TuningError,
)
from fewtune.learn.gains import back_translated_gain
from fewtune.learn.learnt import Learnt, json_lines, nothing_to_try, parity_inputs, resolved
from fewtune.recipe import Recipe
from fewtune.runtime.structured import StructuredRuntime
from fewtune.types import Comparison, Dataset, LeftOut, Resampling, Rung, Scores

BASELINE = "none"
# Share of the budget that one fold may take where all are tried.
_FOLD_SHARE = 1 / 10
# A dearer rung must be better by this share of the metric's full scale.
_NEAR_TIE = 0.002


OnTest = Callable[[StructuredRuntime], tuple[Scores, dict[str, bytes]]]


@dataclass(frozen=True, slots=True)
class _Tried:
    candidate: StructuredCandidate
    trial: StructuredTrial
    resampling: Resampling
    seconds: float
    predicted: float
    after: float


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What is delivered, and how it was found."""

    winner: StructuredCandidate
    fitted: Fitted
    settings: dict[str, Any]
    scores: Scores
    rungs: tuple[Rung, ...]
    left_out: tuple[LeftOut, ...]
    resampling: str
    comparisons: tuple[Comparison, ...]
    private: dict[str, bytes]
    on_test: OnTest | None = None


def learn_structured(
    task: StructuredTask,
    methods: Sequence[Method],
    dataset: Dataset,
    test: Dataset | None,
    recipe: Recipe,
    run: RunContext,
) -> Learnt:
    """Try the rungs, tune the best on everything, and score it.

    With test data and a single rung nothing has to be held out, and all of the budget goes to the one fit.

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
    candidates, not_offered = offers(methods, dataset, recipe)
    if not candidates:
        raise nothing_to_try(not_offered)
    if test is not None and len(candidates) == 1:
        delivery = _fit_only(task, candidates[0], dataset, test, run)
    else:
        delivery = _climb(task, candidates, dataset, test, run)
    winner = delivery.winner
    return Learnt(
        fitted=delivery.fitted,
        recipe=resolved(
            recipe,
            task,
            method=winner.method,
            model=winner.model,
            settings=delivery.settings,
            augment=str(delivery.settings.get("augment", recipe.augment)),
            threads=run.threads,
        ),
        model=winner.model,
        scores=delivery.scores,
        rungs=delivery.rungs,
        left_out=(*not_offered, *delivery.left_out),
        resampling=delivery.resampling,
        private=delivery.private,
        disagreement=_disagreement(task, dataset, delivery.fitted),
        parity_tolerance=task.parity_tolerance,
        comparisons=delivery.comparisons,
        unlabelled=back_translated_gain(dataset, delivery.rungs, delivery.settings, task.primary_metric),
        on_test=delivery.on_test,
    )


def offers(
    methods: Sequence[Method], dataset: Dataset, recipe: Recipe
) -> tuple[list[StructuredCandidate], tuple[LeftOut, ...]]:
    """The rungs that the methods offer, and those that they cannot offer, with the reason."""
    made = [method.candidates(dataset, recipe) for method in methods if isinstance(method, StructuredTuner)]
    candidates = [candidate for found, _ in made for candidate in found]
    return candidates, tuple(reason for _, left_out in made for reason in left_out)


def _fit_only(
    task: StructuredTask, candidate: StructuredCandidate, dataset: Dataset, test: Dataset, run: RunContext
) -> _Delivery:
    """One rung, all of the budget, scored on the test data."""
    plan = _planned(candidate, dataset, run.seconds_left, run)
    if plan["why"]:
        raise RecipeError(f"{candidate.name} could not be tuned: {plan['why']}.", where=f"--method {candidate.method}")
    try:
        fitted = candidate.fit(dataset, plan["settings"], _without(plan["after"], run))
    except TuningError as error:
        raise RecipeError(f"{candidate.name} could not be tuned: {error}.") from None
    settings = {**plan["settings"], **fitted.settings}
    answers = fitted.reference([example.input for example in test])
    scores, private = _tested(task, test, dataset.labels, answers)
    rung = Rung(
        name=candidate.name,
        method=candidate.method,
        model=candidate.model,
        settings=settings,
        scores=scores,
        expected_log_loss=np.nan,
        seconds=0.0,
        predicted_seconds=plan["seconds"],
        resampling="none: test data were given",
        tune_seconds=fitted.seconds,
    )
    # Nothing was held out; what it learnt from is remembered all the same.
    private["out_of_fold.jsonl"] = _answers(task, dataset, dataset.labels, [None] * len(dataset))
    on_test = _on_test(task, test, dataset.labels)
    return _Delivery(candidate, fitted, settings, scores, (rung,), (), rung.resampling, (), private, on_test)


def _tested(
    task: StructuredTask,
    test: Dataset,
    labels: tuple[str, ...],
    answers: Sequence[Any],
    before: Sequence[Any] | None = None,
) -> tuple[Scores, dict[str, bytes]]:
    """Scores on the test data, and the private file that holds the answers; `before` are the untouched model's."""
    how = f"on {len(test)} test examples ({test.source}) that chose nothing"
    scores = structured_scores(task, test, labels, answers, task.groups(test), how=how, baseline=before)
    return scores, {"test.jsonl": _answers(task, test, labels, answers, before)}


def _on_test(
    task: StructuredTask, test: Dataset, labels: tuple[str, ...], before: Sequence[Any] | None = None
) -> OnTest:
    """What the test data say of another bundle than the one that was tuned."""
    return lambda runtime: _tested(task, test, labels, runtime.answers([example.input for example in test]), before)


def _climb(
    task: StructuredTask,
    candidates: Sequence[StructuredCandidate],
    dataset: Dataset,
    test: Dataset | None,
    run: RunContext,
) -> _Delivery:
    """Try all candidates on held-out examples, and tune the best of them on everything."""
    resampling = task.resample(dataset, run)
    tried: list[_Tried] = []
    left_out: list[LeftOut] = []
    for place, candidate in enumerate(candidates):
        found, why = _try(candidate, len(candidates) - place, dataset, resampling, run)
        tried.extend(found)
        if why:
            left_out.append(LeftOut(candidate.name, why))
    taken, fitted = _fit_best(task, tried, left_out, dataset, run)
    best, groups = tried[taken], resampling.groups
    contenders = [some.trial.answers for some in tried]
    optimism = selection_optimism(task, dataset, contenders, taken, groups, run.generator("selection"))
    rungs = tuple(_rung(task, some, dataset, fitted if some is best else None) for some in tried)
    compared = [
        compare_answers(
            task,
            dataset,
            (best.trial.answers, some.trial.answers),
            (_name(best, tried), _name(some, tried)),
            groups,
            optimism=optimism,
        )
        for some in tried
        if some is not best
    ]
    untouched = next((some for some in tried if some.candidate.method == BASELINE), None)
    before = None if untouched is None or untouched is best else untouched.trial.answers
    private = {"out_of_fold.jsonl": _answers(task, dataset, dataset.labels, best.trial.answers, before)}
    on_test = None
    if test is None:
        scores = structured_scores(
            task,
            dataset,
            dataset.labels,
            best.trial.answers,
            groups,
            how=f"out of fold ({best.resampling.name}), corrected for the choice among what was tried",
            baseline=before,
            optimism=optimism,
            out_of_fold=True,
        )
    else:
        inputs = [example.input for example in test]
        answers = fitted.reference(inputs)
        before = None if untouched is best else _untouched_answers(untouched, dataset, inputs, run)
        scores, tested = _tested(task, test, dataset.labels, answers, before)
        private |= tested
        on_test = _on_test(task, test, dataset.labels, before)
    return _Delivery(
        winner=best.candidate,
        fitted=fitted,
        settings={**best.trial.settings, **fitted.settings},
        scores=scores,
        rungs=rungs,
        left_out=tuple(left_out),
        resampling=best.resampling.name,
        comparisons=tuple(comparison for comparison in compared if comparison is not None),
        private=private,
        on_test=on_test,
    )


def _try(
    candidate: StructuredCandidate, waiting: int, dataset: Dataset, resampling: Resampling, run: RunContext
) -> tuple[list[_Tried], str]:
    """Score a candidate on as many of the folds as the budget allows; the reason, where it was not to be."""
    # A clock that a resumed run reads alike.
    share = run.journal.once(f"share of {candidate.name}", lambda: share_of(run.seconds_left, waiting))
    plan = _planned(candidate, dataset, share, run)
    if plan["why"]:
        return [], plan["why"]
    some = resampling.first(folds_within(plan["seconds"], resampling, run.budget_seconds))
    predicted = plan["seconds"] * len(some.splits)
    started = time.monotonic()
    until = run.journal.once(f"end of {candidate.name}", lambda: run.journal.elapsed + max(share, predicted))
    part = _without(plan["after"] * len(some.splits), replace(run, budget_seconds=until))
    try:
        trials = candidate.cross_fit(dataset, some, plan["settings"], part)
    except TuningError as error:
        return [], str(error)
    seconds = run.journal.once(f"seconds of {candidate.name}", lambda: time.monotonic() - started)
    return [_Tried(candidate, trial, some, seconds, predicted, plan["after"]) for trial in trials], ""


def _planned(candidate: StructuredCandidate, dataset: Dataset, seconds: float, run: RunContext) -> dict[str, Any]:
    """The candidate's plan, or why there is none; decided once."""

    def decide() -> dict[str, Any]:
        try:
            plan = candidate.plan(dataset, seconds, run)
        except TuningError as error:
            return {"settings": {}, "seconds": 0.0, "after": 0.0, "why": str(error)}
        return {"settings": dict(plan.settings), "seconds": plan.seconds, "after": plan.after, "why": ""}

    return run.journal.once(f"plan of {candidate.name}", decide)


def _without(seconds: float, run: RunContext) -> RunContext:
    """The run with so much less of a budget."""
    return replace(run, budget_seconds=run.budget_seconds - seconds)


def share_of(seconds: float, waiting: int) -> float:
    """What one fit may take where so many rungs wait: equal parts, with one for tuning the best on everything."""
    return max(0.0, seconds) / (waiting + 1)


def folds_within(seconds: float, resampling: Resampling, budget_seconds: float) -> int:
    """How many folds go with what one takes: all of one repeat, since a trial holds one answer an example, or one."""
    return resampling.folds if seconds <= _FOLD_SHARE * budget_seconds else 1


def _fit_best(
    task: StructuredTask, tried: list[_Tried], left_out: list[LeftOut], dataset: Dataset, run: RunContext
) -> tuple[int, Fitted]:
    """The place of the best rung, tuned on everything; where that fails, the next best stands in for it."""
    if not tried:
        reasons = "; ".join(f"{some.name}: {some.why}" for some in left_out)
        raise RecipeError(f"Nothing could be tuned: {reasons}.", how="Give a longer --budget, or another --method.")
    for place in _ranking(task, tried, dataset):
        some = tried[place]
        try:
            return place, some.candidate.fit(dataset, some.trial.settings, _without(some.after, run))
        except TuningError as error:
            run.progress.say(f"{some.candidate.name} could not be tuned on everything ({error}); the next best is")
            left_out.append(LeftOut(some.candidate.name, f"on all of the data, {error}", tried=True))
    raise RecipeError("Nothing could be tuned on all of the data.", how="Give a longer --budget, or another --method.")


def _ranking(task: StructuredTask, tried: Sequence[_Tried], dataset: Dataset) -> list[int]:
    """Places of the rungs, best first, by what all of them answered; of near-ties the first, the cheapest, leads."""
    seen = answered(*(some.trial.answers for some in tried))
    part, ones = part_of(dataset, seen), np.ones((1, len(seen)))
    values = [primary(task, part, [some.trial.answers[i] for i in seen], ones)[0] for some in tried]
    sign = -1 if task.lower_is_better else 1
    values = [float(value) for value in np.nan_to_num(sign * np.array(values), nan=-np.inf)]
    scale = task.full_scale.get(task.primary_metric, 1.0)
    # Of a metric without an end, the share is of the value itself.
    near = max(values) - _NEAR_TIE * (abs(max(values)) if math.isinf(scale) else scale)
    leader = next(place for place, value in enumerate(values) if value >= near)
    rest = sorted((place for place in range(len(tried)) if place != leader), key=lambda place: -values[place])
    return [leader, *rest]


def _rung(task: StructuredTask, some: _Tried, dataset: Dataset, fitted: Fitted | None) -> Rung:
    how = f"out of fold: {some.resampling.name}"
    scores = structured_scores(
        task, dataset, dataset.labels, some.trial.answers, some.resampling.groups, how=how, out_of_fold=True
    )
    return Rung(
        name=some.candidate.name,
        method=some.candidate.method,
        model=some.candidate.model,
        settings=some.trial.settings,
        scores=scores,
        expected_log_loss=np.nan,
        seconds=some.seconds,
        predicted_seconds=some.predicted,
        resampling=some.resampling.name,
        tune_seconds=None if fitted is None else fitted.seconds,
    )


def _name(some: _Tried, tried: Sequence[_Tried]) -> str:
    """A rung's name; with its place among its trials where there are several."""
    own = [other for other in tried if other.candidate is some.candidate]
    return some.candidate.name if len(own) == 1 else f"{some.candidate.name} ({own.index(some) + 1})"


def _untouched_answers(
    untouched: _Tried | None, dataset: Dataset, inputs: Sequence[Any], run: RunContext
) -> Sequence[Any] | None:
    if untouched is None:
        return None
    return untouched.candidate.fit(dataset, untouched.trial.settings, run).reference(inputs)


def _answers(
    task: StructuredTask,
    dataset: Dataset,
    labels: tuple[str, ...],
    answers: Sequence[Any],
    before: Sequence[Any] | None = None,
) -> bytes:
    """A JSON line an example: its input, what it should be, and what the model answered; before tuning, too."""

    def written(answer: Any) -> Any:
        return None if answer is None else task.answer_as_json(answer, labels)

    rows = [
        {
            "place": example.place,
            "input": str(example.input),
            "target": task.target_as_json(example, labels),
            "answer": written(answer),
        }
        for example, answer in zip(dataset, answers, strict=True)
    ]
    if before is not None:
        rows = [{**row, "before": written(answer)} for row, answer in zip(rows, before, strict=True)]
    return json_lines(rows)


def _disagreement(task: StructuredTask, dataset: Dataset, fitted: Fitted) -> Callable[[StructuredRuntime], float]:
    """How far the written bundle's answers are from the tuner's, at most."""

    def largest(runtime: StructuredRuntime) -> float:
        inputs = parity_inputs(task, dataset)
        pairs = zip(runtime.answers(inputs), fitted.reference(inputs), strict=True)
        return max(task.gap(first, second) for first, second in pairs)

    return largest
