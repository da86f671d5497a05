"""What choosing the best of several adds to its score, and whether one is really better than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.evaluate import intervals
from fewtune.evaluate.metrics import Outcome, calibration_error, confusion_matrix, confusion_metrics
from fewtune.types import IntArray

_DRAWS = 200
_LOWER_IS_BETTER = ("log_loss", "ece")


def selection_optimism(outcomes: Sequence[Outcome], generator: np.random.Generator) -> dict[str, float]:
    """How much better the chosen trial looks than it is, because it was chosen on the same folds.

    Bootstrap bias-corrected cross-validation (Tsamardinos, Greasidou & Borboudakis 2018, Machine
    Learning 107): groups are drawn with replacement, the trial of least log loss among the drawn is
    scored on those not drawn, and compared there with the trial that all the data chose.

    Args:
        outcomes: one for each trial, on the same examples and folds.
        generator: draws the groups.

    Returns:
        Metric to what must be subtracted from its plain value: at least 0 for metrics where more is
        better, at most 0 for losses. All 0 with a single trial.
    """
    first = outcomes[0]
    names = [*confusion_metrics(np.eye(2)), *_LOWER_IS_BETTER]
    if len(outcomes) == 1:
        return dict.fromkeys(names, 0.0)
    losses = np.array([outcome.losses for outcome in outcomes])
    known = ~np.isnan(losses[0])
    losses = np.where(known, losses, 0.0)
    chosen = int(losses.sum(axis=1).argmin())
    _, member_of = np.unique(first.groups, return_inverse=True)
    count = int(member_of.max()) + 1
    gaps: list[dict[str, float]] = []
    for _ in range(_DRAWS):
        weight = np.bincount(generator.integers(count, size=count), minlength=count)[member_of]
        winner = int((losses @ weight).argmin())
        out = np.flatnonzero((weight == 0) & known)
        if winner == chosen:
            gaps.append(dict.fromkeys(names, 0.0))
        elif len(out):
            ours, theirs = (_metrics(outcomes[i], out) for i in (chosen, winner))
            gaps.append({name: ours[name] - theirs[name] for name in names})
    means = {name: float(np.mean([gap[name] for gap in gaps])) for name in names}
    return {name: min(0.0, gap) if name in _LOWER_IS_BETTER else max(0.0, gap) for name, gap in means.items()}


def _metrics(outcome: Outcome, chosen: IntArray) -> dict[str, float]:
    targets = outcome.targets[chosen]
    repeats = [i for i in range(len(outcome.seen)) if outcome.seen[i, chosen].any()]
    each = [
        confusion_metrics(confusion_matrix(targets, outcome.predicted[i, chosen], outcome.classes)) for i in repeats
    ]
    found = {name: float(np.mean([metrics[name] for metrics in each])) for name in each[0]}
    found["log_loss"] = float(np.nanmean(outcome.losses[chosen]))
    found["ece"] = calibration_error(outcome, repeats[0], chosen)
    return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """One rung against another on the same examples.

    Attributes:
        difference: accuracy of the first minus that of the second.
        low, high: its interval.
        declared: whether the interval leaves 0 out: only then is one called better.
    """

    difference: float
    low: float
    high: float
    declared: bool


def compare(first: Outcome, second: Outcome, level: float = 0.95) -> Comparison:
    """Compare two classifiers' accuracy, example by example."""
    seen = first.seen & second.seen
    a = (first.predicted == first.targets)[seen]
    b = (second.predicted == second.targets)[seen]
    better, worse = float((a & ~b).mean()), float((~a & b).mean())
    low, high = intervals.paired_difference(better, worse, intervals.effective_size(first.groups), level)
    assert low is not None
    assert high is not None
    return Comparison(better - worse, low, high, declared=low > 0 or high < 0)
