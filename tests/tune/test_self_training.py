"""What a head makes of unlabelled inputs is smoothed over their likes, and the surest of each class are learnt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from fewtune.errors import RecipeError
from fewtune.tune.linear_head import LinearHead, fit_feature_heads
from fewtune.tune.self_training import SHARE, UnlabelledPool, pool_shares, self_trained
from fewtune.types import Dataset, Example, FloatArray, IntArray, Unlabelled


def clusters(count: int, generator: np.random.Generator, apart: float = 4.0) -> tuple[FloatArray, IntArray]:
    """Two classes, a third of the inputs in the second, apart in one of 20 directions and noisy in all."""
    targets = (generator.random(count) < 1 / 3).astype(np.int64)
    features = generator.normal(size=(count, 20))
    features[:, 0] += np.where(targets, apart, -apart)
    return features, targets


def fit(
    features: FloatArray, targets: IntArray, sample_weight: FloatArray, strengths: Sequence[float]
) -> Iterator[LinearHead]:
    return fit_feature_heads(features, targets, 2, strengths, sample_weight=sample_weight)


def accuracy(head: LinearHead, features: FloatArray, targets: IntArray) -> float:
    return float((head.log_probs(features).argmax(axis=1) == targets).mean())


def test_unlabelled_inputs_make_a_better_head() -> None:
    generator = np.random.default_rng(0)
    tested, truth = clusters(2000, generator, apart=2.0)
    pool = UnlabelledPool.of(clusters(400, generator, apart=2.0)[0])
    alone, beside = [], []
    for _ in range(5):
        features, targets = clusters(400, generator, apart=2.0)
        few = np.concatenate([np.flatnonzero(targets == k)[:2] for k in range(2)])
        labelled = features[few], targets[few], np.ones(len(few))
        (head,) = fit(*labelled, [1.0])
        (student,) = self_trained(fit, [1.0], pool, SHARE, *labelled)
        alone.append(accuracy(head, tested, truth))
        beside.append(accuracy(student, tested, truth))
    assert np.mean(beside) > np.mean(alone) + 0.03


def test_each_class_is_learnt_from_as_often_as_it_is_expected() -> None:
    generator = np.random.default_rng(1)
    features, truth = clusters(600, generator)
    weight = np.zeros((20, 2))
    weight[0] = (-0.5, 0.5)
    head = LinearHead(weight, np.zeros(2))
    pool = UnlabelledPool.of(features)
    rows, classes = pool.surest(head, 0.3)
    expected = np.exp(head.log_probs(features)).mean(axis=0)
    assert np.bincount(classes) == pytest.approx(np.ceil(0.3 * 600 * expected))
    assert sorted(set(rows.tolist())) == rows.tolist()
    assert (classes == truth[rows]).mean() > 0.98


def test_neighbours_correct_a_head() -> None:
    generator = np.random.default_rng(2)
    features, truth = clusters(600, generator)
    weight = np.zeros((20, 2))
    weight[0], weight[1] = (-0.3, 0.3), (-1.2, 1.2)
    head = LinearHead(weight, np.zeros(2))
    rows, classes = UnlabelledPool.of(features).surest(head, 1.0)
    assert (classes == truth[rows]).mean() > accuracy(head, features, truth) + 0.05


def test_the_graph_is_that_of_the_nearest_whatever_is_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    features = clusters(150, np.random.default_rng(3))[0]
    whole = UnlabelledPool.of(features).graph.toarray()
    monkeypatch.setattr("fewtune.tune.self_training._ROWS", 7)
    assert np.allclose(UnlabelledPool.of(features).graph.toarray(), whole)
    assert np.allclose(whole, whole.T)
    assert not whole.diagonal().any()
    assert np.linalg.eigvalsh(whole).max() == pytest.approx(1.0)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_pool_may_be_tiny(count: int) -> None:
    features = np.ones((count, 20))
    rows, classes = UnlabelledPool.of(features).surest(LinearHead(np.zeros((20, 2)), np.array([1.0, 0.0])), 1.0)
    assert len(rows) == len(classes) >= 1
    assert set(classes.tolist()) == {0}


def test_which_shares_are_tried() -> None:
    examples = (Example("a", "x"), Example("b", "y"))
    plain = Dataset("text-classification", examples, ("x", "y"), "", "")
    beside = Dataset("text-classification", examples, ("x", "y"), "", "", unlabelled=Unlabelled(("c",), "pool", ""))
    assert pool_shares(plain, {}) == (0.0,)
    assert pool_shares(beside, {}) == (0.0, SHARE)
    assert pool_shares(beside, {"unlabeled": 0.2}) == (0.2,)
    assert pool_shares(beside, {"unlabeled": 0.0}) == pool_shares(plain, {"unlabeled": 0.0}) == (0.0,)
    with pytest.raises(RecipeError, match="no unlabelled inputs"):
        pool_shares(plain, {"unlabeled": 0.5})
