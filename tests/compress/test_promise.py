"""The promise's arithmetic: bounds that hold, and the evidence that is taken with much, little and no labels."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from fewtune.compress.promise import FEWEST_FOR_A_BOUND, drop_bound, judge, share_bound


def answers(predicted: np.ndarray, sure: float = 0.9) -> np.ndarray:
    probs = np.full((len(predicted), 2), 1 - sure)
    probs[np.arange(len(predicted)), predicted] = sure
    return np.log(probs)


def test_without_any_change_the_bound_is_known_in_closed_form() -> None:
    z = NormalDist().inv_cdf(0.95)
    assert drop_bound(0, 0, 500) == pytest.approx(z * z / (500 + z * z), abs=1e-9)
    assert share_bound(0, 299) == pytest.approx(1 - 0.05 ** (1 / 299), abs=1e-9)
    assert share_bound(0, FEWEST_FOR_A_BOUND) <= 0.01 < share_bound(0, 290)
    assert share_bound(1, 50) == 1


@pytest.mark.parametrize(("lost", "won"), [(0.02, 0.01), (0.01, 0.0), (0.03, 0.03), (0.005, 0.02)])
def test_the_bound_on_the_drop_holds_in_about_95_of_100(lost: float, won: float) -> None:
    n, draws = 400, 4000
    random = np.random.default_rng(0)
    counts = random.multinomial(n, [lost, won, 1 - lost - won], size=draws)
    known = {pair: drop_bound(pair[0] / n, pair[1] / n, n) for pair in {(int(a), int(b)) for a, b, _ in counts}}
    held = np.mean([known[int(a), int(b)] >= lost - won for a, b, _ in counts])
    assert held >= 0.93


def test_the_bound_falls_with_more_examples_and_rises_with_losses() -> None:
    assert drop_bound(0.01, 0.01, 2000) < drop_bound(0.01, 0.01, 500) < drop_bound(0.02, 0.01, 500)
    assert drop_bound(0.0, 0.1, 500) < 0


def test_enough_labels_are_judged_by_labels() -> None:
    truth = np.arange(1000) % 2
    original = truth.copy()
    original[:50] ^= 1
    smaller = original.copy()
    smaller[100:102] ^= 1
    found = judge(answers(original), answers(smaller), np.arange(1000), max_drop=0.01, targets=truth)
    assert (found.by, found.inputs, found.held, found.proven) == ("labels", 1000, True, True)
    assert found.drop == pytest.approx(0.002)
    assert found.bound is not None
    assert 0.002 < found.bound <= 0.01
    smaller[100:130] ^= 1
    worse = judge(answers(original), answers(smaller), np.arange(1000), max_drop=0.01, targets=truth)
    assert not worse.held


def test_what_is_lost_and_won_is_weighed_up() -> None:
    """Many changes that cost nothing: labels tell, agreement alone would not."""
    truth = np.zeros(3000, np.int64)
    original, smaller = truth.copy(), truth.copy()
    original[:15] = 1
    smaller[15:30] = 1
    by_labels = judge(answers(original), answers(smaller), np.arange(3000), max_drop=0.01, targets=truth)
    assert by_labels.held
    assert by_labels.drop == 0
    assert not judge(answers(original), answers(smaller), np.arange(3000), max_drop=0.01).held


def test_few_labels_prove_what_a_wide_promise_allows() -> None:
    """150 examples cannot bound a drop of one point, but one of five; the sureness of answers says nothing then."""
    truth = np.arange(150) % 2
    smaller = truth.copy()
    smaller[0] ^= 1
    found = [
        judge(answers(truth), answers(smaller, sure=0.7), np.arange(150), max_drop=drop, targets=truth)
        for drop in (0.05, 0.01)
    ]
    assert [(some.by, some.held, some.proven) for some in found] == [
        ("labels", True, True),
        ("probabilities", False, False),
    ]


def test_no_loss_among_few_labels_proves_no_more_than_their_number() -> None:
    for count, drop, proven in (
        (280, 0.01, False),
        (300, 0.01, True),
        (52, 0.05, False),
        (60, 0.05, True),
        (6, 0.35, False),
    ):
        truth = np.arange(count) % 2
        found = judge(answers(truth), answers(truth), np.arange(count), max_drop=drop, targets=truth)
        assert found.proven == proven, (count, drop)


def test_without_labels_it_is_the_share_of_changed_answers() -> None:
    original = np.arange(1000) % 2
    found = judge(answers(original), answers(original), np.arange(1000), max_drop=0.01)
    assert (found.by, found.held, found.proven, found.drop) == ("answers", True, True, None)
    smaller = original.copy()
    smaller[:8] ^= 1
    assert not judge(answers(original), answers(smaller), np.arange(1000), max_drop=0.01).held
    assert judge(answers(original), answers(smaller), np.arange(1000), max_drop=0.02).held


def test_texts_that_were_learnt_from_prove_nothing() -> None:
    original = np.arange(1000) % 2
    found = judge(answers(original), answers(original), np.arange(1000), max_drop=0.01, trained_on=True)
    assert found.held
    assert not found.proven


def test_with_few_inputs_it_is_a_cap_on_probabilities() -> None:
    original = np.arange(40) % 2
    same = judge(answers(original), answers(original, 0.88), np.arange(40), max_drop=0.01, targets=original)
    assert (same.by, same.bound, same.held, same.proven, same.drop) == ("probabilities", None, True, False, 0)
    assert not judge(answers(original), answers(original, 0.8), np.arange(40), max_drop=0.01).held
    two_changed = original.copy()
    two_changed[:2] ^= 1
    assert not judge(answers(original, 0.51), answers(two_changed, 0.51), np.arange(40), max_drop=0.01).held


def test_near_duplicates_count_as_one() -> None:
    original = np.arange(1000) % 2
    assert judge(answers(original), answers(original), np.arange(1000) // 10, max_drop=0.01).by == "probabilities"
