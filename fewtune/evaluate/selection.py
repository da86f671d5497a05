"""Which of several is taken, what choosing it adds to its score, and whether one is really better than another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fewtune.evaluate import intervals
from fewtune.evaluate.metrics import Outcome, calibration_error, confusion_matrix, confusion_metrics
from fewtune.types import Comparison, FloatArray, IntArray, Score

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


def compare(
    first: Outcome, second: Outcome, names: tuple[str, str], *, among: int = 1, optimism: float = 0.0
) -> Comparison | None:
    """Compare two classifiers' out-of-fold accuracy, example by example; None where no example was answered by both.

    Args:
        first, second: what they answered, on the same examples.
        names: of the two.
        among: how many comparisons are made, so that all of them hold together (Bonferroni).
        optimism: what the first one's accuracy is too good by, since it was chosen on these examples.
    """
    level = 1 - 0.05 / among
    repeats = min(len(first.seen), len(second.seen))
    seen = first.seen[:repeats] & second.seen[:repeats]
    if not seen.any():
        return None
    a = (first.predicted == first.targets)[:repeats][seen]
    b = (second.predicted == second.targets)[:repeats][seen]
    better, worse = float((a & ~b).mean()), float((~a & b).mean())
    groups = first.groups[seen.any(axis=0)]
    n = intervals.effective_size(groups) / intervals.OUT_OF_FOLD_VARIANCE
    low, high = intervals.paired_difference(better, worse, n, level)
    assert low is not None
    assert high is not None
    low, high = low - optimism, high - optimism
    method = f"{intervals.PAIRED}; {intervals.OUT_OF_FOLD}"
    difference = Score(better - worse - optimism, low, high, len(np.unique(groups)), level, method)
    declared = low > 0 or high < 0
    return Comparison(*names, "accuracy", difference, declared, _in_words(*names, difference, declared))


def _in_words(rung: str, against: str, difference: Score, declared: bool) -> str:
    low, high = 100 * (difference.low or 0.0), 100 * (difference.high or 0.0)
    more = f"Of 100 new inputs, {rung} gets about {abs(100 * difference.value):.0f} "
    more += f"{'more' if difference.value >= 0 else 'fewer'} right than {against}"
    verdict = "it is really better" if low > 0 else "it is really worse" if declared else "that can still be chance"
    return f"{more} (between {low:+.0f} and {high:+.0f}): {verdict}."
