"""Intervals that hold with sixteen examples, at 100 % accuracy, and with a class of two."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from fewtune.types import FloatArray, IntArray

WILSON = "Wilson score (Wilson 1927)"
WILSON_EFFECTIVE = (
    "Wilson score at the effective sample size of the confusion matrix's Dirichlet posterior (Goutte & Gaussier 2005)"
)
STUDENT = "Student t over groups"
BOOTSTRAP = "basic bootstrap over groups (Davison & Hinkley 1997)"
PAIRED = "adjusted Wald for paired proportions (Agresti & Min 2005)"

# Scores of cross-validation vary more than those of as many independent examples: each fold's model is another
# one, trained on others' validation data, and none of them is the one that is delivered (Bates, Hastie &
# Tibshirani 2023, JASA 119). By how much was measured (benchmarks/README.md, coverage).
OUT_OF_FOLD_VARIANCE = 1.5
OUT_OF_FOLD = f"variance times {OUT_OF_FOLD_VARIANCE:g}, as out-of-fold scores have (Bates, Hastie & Tibshirani 2023)"

Interval = tuple[float | None, float | None]


def effective_size(groups: IntArray) -> float:
    """How many independent examples the groups are worth: (sum of sizes)^2 / (sum of squares), Kish 1965."""
    sizes = np.unique(groups, return_counts=True)[1].astype(float)
    return float(sizes.sum() ** 2 / np.square(sizes).sum())


def wilson(proportion: float, n: float, level: float) -> Interval:
    """Wilson's score interval of a proportion seen in `n` trials (n need not be whole); unknown without any."""
    if not n > 0:
        return None, None
    z = NormalDist().inv_cdf(0.5 + level / 2)
    centre = (proportion + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(proportion * (1 - proportion) / n + z * z / (4 * n * n))
    # Rounding must not push an end past the estimate at 0 or 1.
    return max(0.0, min(centre - half, proportion)), min(1.0, max(centre + half, proportion))


def student(values: FloatArray, groups: IntArray, level: float, variance: float = 1.0) -> Interval:
    """Student's t interval of a mean, over the means of the groups; unknown with fewer than two groups.

    Args:
        values: (n,) of the examples.
        groups: (n,) group indices.
        level: nominal coverage.
        variance: what the mean's variance is to be multiplied by.
    """
    from scipy.stats import t

    _, member_of = np.unique(groups, return_inverse=True)
    sizes = np.bincount(member_of)
    means = np.bincount(member_of, weights=values) / sizes
    if len(means) < 2:
        return None, None
    centre = float(values.mean())
    half = float(
        t.ppf(0.5 + level / 2, len(means) - 1) * means.std(ddof=1) * math.sqrt(variance / effective_size(groups))
    )
    return centre - half, centre + half


def basic_bootstrap(value: float, draws: FloatArray, level: float, variance: float = 1.0) -> Interval:
    """The basic bootstrap interval: the draws' spread, turned round the estimate.

    Args:
        value: the estimate.
        draws: the same of resampled data.
        level: nominal coverage.
        variance: what the estimate's variance is to be multiplied by.
    """
    tail = (1 - level) / 2
    high, low = np.quantile(draws, [tail, 1 - tail])
    wider = math.sqrt(variance)
    return float(value - wider * (low - value)), float(value - wider * (high - value))


def paired_difference(better: float, worse: float, n: float, level: float) -> Interval:
    """Interval of a difference of two paired proportions.

    Args:
        better: share of examples that only the first gets right.
        worse: share that only the second gets right.
        n: number of independent examples.
        level: nominal coverage.
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    total = n + 2
    b, c = (better * n + 0.5) / total, (worse * n + 0.5) / total
    half = z * math.sqrt(max(0.0, b + c - (b - c) ** 2) / total)
    return max(-1.0, b - c - half), min(1.0, b - c + half)
