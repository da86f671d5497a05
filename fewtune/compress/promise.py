"""The promise: how much worse a smaller model can be than the one it is made from, and whether that is allowed.

With enough labelled examples for the drop that is allowed it is a bound on the drop of accuracy, from the examples that
only one of the two gets right. With fewer, or none (300 for a drop of one point), it is a bound on the share of
inputs that are answered otherwise, which no drop can exceed. With too few inputs for that as well, it is a cap on how
far probabilities may move, and is called not proven.

Where answers are no classes, it is a bound on the drop of the metric itself, by the paired bootstrap; where so few
examples could not bound even a drop of nothing, half of the drop that is allowed is the cap, and it is not proven.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from fewtune.evaluate.intervals import effective_size
from fewtune.evaluate.structured import paired_drop
from fewtune.interfaces import StructuredTask
from fewtune.types import Dataset, Evidence, FloatArray, IntArray

LEVEL = 0.95
# Without a single change among so many, the 95 % bound on the share of changes is 1 %: -log(0.05) / 0.01.
FEWEST_FOR_A_BOUND = 300
# The cap where nothing can be bounded: in 95 of 100 inputs no probability moves further than this.
MOST_SHIFT = 0.05
_SHIFT_SHARE = 95


def judge(
    original: FloatArray,
    smaller: FloatArray,
    groups: IntArray,
    *,
    max_drop: float,
    targets: IntArray | None = None,
    trained_on: bool = False,
) -> Evidence:
    """Whether a smaller model keeps the promise.

    Args:
        original, smaller: (n, k) log probabilities of the same inputs.
        groups: (n,) group indices; inputs of one group count as one.
        max_drop: the accuracy that may be lost, as a fraction.
        targets: (n,) class indices; None where the inputs have no labels.
        trained_on: whether the models learnt from these inputs; then nothing is proven of others.
    """
    count = effective_size(groups)
    before, after = original.argmax(axis=1), smaller.argmax(axis=1)
    changed = float((before != after).mean())
    shift = float(np.percentile(np.abs(np.exp(original) - np.exp(smaller)).max(axis=1), _SHIFT_SHARE))
    if targets is not None and not trained_on:
        lost = float(((before == targets) & (after != targets)).mean())
        won = float(((before != targets) & (after == targets)).mean())
        # The score test's bound is too narrow where so few examples were seen that no loss at all is likely.
        bound = max(drop_bound(lost, won, count), share_bound(0.0, count))
        # Few labels prove a drop that is wide enough; that they prove none says nothing.
        if bound <= max_drop or count >= FEWEST_FOR_A_BOUND:
            return Evidence("labels", round(count), changed, shift, lost - won, bound, bound <= max_drop, True)
    drop = None
    if targets is not None:
        drop = float((before == targets).mean() - (after == targets).mean())
    if count >= FEWEST_FOR_A_BOUND:
        bound = share_bound(changed, count)
        held = bound <= max_drop
        return Evidence("answers", round(count), changed, shift, drop, bound, held, held and not trained_on)
    held = shift <= MOST_SHIFT and changed * len(groups) <= max(1.0, max_drop * len(groups))
    return Evidence("probabilities", round(count), changed, shift, drop, None, held, False)


def judge_structured(
    task: StructuredTask,
    dataset: Dataset,
    labels: tuple[str, ...],
    original: Sequence[Any],
    smaller: Sequence[Any],
    groups: IntArray,
    *,
    max_drop: float,
    trained_on: bool,
) -> Evidence:
    """As `judge`, for answers that are not classes.

    Args:
        task: says how answers are measured.
        dataset: n labelled examples.
        labels: the model's.
        original, smaller: (n,) answers.
        groups: (n,) group indices.
        max_drop: the share of the metric's full scale that may be lost.
        trained_on: whether the models learnt from these examples; then nothing is proven of others.
    """
    count = effective_size(groups)
    pairs = zip(original, smaller, strict=True)
    changed = float(np.mean([task.gap(first, second) > task.parity_tolerance for first, second in pairs]))
    found = paired_drop(task, dataset, labels, original, smaller, groups, 2 * LEVEL - 1)
    drop, bound = found.value, found.high
    if math.isnan(drop):
        return Evidence("metric", round(count), changed, 0.0, None, None, changed == 0, False)
    if changed == 0:
        # The bootstrap sees nothing vary; that nothing else would is bounded by the number of examples alone.
        bound = share_bound(0.0, count)
    if bound is not None and bound <= max_drop:
        return Evidence("metric", round(count), changed, 0.0, drop, bound, True, not trained_on)
    too_few = bound is None or bound - drop > max_drop / 2
    held = too_few and drop <= max_drop / 2
    return Evidence("metric", round(count), changed, 0.0, drop, bound, held, False)


def drop_bound(lost: float, won: float, n: float, level: float = LEVEL) -> float:
    """One-sided upper bound of a difference of two paired proportions, by its score test (Tango 1998).

    Args:
        lost: share of examples that only the first gets right.
        won: share that only the second gets right.
        n: number of independent examples; need not be whole.
        level: confidence.
    """
    z = NormalDist().inv_cdf(level)
    low, high = lost - won, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _score(lost * n, won * n, n, middle) > -z:
            low = middle
        else:
            high = middle
    return high


def _score(lost: float, won: float, n: float, difference: float) -> float:
    """The standardised distance of what was seen from a difference that is supposed."""
    a = 2 * n
    b = (2 * n - lost + won) * difference - lost - won
    c = -won * difference * (1 - difference)
    rest = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * rest + difference * (1 - difference))
    distance = lost - won - n * difference
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)


def share_bound(share: float, n: float, level: float = LEVEL) -> float:
    """One-sided upper bound of a proportion seen in `n` trials (Clopper & Pearson 1934); n need not be whole."""
    from scipy.stats import beta

    seen = share * n
    return 1.0 if seen >= n else float(beta.ppf(level, seen + 1, n - seen))
