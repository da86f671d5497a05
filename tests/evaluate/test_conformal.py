"""Sets of labels hold the true one as often as was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from fewtune.evaluate.conformal import label_sets, set_threshold, true_label_probabilities


def answers(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    targets = generator.integers(4, size=n)
    logits = generator.normal(size=(n, 4)) + 2.0 * (np.arange(4) == targets[:, None])
    return targets, logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_new_true_labels_are_in_the_sets_as_often_as_asked(coverage: float) -> None:
    new_targets, new = answers(5_000, 99)
    held, sizes = [], []
    for seed in range(40):
        targets, log_probs = answers(60, seed)
        threshold = set_threshold(true_label_probabilities(targets, log_probs[None], np.arange(len(targets))), coverage)
        chosen = label_sets(np.exp(new), threshold)
        held.append(chosen[np.arange(len(new_targets)), new_targets].mean())
        sizes.append(chosen.sum(axis=1).mean())
    # More often where sets are small: the likeliest label is in all of them.
    assert coverage - 0.01 < np.mean(held) < coverage + 0.06
    assert np.mean(sizes) < 4


def test_too_few_examples_promise_nothing_less_than_all_labels() -> None:
    targets, log_probs = answers(8, 0)
    threshold = set_threshold(true_label_probabilities(targets, log_probs[None], np.arange(len(targets))), 0.95)
    assert label_sets(np.exp(log_probs), threshold).all()


def test_a_coverage_next_to_nothing_is_kept_too() -> None:
    assert set_threshold((0.2, 0.9), 1e-12) == 0.9
    assert set_threshold((), 1e-12) == 0.0


def test_the_likeliest_label_is_always_there() -> None:
    probs = np.array([[0.4, 0.35, 0.25]])
    assert label_sets(probs, 0.9).tolist() == [[True, False, False]]


def test_repeats_and_gaps_do_not_count_as_examples() -> None:
    targets, log_probs = answers(30, 5)
    twice = np.stack([log_probs, log_probs])
    twice[1, 10:] = np.nan
    assert len(true_label_probabilities(targets, twice, np.arange(30))) == 30
    many, of_many = np.repeat(log_probs, 100, axis=0), np.repeat(targets, 100)
    assert len(true_label_probabilities(of_many, many[None], np.arange(3000))) == 1000
    assert len(true_label_probabilities(of_many, many[None], np.repeat(np.arange(30), 100))) == 30
