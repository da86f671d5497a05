"""What more labels would bring: scores at growing numbers of examples, and where they lead.

The error is taken to fall as a power of the number of examples (Hestness et al. 2017,
arXiv:1712.00409). With few examples the measured points say little about the power, so it is shrunk
towards what other data sets taught (benchmarks/README.md), and the band counts in what is not known:
the power, today's error, and the luck of the draw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from fewtune.types import CurvePoint, FloatArray, Forecast, IntArray, LearningCurve, Resampling, Score, Split

FRACTIONS = (0.25, 0.5, 0.75)
MORE_PER_CLASS = (20, 100)
LEVEL = 0.8
METHOD = (
    "a power law of the error (Hestness et al. 2017), its exponent shrunk towards that of other data sets; "
    "the points are out of fold"
)
METHOD_UNMEASURED = "a power law of the error (Hestness et al. 2017), its exponent that of other data sets"
# The exponent on other data sets (benchmarks/README.md, curve).
_EXPONENT, _EXPONENT_SD = 0.22, 0.14
# How the luck of drawing the examples moves a score, beside the binomial deviation of as many.
_LUCK = 0.3


def smaller(resampling: Resampling, targets: IntArray, fraction: float, generator: np.random.Generator) -> Resampling:
    """The same folds with a part of the training examples: whole groups, of every class at least one.

    Args:
        resampling: the folds.
        targets: (n,) class indices.
        fraction: of the training groups of each class that is kept.
        generator: draws them.
    """
    _, first, member_of = np.unique(resampling.groups, return_index=True, return_inverse=True)
    class_of = targets[first]
    rank = generator.permutation(len(first))
    splits = []
    for split in resampling.splits:
        there = np.unique(member_of[split.train])
        kept = np.zeros(len(first), bool)
        for label in np.unique(class_of[there]):
            some = there[class_of[there] == label]
            kept[some[np.argsort(rank[some])][: max(1, round(fraction * len(some)))]] = True
        splits.append(Split(split.train[kept[member_of[split.train]]], split.valid))
    return Resampling(
        f"{resampling.name}, {fraction:.0%} of the training examples",
        tuple(splits),
        resampling.repeats,
        resampling.groups,
    )


def training_size(resampling: Resampling) -> int:
    """Mean number of examples that the folds train on."""
    return round(float(np.mean([len(split.train) for split in resampling.splits])))


def learning_curve(
    rung: str, metric: str, points: Sequence[CurvePoint], now: Score, examples: int, classes: int
) -> LearningCurve:
    """Forecast from measured points.

    Args:
        rung: what was trained.
        metric: what is scored; a share, more is better.
        points: measured, on the same validation examples; fewest examples first.
        now: the score of what is delivered, which learnt from all examples.
        examples: how many these are.
        classes: how many classes there are.
    """
    exponent, deviation = _exponent(points)
    forecasts = tuple(_forecast(now, examples, classes, more, exponent, deviation) for more in MORE_PER_CLASS)
    nearest = forecasts[0]
    low, high = 100 * nearest.gain_low, 100 * nearest.gain_high
    brings = f"{max(0, low):.0f} to {high:.0f} points" if high >= 1 else "less than a point"
    words = f"The next {nearest.more_per_class} labels a class are likely to bring {brings} of {metric}"
    if len(points) < 2:
        return LearningCurve(
            rung, metric, tuple(points), forecasts, f"{words}, as on other data sets.", METHOD_UNMEASURED
        )
    return LearningCurve(rung, metric, tuple(points), forecasts, f"{words}.", METHOD)


def forecast_without_points(now: Score, examples: int, classes: int, more: int) -> Forecast:
    """What `more` labels a class are likely to bring, from other data sets alone; arguments as for `learning_curve`."""
    return _forecast(now, examples, classes, more, _EXPONENT, _EXPONENT_SD)


def _exponent(points: Sequence[CurvePoint]) -> tuple[float, float]:
    """The power with which the error falls, and its deviation: what was measured, shrunk towards the prior."""
    if len(points) < 2:
        return _EXPONENT, _EXPONENT_SD
    counts = np.array([point.score.n for point in points], float)
    errors = np.clip([1 - point.score.value for point in points], 0.5 / counts, 1)
    sizes = np.log([max(1, point.examples) for point in points])
    x = sizes - sizes.mean()
    if not x.any():
        return _EXPONENT, _EXPONENT_SD
    measured = -float(x @ np.log(errors)) / float(x @ x)
    mean_error = float(errors.mean())
    variance = (1 - mean_error) / (mean_error * float(counts.mean())) / float(x @ x)
    precision, prior = 1 / max(variance, 1e-6), 1 / _EXPONENT_SD**2
    return (measured * precision + _EXPONENT * prior) / (precision + prior), math.sqrt(1 / (precision + prior))


def _forecast(now: Score, examples: int, classes: int, more: int, exponent: float, deviation: float) -> Forecast:
    total = examples + classes * more
    error = min(1.0, max(1 - now.value, 0.5 / examples))
    left = (examples / total) ** exponent
    gain = error * (1 - left)
    z = NormalDist().inv_cdf(0.5 + now.level / 2)
    of_error = 0.0 if now.low is None or now.high is None else (now.high - now.low) / (2 * z)
    luck = _LUCK * math.sqrt(error * (1 - error) / examples)
    of_exponent = error * left * math.log(total / examples) * deviation
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * math.hypot(of_error * (1 - left), of_exponent, luck)
    low, high = gain - half, min(gain + half, error)
    ends: FloatArray = np.clip([now.value + low, now.value + high], 0, 1)
    return Forecast(total, more, min(1.0, now.value + gain), float(ends[0]), float(ends[1]), low, high, LEVEL)
