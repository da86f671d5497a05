"""Heads are what their strength says, in whatever order they are fitted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fewtune.tune.linear_head import fit_feature_heads, fit_linear_heads


def data(classes: int, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    targets = np.repeat(np.arange(classes), per_class)
    centres = generator.normal(size=(classes, 64))
    return (centres[targets] + generator.normal(size=(len(targets), 64))).astype(np.float32), targets


def test_each_strength_is_fitted_to_its_end() -> None:
    """A start from the solution before it is so near with many classes that a loose tolerance stops at once."""
    rows, targets = data(60, 8)
    rows /= np.sqrt(np.square(rows).sum(axis=1).mean())
    weight = np.ones(len(targets))
    strengths = (1.0, 3.0, 10.0, 30.0)
    norms = [float(np.abs(head.weight).sum()) for head in fit_linear_heads(rows, targets, weight, 60, strengths)]
    assert all(later > 1.2 * earlier for earlier, later in pairwise(norms))
    (alone,) = fit_linear_heads(rows, targets, weight, 60, [30.0])
    assert float(np.abs(alone.weight).sum()) / norms[-1] < 1.02


def test_scale_and_place_of_the_features_change_nothing() -> None:
    rows, targets = data(5, 10)
    (plain,) = fit_feature_heads(rows, targets, 5, [1.0])
    (moved,) = fit_feature_heads(7 * rows + 3, targets, 5, [1.0])
    assert np.abs(plain.log_probs(rows) - moved.log_probs(7 * rows + 3)).max() < 1e-2


def test_a_temperature_divides_the_logits() -> None:
    rows, targets = data(4, 10)
    (head,) = fit_feature_heads(rows, targets, 4, [1.0])
    plain, cooled = head.log_probs(rows), head.at(2.0).log_probs(rows)
    assert np.allclose(np.diff(plain, axis=1) / 2, np.diff(cooled, axis=1), atol=1e-4)
