from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss, precision_score, recall_score

from fewtune.evaluate import intervals
from fewtune.evaluate.metrics import Outcome, as_outcome, classification_scores
from fewtune.evaluate.selection import Contender, compare, selection_optimism
from fewtune.types import Scores


def log_probs_of(generator: np.random.Generator, targets: np.ndarray, classes: int, skill: float) -> np.ndarray:
    logits = generator.normal(size=(len(targets), classes))
    logits[np.arange(len(targets)), targets] += skill
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def score(targets: np.ndarray, log_probs: np.ndarray, groups: np.ndarray | None = None) -> Scores:
    labels = [f"class {i}" for i in range(log_probs.shape[-1])]
    return classification_scores(
        targets, log_probs, labels, np.arange(len(targets)) if groups is None else groups, how=""
    )


@pytest.mark.parametrize(("n", "classes"), [(16, 2), (60, 5), (300, 3)])
def test_values_agree_with_scikit_learn(n: int, classes: int) -> None:
    generator = np.random.default_rng(n)
    targets = np.arange(n) % classes
    log_probs = log_probs_of(generator, targets, classes, 1.5)
    predicted = log_probs.argmax(axis=1)
    scores = score(targets, log_probs)
    assert scores["accuracy"].value == pytest.approx((predicted == targets).mean())
    assert scores["precision_macro"].value == pytest.approx(
        precision_score(targets, predicted, average="macro", zero_division=0)  # type: ignore[arg-type]
    )
    assert scores["recall_macro"].value == pytest.approx(recall_score(targets, predicted, average="macro"))
    assert scores["f1_macro"].value == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert scores["f1_weighted"].value == pytest.approx(f1_score(targets, predicted, average="weighted"))
    assert scores["log_loss"].value == pytest.approx(log_loss(targets, np.exp(log_probs)))
    per_class = np.atleast_1d(f1_score(targets, predicted, average=None))  # type: ignore[arg-type]
    assert [scores.per_class[f"class {i}"]["f1"].value for i in range(classes)] == pytest.approx(list(per_class))


def test_at_100_percent_the_interval_is_not_a_point() -> None:
    targets = np.arange(16) % 2
    log_probs = np.log(np.where(np.arange(2) == targets[:, None], 0.99, 0.01))
    scores = score(targets, log_probs)
    for name in ("accuracy", "f1_macro", "recall_macro", "precision_macro"):
        assert scores[name].value == 1
        assert scores[name].high == 1
        low = scores[name].low
        assert low is not None
        assert 0.7 < low < 0.9
    recall_low = scores.per_class["class 0"]["recall"].low
    assert recall_low is not None
    assert recall_low < 0.75


def test_repeating_every_example_does_not_narrow_the_interval() -> None:
    targets = np.arange(40) % 2
    log_probs = log_probs_of(np.random.default_rng(1), targets, 2, 1.5)
    once = score(targets, log_probs)
    groups = np.tile(np.arange(40), 5)
    often = score(np.tile(targets, 5), np.tile(log_probs, (5, 1)), groups)
    for name in ("accuracy", "f1_macro", "log_loss"):
        assert once[name].low == pytest.approx(often[name].low, abs=0.02)
        assert once[name].n == often[name].n == 40


def test_repeats_are_scored_one_by_one() -> None:
    targets = np.arange(50) % 2
    generator = np.random.default_rng(2)
    each = [log_probs_of(generator, targets, 2, 1.0) for _ in range(4)]
    mean = np.mean([score(targets, one)["accuracy"].value for one in each])
    assert score(targets, np.stack(each))["accuracy"].value == pytest.approx(mean)


def test_examples_that_were_not_validated_do_not_count() -> None:
    targets = np.arange(50) % 2
    log_probs = log_probs_of(np.random.default_rng(3), targets, 2, 1.0)
    log_probs[:10] = np.nan
    scores = score(targets, log_probs)
    assert scores["accuracy"].n == 40
    assert sum(map(sum, scores.confusion)) == 40


def test_a_class_that_does_not_occur_has_no_interval() -> None:
    targets = np.zeros(10, dtype=int)
    targets[:5] = 1
    log_probs = log_probs_of(np.random.default_rng(4), targets, 3, 9.0)
    recall = score(targets, log_probs).per_class["class 2"]["recall"]
    assert recall.low is None
    assert recall.high is None


@pytest.mark.parametrize("n", [16, 40, 200])
@pytest.mark.parametrize("accuracy", [0.6, 0.85, 0.97])
def test_intervals_cover(n: int, accuracy: float) -> None:
    """Nominal 95 % intervals of accuracy and of macro F1 hold the truth about as often as they say."""
    generator = np.random.default_rng(n)
    targets = np.arange(n) % 3
    covered = {"accuracy": 0, "f1_macro": 0}
    trials = 200
    for _ in range(trials):
        wrong = (targets + generator.integers(1, 3, size=n)) % 3
        predicted = np.where(generator.random(n) < accuracy, targets, wrong)
        log_probs = np.log(np.where(np.arange(3) == predicted[:, None], 0.9, 0.05))
        scores = score(targets, log_probs)
        for name in covered:
            low, high = scores[name].low, scores[name].high
            assert low is not None
            assert high is not None
            # With balanced classes and even errors the true macro F1 is the true accuracy.
            covered[name] += low <= accuracy <= high
    assert all(count >= 0.9 * trials for count in covered.values()), covered


