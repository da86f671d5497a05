"""Scores of answers that are not classes, each with its interval.

Every metric is a function of the examples' weights, so that one way serves them all: the Bayesian
bootstrap (Rubin 1981) gives each group of examples a random weight instead of drawing some and leaving
others out. A class that stands in two pictures alone is never lost by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np

from fewtune.evaluate.intervals import OUT_OF_FOLD, OUT_OF_FOLD_VARIANCE, Interval, effective_size, wilson
from fewtune.interfaces import Measured, StructuredTask
from fewtune.types import Comparison, Dataset, FloatArray, IntArray, Score, Scores

BAYESIAN_BOOTSTRAP = "Bayesian bootstrap over groups (Rubin 1981), widened for their number (Hesterberg 2015)"
_DRAWS = 1000
_LEVEL = 0.95


def structured_scores(
    task: StructuredTask,
    dataset: Dataset,
    labels: tuple[str, ...],
    answers: Sequence[Any],
    groups: IntArray,
    *,
    how: str,
    baseline: Sequence[Any] | None = None,
    optimism: float = 0.0,
    out_of_fold: bool = False,
) -> Scores:
    """Score answers against the data's targets.

    Args:
        task: says how they are measured.
        dataset: n labelled examples.
        labels: the model's.
        answers: (n,) None where there is none: such examples are not scored.
        groups: (n,) group indices.
        how: what was scored on what, in words.
        baseline: (n,) what the untouched model answered.
        optimism: what the primary metric is too good by, since the answers were chosen by it.
        out_of_fold: whether the answers are those of cross-validation: then the intervals are wider.

    Raises:
        DataError: an example has a label that the model does not know.
    """
    seen = answered(answers, *([] if baseline is None else [baseline]))
    some = part_of(dataset, seen)
    weights = group_weights(groups[seen])
    measured = task.measure(some, labels, [answers[i] for i in seen], weights)
    variance = OUT_OF_FOLD_VARIANCE if out_of_fold else 1.0
    scales = {name: task.full_scale.get(name, 1.0) for name in measured.metrics}

    def scores(values: Mapping[str, FloatArray]) -> dict[str, Score]:
        return {
            name: _score(draws, groups[seen], variance, scales.get(name, 1.0), _corrected(task, name, optimism))
            for name, draws in values.items()
        }

    gain = None
    if baseline is not None:
        untouched = task.measure(some, labels, [baseline[i] for i in seen], weights)
        better, worse = (untouched, measured) if task.lower_is_better else (measured, untouched)
        # A gain is above 0 where the model is better, whichever way the metric goes.
        gain = _difference(task, better, worse, groups[seen], variance, optimism)
    return Scores(
        metrics=scores(measured.metrics),
        per_class={label: scores(values) for label, values in measured.per_class.items()},
        support=task.counts(some),
        gain_over_baseline=gain,
        how=how,
    )


def compare_answers(
    task: StructuredTask,
    dataset: Dataset,
    answers: tuple[Sequence[Any], Sequence[Any]],
    names: tuple[str, str],
    groups: IntArray,
    *,
    optimism: float = 0.0,
) -> Comparison | None:
    """Compare two rungs' out-of-fold answers by the primary metric; None where no example was answered by both."""
    seen = answered(*answers)
    if not len(seen):
        return None
    some, weights = part_of(dataset, seen), group_weights(groups[seen])
    first, second = (task.measure(some, dataset.labels, [each[i] for i in seen], weights) for each in answers)
    signed = _corrected(task, task.primary_metric, optimism)
    difference = _difference(task, first, second, groups[seen], OUT_OF_FOLD_VARIANCE, signed)
    low, high = difference.low, difference.high
    declared = low is not None and high is not None and (low > 0 or high < 0)
    words = _in_words(*names, task, difference, declared)
    return Comparison(*names, task.primary_metric, difference, declared, words)


