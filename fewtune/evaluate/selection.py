"""Which of several is taken, what choosing it adds to its score, and whether one is really better than another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fewtune.evaluate import intervals
from fewtune.evaluate.metrics import Outcome, calibration_error, confusion_matrix, confusion_metrics
from fewtune.types import FloatArray, IntArray

_DRAWS = 200
_LOWER_IS_BETTER = ("log_loss", "ece")
# A dearer rung must be expected to lose this much less than the best cheaper one.
_NEAR_TIE = 0.01


@dataclass(frozen=True)
class Contender:
    """A rung as the choice sees it.

    Attributes:
        outcomes: one for each of its trials, calibrated.
        over: index of the cheaper contender that its prior compares it with; None: it has no prior.
        mean, sd: of the prior: natural logarithm of the ratio of its log loss to that of `over`.
    """

    outcomes: tuple[Outcome, ...]
    over: int | None = None
    mean: float = 0.0
    sd: float = 1.0

    @cached_property
    def losses(self) -> FloatArray:
        """(trials, n), NaN where an example was not validated."""
        return np.array([outcome.losses for outcome in self.outcomes])

    def means(self, weight: FloatArray) -> FloatArray:
        """(trials,) mean losses, NaN where no example that counts was validated."""
        total = self._known @ weight
        sums = self._filled @ weight
        return np.where(total > 0, sums / np.maximum(total, 1e-12), np.nan)

    @cached_property
    def _known(self) -> FloatArray:
        return (~np.isnan(self.losses)).astype(float)

    @cached_property
    def _filled(self) -> FloatArray:
        return np.nan_to_num(self.losses)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the choice sees in the contenders.

    Attributes:
        trials: the trial of each contender that loses least.
        expected: the log loss that is expected of each on new data.
        best: index of the contender that is taken.
    """

    trials: tuple[int, ...]
    expected: tuple[float, ...]
    best: int


def choose(contenders: Sequence[Contender], weight: FloatArray | None = None) -> Choice:
    """Take the contender of least expected log loss; of near-ties the first, which is the cheapest.

    What the folds say of a contender with a prior is a paired comparison with a cheaper one on the
    same examples. With few examples that is uncertain, so it is shrunk towards what other data sets
    taught (normal prior, normal likelihood): a real gain is not missed because it is not significant,
    and a lucky one is not believed.

    Args:
        contenders: cheapest first; those that a prior points to stand before it.
        weight: (n,) how often each example counts; None: once.
    """
    trials: list[int] = []
    losses: list[FloatArray] = []
    expected: list[float] = []
    for contender in contenders:
        w = np.ones(contender.losses.shape[1]) if weight is None else weight
        means = contender.means(w)
        trials.append(int(np.argmin(np.nan_to_num(means, nan=np.inf))))
        losses.append(contender.losses[trials[-1]])
        if contender.over is None:
            expected.append(float(means[trials[-1]]))
        else:
            groups = contender.outcomes[0].groups
            ratio = _posterior(losses[-1], losses[contender.over], w, groups, contender.mean, contender.sd)
            expected.append(expected[contender.over] * math.exp(ratio))
    finite = np.nan_to_num(expected, nan=np.inf)
    best = int(np.flatnonzero(finite <= finite.min() * (1 + _NEAR_TIE))[0])
    return Choice(tuple(trials), tuple(expected), best)


def _posterior(
    losses: FloatArray, cheaper: FloatArray, weight: FloatArray, groups: IntArray, mean: float, sd: float
) -> float:
    """Posterior mean of the logarithm of the ratio of two mean losses, by the delta method over groups."""
    known = ~np.isnan(losses) & ~np.isnan(cheaper) & (weight > 0)
    if not known.any():
        return mean
    _, member_of = np.unique(groups[known], return_inverse=True)
    w = weight[known]
    # How often each group was drawn: as so many groups, not as one that weighs more.
    drawn = np.bincount(member_of, weights=w) / np.bincount(member_of)
    count = float(drawn.sum())
    if count < 3:
        return mean
    ours, theirs = (max(float(np.average(some[known], weights=w)), 1e-9) for some in (losses, cheaper))
    influence = np.bincount(member_of, weights=losses[known] / ours - cheaper[known] / theirs) / w.sum()
    # The spread of so few groups is itself uncertain: Student's variance instead of the normal one.
    variance = float(drawn @ np.square(influence)) * count / (count - 2)
    precision = 1 / max(variance, 1e-9)
    return (mean / sd**2 + math.log(ours / theirs) * precision) / (1 / sd**2 + precision)


def selection_optimism(contenders: Sequence[Contender], generator: np.random.Generator) -> dict[str, float]:
    """How much better the chosen trial looks than it is, because it was chosen on the same folds.

    Bootstrap bias-corrected cross-validation (Tsamardinos, Greasidou & Borboudakis 2018, Machine
    Learning 107): groups are drawn with replacement, what `choose` takes among the drawn is scored
    on those not drawn, and compared there with what all the data chose. Priors, and what blends are
    made of, are held as all the data gave them.

    Args:
        contenders: what was chosen from.
        generator: draws the groups.

    Returns:
        Metric to what must be subtracted from its plain value: at least 0 for metrics where more is
        better, at most 0 for losses. All 0 with a single trial.
    """
    names = [*confusion_metrics(np.eye(2)), *_LOWER_IS_BETTER]
    if sum(len(contender.outcomes) for contender in contenders) == 1:
        return dict.fromkeys(names, 0.0)
    taken = choose(contenders)
    chosen = (taken.best, taken.trials[taken.best])
    ours = contenders[chosen[0]].outcomes[chosen[1]]
    _, member_of = np.unique(ours.groups, return_inverse=True)
    count = int(member_of.max()) + 1
    gaps: list[dict[str, float]] = []
    for _ in range(_DRAWS):
        weight = np.bincount(generator.integers(count, size=count), minlength=count)[member_of].astype(float)
        drawn = choose(contenders, weight)
        winner = (drawn.best, drawn.trials[drawn.best])
        theirs = contenders[winner[0]].outcomes[winner[1]]
        out = np.flatnonzero((weight == 0) & ours.seen.any(axis=0) & theirs.seen.any(axis=0))
        if winner == chosen:
            gaps.append(dict.fromkeys(names, 0.0))
        elif len(out):
            mine, other = (_metrics(outcome, out) for outcome in (ours, theirs))
            gaps.append({name: mine[name] - other[name] for name in names})
    means = {name: float(np.mean([gap[name] for gap in gaps])) if gaps else 0.0 for name in names}
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
