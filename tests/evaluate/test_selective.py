"""Thresholds keep the errors among the answered where they were promised to stay."""

from __future__ import annotations

import numpy as np
import pytest

from fewtune.evaluate.selective import GOALS, choose_thresholds
from fewtune.types import FloatArray, IntArray


def honest_answers(n: int, seed: int) -> tuple[IntArray, FloatArray]:
    """Targets and (1, n, 2) log probabilities that are right as often as they say."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.5, 1, n)
    predicted = generator.integers(2, size=n)
    targets = np.where(generator.random(n) < confidence, predicted, 1 - predicted)
    probs = np.where(np.arange(2) == predicted[:, None], confidence[:, None], 1 - confidence[:, None])
    return targets, np.log(probs)[None]


def test_errors_of_new_answers_lie_in_the_interval_and_about_the_goal() -> None:
    inside, errors = [], []
    new_targets, new = honest_answers(20_000, 999)
    confidence, wrong = np.exp(new[0].max(axis=1)), new[0].argmax(axis=1) != new_targets
    for seed in range(60):
        targets, log_probs = honest_answers(120, seed)
        generator = np.random.default_rng(seed)
        (threshold,) = choose_thresholds(targets, log_probs, np.arange(120), generator, goals=[0.1])
        if threshold.below is None:
            continue
        assert threshold.error is not None
        assert threshold.error.low is not None
        assert threshold.error.high is not None
        error = float(wrong[confidence >= threshold.below].mean())
        errors.append(error)
        inside.append(threshold.error.low <= error <= threshold.error.high)
    assert len(errors) > 30
    assert np.mean(inside) > 0.9
    assert 0.05 < np.mean(errors) < 0.13


def test_a_stricter_goal_answers_less() -> None:
    targets, log_probs = honest_answers(2_000, 1)
    found = choose_thresholds(targets, log_probs, np.arange(2_000), np.random.default_rng(0))
    assert [threshold.target_error for threshold in found] == list(GOALS)
    below = [np.inf if threshold.below is None else threshold.below for threshold in found]
    assert below == sorted(below, reverse=True)
    assert all(threshold.answered is None or 0 < threshold.answered.value <= 1 for threshold in found)


def test_guesses_reach_no_goal_and_certainty_reaches_all() -> None:
    targets = np.arange(200) % 2
    guesses = np.full((1, 200, 2), np.log(0.5))
    assert all(
        threshold.below is None
        for threshold in choose_thresholds(targets, guesses, np.arange(200), np.random.default_rng(0))
    )
    certain = np.log(np.where(np.arange(2) == targets[:, None], 0.999, 0.001))[None]
    for threshold in choose_thresholds(targets, certain, np.arange(200), np.random.default_rng(0)):
        assert threshold.below == 0.0
        assert threshold.answered is not None
        assert threshold.answered.value == 1.0


def test_copies_of_an_example_are_no_more_evidence() -> None:
    targets, log_probs = honest_answers(40, 3)
    groups = np.arange(40)
    tripled = np.tile(groups, 3)
    (one,) = choose_thresholds(targets, log_probs, groups, np.random.default_rng(0), goals=[0.4])
    (three,) = choose_thresholds(
        targets[tripled], log_probs[:, tripled], tripled, np.random.default_rng(0), goals=[0.4]
    )
    assert one.answered is not None
    assert three.answered is not None
    assert three.answered.n == one.answered.n == 40
    assert three.answered.low == pytest.approx(one.answered.low, abs=0.1)


def test_what_is_of_another_kind_is_never_answered() -> None:
    targets, log_probs = honest_answers(500, 4)
    outside = np.zeros((1, 500), bool)
    outside[0, ::2] = True
    for threshold in choose_thresholds(
        targets, log_probs, np.arange(500), np.random.default_rng(0), goals=[0.4], outside=outside
    ):
        assert threshold.answered is not None
        assert threshold.answered.value <= 0.5


def test_no_error_at_all_is_never_ruled_out_where_none_was_seen() -> None:
    for seed in range(20):
        targets, log_probs = honest_answers(60, seed)
        for threshold in choose_thresholds(targets, log_probs, np.arange(60), np.random.default_rng(0)):
            if threshold.below is not None and threshold.error is not None:
                confidence = np.exp(log_probs[0].max(axis=1))
                wrong = log_probs[0].argmax(axis=1) != targets
                if not wrong[confidence >= threshold.below].any():
                    assert threshold.error.low == 0.0
