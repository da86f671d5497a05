"""Inputs of another kind are far from all classes."""

from __future__ import annotations

import numpy as np
import pytest

from fewtune.data.split import make_folds
from fewtune.evaluate.scope import class_means, out_of_fold_similarity, scope_threshold, similarity


def test_other_inputs_are_outside_and_most_of_the_right_kind_are_not() -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(3, 64))
    targets = np.arange(300) % 3
    features = centres[targets] + 0.5 * generator.normal(size=(300, 64))
    folds = make_folds(targets, np.arange(300), folds=5, repeats=1, generator_of=lambda _: generator)
    threshold = scope_threshold(out_of_fold_similarity(features, targets, 3, folds))
    means = class_means(features, targets, 3)
    same = centres[targets] + 0.5 * generator.normal(size=(300, 64))
    other = generator.normal(size=(300, 64))
    assert 0.9 < (similarity(same, means) >= threshold).mean() <= 0.99
    assert (similarity(other, means) < threshold).mean() > 0.95


def test_an_example_does_not_vouch_for_itself() -> None:
    features = np.eye(6)
    targets = np.array([0, 0, 0, 1, 1, 1])
    folds = make_folds(targets, np.arange(6), folds=3, repeats=1, generator_of=np.random.default_rng)
    assert np.allclose(out_of_fold_similarity(features, targets, 2, folds), 0)


def test_a_class_without_examples_is_near_nothing() -> None:
    means = class_means(np.ones((2, 3)), np.array([0, 0]), 2)
    assert means[1].tolist() == [0, 0, 0]
    assert similarity(np.ones((1, 3)), means) == pytest.approx(1.0)
    assert similarity(-np.ones((1, 3)), means) == pytest.approx(0.0)