def paired_drop(
    task: StructuredTask,
    dataset: Dataset,
    labels: tuple[str, ...],
    before: Sequence[Any],
    after: Sequence[Any],
    groups: IntArray,
    level: float,
) -> Score:
    """How much of the primary metric is lost from one set of answers to another, as a share of its full scale.

    Args:
        task: says how they are measured.
        dataset: n labelled examples.
        labels: the model's.
        before, after: (n,) answers.
        groups: (n,) group indices.
        level: of the interval; its upper end is a one-sided bound of (1 + level) / 2.
    """
    weights = group_weights(groups)
    first, second = (
        task.measure(dataset, labels, answers, weights).metrics[task.primary_metric] for answers in (before, after)
    )
    draws = (second - first) if task.lower_is_better else (first - second)
    scale = task.full_scale.get(task.primary_metric, 1.0)
    return _score(draws / (abs(first[0]) if math.isinf(scale) else scale), groups, 1.0, math.inf, 0.0, level)


def selection_optimism(
    task: StructuredTask,
    dataset: Dataset,
    contenders: Sequence[Sequence[Any]],
    taken: int,
    groups: IntArray,
    generator: np.random.Generator,
) -> float:
    """How much better the taken answers look than they are, because they were chosen on the same examples.

    Bootstrap bias-corrected cross-validation (Tsamardinos, Greasidou & Borboudakis 2018): what is best
    among groups drawn with replacement is scored on those not drawn, beside what was taken.

    Returns:
        What the primary metric is too good by; at least 0.
    """
    seen = answered(*contenders)
    if len(contenders) == 1 or not len(seen):
        return 0.0
    some = part_of(dataset, seen)
    drawn = _drawn(groups[seen], generator)
    inside, outside = (
        np.array([primary(task, some, [each[i] for i in seen], weights) for each in contenders])
        for weights in (drawn, (drawn == 0).astype(float))
    )
    sign = -1 if task.lower_is_better else 1
    best = np.nan_to_num(sign * inside, nan=-math.inf).argmax(axis=0)
    gaps = sign * (outside[taken] - outside[best, np.arange(outside.shape[1])])
    return max(0.0, float(np.nanmean(gaps))) if np.isfinite(gaps).any() else 0.0


def primary(task: StructuredTask, dataset: Dataset, answers: Sequence[Any], weights: FloatArray) -> FloatArray:
    """(draws,) the primary metric of answers to all of the examples."""
    return task.measure(dataset, dataset.labels, answers, weights).metrics[task.primary_metric]


def answered(*answers: Sequence[Any]) -> IntArray:
    """Indices of the examples that have an answer in each of the lists."""
    return np.array([i for i, row in enumerate(zip(*answers, strict=True)) if all(a is not None for a in row)], int)


def part_of(dataset: Dataset, indices: IntArray) -> Dataset:
    """The examples of these indices."""
    return replace(dataset, examples=tuple(dataset.examples[i] for i in indices))


def group_weights(groups: IntArray, draws: int = _DRAWS) -> FloatArray:
    """(1 + draws, n) weights: the first row is of ones, the others give each group a weight of mean 1.

    The same for the same groups, so that what is compared is weighted alike.
    """
    _, member_of = np.unique(groups, return_inverse=True)
    count = int(member_of.max(initial=-1)) + 1
    drawn = np.random.default_rng(0).exponential(size=(draws, count))
    drawn *= count / np.maximum(drawn.sum(axis=1, keepdims=True), 1e-12)
    return np.vstack([np.ones(len(groups)), drawn[:, member_of]])


def _drawn(groups: IntArray, generator: np.random.Generator, draws: int = 200) -> FloatArray:
    """(draws, n) how often each example was drawn, with its group, with replacement."""
    _, member_of = np.unique(groups, return_inverse=True)
    count = int(member_of.max()) + 1
    chosen = generator.integers(count, size=(draws, count))
    times = np.stack([np.bincount(row, minlength=count) for row in chosen])
    return times[:, member_of].astype(float)


