"""The forecast follows what was measured, and its band holds what comes true."""

from __future__ import annotations

import numpy as np

from fewtune.data.split import make_folds
from fewtune.evaluate.learning_curve import learning_curve, smaller, training_size
from fewtune.types import CurvePoint, Score


def score(value: float, n: int, half: float = 0.05) -> Score:
    return Score(value, value - half, value + half, n)


def points(exponent: float, n: int) -> list[CurvePoint]:
    return [CurvePoint(size, score(1 - 2 * size**-exponent, n)) for size in (50, 100, 200, 400)]


def test_a_steeper_curve_promises_more() -> None:
    now = score(0.6, 500)
    flat, steep = (
        learning_curve("head", "accuracy", points(exponent, 4_000), now, 500, 5).forecast[0] for exponent in (0.1, 0.4)
    )
    assert steep.gain_low > flat.gain_low
    assert steep.value > flat.value > now.value


def test_few_examples_lean_on_other_data_sets() -> None:
    now = score(0.6, 30)
    without = learning_curve("head", "accuracy", [], now, 30, 3).forecast[0]
    few = learning_curve("head", "accuracy", points(0.6, 60), now, 30, 3).forecast[0]
    many = learning_curve("head", "accuracy", points(0.6, 10_000), now, 30, 3).forecast[0]
    assert without.value < few.value < many.value


def test_the_band_is_ordered_and_stays_between_0_and_1() -> None:
    for value in (0.0, 0.3, 1.0):
        curve = learning_curve("head", "accuracy", points(0.3, 100), score(value, 100, 0.0), 100, 4)
        for forecast in curve.forecast:
            assert 0 <= forecast.low <= forecast.value <= forecast.high <= 1
        assert "labels a class" in curve.words


def test_smaller_folds_keep_groups_whole_and_every_class() -> None:
    generator = np.random.default_rng(0)
    groups = np.arange(60) // 2
    targets = np.where(groups < 3, 0, 1 + groups % 2)
    folds = make_folds(targets, groups, folds=5, repeats=2, generator_of=np.random.default_rng)
    some = smaller(folds, targets, 0.25, generator)
    assert training_size(some) < 0.4 * training_size(folds)
    for before, after in zip(folds.splits, some.splits, strict=True):
        assert set(after.train) <= set(before.train)
        assert after.valid.tolist() == before.valid.tolist()
        assert set(targets[after.train]) == set(targets[before.train])
        kept = np.bincount(groups[after.train], minlength=30)
        assert set(kept.tolist()) <= {0, 2}