@given(st.integers(2, 40), st.integers(2, 5), st.integers(0, 10))
@settings(max_examples=40, deadline=None)
def test_every_interval_holds_its_value(n: int, classes: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    targets = generator.integers(classes, size=n)
    scores = score(targets, log_probs_of(generator, targets, classes, 1.0), generator.integers(n, size=n))
    everything = [*scores.metrics.values(), *(s for some in scores.per_class.values() for s in some.values())]
    for one in everything:
        if one.low is not None and one.high is not None:
            assert one.low - 1e-9 <= one.value <= one.high + 1e-9


def test_the_best_of_many_coins_is_corrected_to_a_coin() -> None:
    generator = np.random.default_rng(5)
    targets, groups = np.arange(40) % 2, np.arange(40)
    gaps = []
    for _ in range(10):
        coins = [as_outcome(targets, log_probs_of(generator, targets, 2, 0.0), groups) for _ in range(50)]
        best = coins[int(np.argmin([coin.losses.mean() for coin in coins]))]
        naive = (best.predicted[0] == targets).mean()
        gaps.append((naive, naive - selection_optimism([Contender(tuple(coins))], generator)["accuracy"]))
    naive, corrected = np.mean(gaps, axis=0)
    assert naive > 0.6
    assert 0.44 < corrected < 0.58


def test_without_a_choice_there_is_nothing_to_correct() -> None:
    targets = np.arange(20) % 2
    one = as_outcome(targets, log_probs_of(np.random.default_rng(6), targets, 2, 1.0), targets * 0 + np.arange(20))
    assert set(selection_optimism([Contender((one,))], np.random.default_rng(0)).values()) == {0.0}


def test_a_winner_is_declared_only_where_it_is_one() -> None:
    targets = np.arange(200) % 2
    generator = np.random.default_rng(7)

    def outcome(accuracy: float) -> Outcome:
        predicted = np.where(generator.random(200) < accuracy, targets, 1 - targets)
        return as_outcome(targets, np.log(np.where(np.arange(2) == predicted[:, None], 0.9, 0.1)), np.arange(200))

    found = compare(outcome(0.95), outcome(0.6), ("a", "b"))
    assert found is not None
    assert found.declared
    same = outcome(0.8)
    tie = compare(same, same, ("a", "b"))
    assert tie is not None
    assert not tie.declared


def test_wilson_against_the_textbook() -> None:
    low, high = intervals.wilson(0.5, 10, 0.95)
    assert low == pytest.approx(0.2366, abs=1e-4)
    assert high == pytest.approx(0.7634, abs=1e-4)


def test_of_a_class_without_examples_nothing_is_said() -> None:
    targets = np.array([0, 1] * 10)
    log_probs = np.log(np.where(np.arange(3) == targets[:, None], 0.9, 0.05))
    scores = classification_scores(targets, log_probs, ("a", "b", "c"), np.arange(20), how="")
    assert all(np.isnan(score.value) for score in scores.per_class["c"].values())
    assert scores["f1_macro"].value == 1.0


def test_among_equals_hardly_any_winner_is_declared() -> None:
    generator = np.random.default_rng(0)
    declared = 0
    for _ in range(100):
        targets = generator.integers(2, size=60)
        outcomes = []
        for _ in range(10):
            predicted = np.where(generator.random(60) < 0.75, targets, 1 - targets)
            log_probs = np.log(np.where(np.arange(2) == predicted[:, None], 0.8, 0.2))
            outcomes.append(as_outcome(targets, log_probs, np.arange(60)))
        best = max(outcomes, key=lambda outcome: (outcome.predicted[0] == targets).mean())
        others = [outcome for outcome in outcomes if outcome is not best]
        found = [compare(best, other, ("a", "b"), among=len(others)) for other in others]
        declared += any(comparison is not None and comparison.declared for comparison in found)
    assert declared <= 10


def test_out_of_fold_intervals_are_wider() -> None:
    targets = np.arange(40) % 2
    log_probs = np.log(np.where(np.arange(2) == (targets ^ (np.arange(40) % 5 == 0))[:, None], 0.9, 0.1))
    plain, wide = (
        classification_scores(targets, log_probs, ("a", "b"), np.arange(40), how="", out_of_fold=flag)
        for flag in (False, True)
    )
    for metric in plain:
        a, b = plain[metric], wide[metric]
        assert a.low is not None
        assert b.low is not None
        assert b.low <= a.low
        assert b.value == a.value
        assert "Bates" in b.interval_method