def _corrected(task: StructuredTask, metric: str, optimism: float) -> float:
    """What is to be subtracted from a metric; below 0 where less is better."""
    if metric != task.primary_metric:
        return 0.0
    return -optimism if task.lower_is_better else optimism


def _difference(
    task: StructuredTask, first: Measured, second: Measured, groups: IntArray, variance: float, optimism: float
) -> Score:
    name = task.primary_metric
    draws = first.metrics[name] - second.metrics[name]
    return _score(draws, groups, variance, math.inf, optimism)


def _score(
    draws: FloatArray, groups: IntArray, variance: float, scale: float, optimism: float, level: float = _LEVEL
) -> Score:
    """A score of its value under equal weights (the first draw) and under random ones."""
    value = float(draws[0])
    count = len(np.unique(groups))
    method = BAYESIAN_BOOTSTRAP if variance == 1 else f"{BAYESIAN_BOOTSTRAP}; {OUT_OF_FOLD}"
    if math.isnan(value):
        return Score(math.nan, None, None, count, level, method)
    low, high = _interval(value, draws[1:], groups, variance, scale, level)
    if low is not None and high is not None:
        # The correction may itself be too large, so the better end stays.
        low, high = _bounded(low - max(0.0, optimism), scale), _bounded(high - min(0.0, optimism), scale)
    return Score(_bounded(value - optimism, scale), low, high, count, level, method)


def _bounded(value: float, scale: float) -> float:
    return value if math.isinf(scale) else min(max(0.0, value), scale)


def _interval(
    value: float, draws: FloatArray, groups: IntArray, variance: float, scale: float, level: float
) -> Interval:
    """Percentiles of the draws, as far out as Student's t asks for so many groups; unknown with fewer than two.

    The draws never go beyond the extremes of the groups, which with few of them is not far enough. So the interval
    is at least that of Student's t; the draws' variance is (n - 1) / (n + 1) of that of a mean.
    """
    from scipy.stats import t

    size = effective_size(groups)
    known = draws[np.isfinite(draws)]
    if size < 2 or not len(known):
        return None, None
    if known.max() - known.min() <= 1e-9 * max(1.0, abs(value)):
        return _unvaried(value, size / variance, scale)
    student = float(t.ppf(0.5 + level / 2, size - 1))
    reach = student * math.sqrt(size / (size - 1))
    # Beyond what the draws can show, the farthest of them stands for the rest.
    tail = max(NormalDist().cdf(-reach), 1 / len(known))
    low, high = (float(end) for end in np.quantile(known, [tail, 1 - tail]))
    least = student * float(known.std()) * math.sqrt((size + 1) / (size - 1))
    wider = math.sqrt(variance)
    low, high = value - wider * max(least, value - low), value + wider * max(least, high - value)
    return (low, high) if math.isinf(scale) else (max(0.0, low), min(scale, high))


def _unvaried(value: float, size: float, scale: float) -> Interval:
    """All examples say the same, all right, say: then the interval is that of a proportion, else it is not known."""
    if math.isinf(scale) or not 0 <= value <= scale:
        return None, None
    low, high = wilson(value / scale, size, _LEVEL)
    return (None, None) if low is None or high is None else (scale * low, scale * high)


def _in_words(rung: str, against: str, task: StructuredTask, difference: Score, declared: bool) -> str:
    more = f"In {task.primary_metric}, {rung} is {abs(difference.value):.3g} "
    more += f"{'above' if difference.value >= 0 else 'below'} {against}"
    if difference.low is None or difference.high is None:
        return f"{more}: by how much that is chance cannot be known."
    verdict = "that can still be chance"
    if declared:
        better = (difference.low > 0) != task.lower_is_better
        verdict = "it is really better" if better else "it is really worse"
    return f"{more} (between {difference.low:+.3g} and {difference.high:+.3g}): {verdict}."
