"""The choice believes folds as far as they go, and other data sets for the rest."""

from __future__ import annotations

import numpy as np
import pytest

from fewtune.evaluate.metrics import Outcome
from fewtune.evaluate.selection import Contender, choose, selection_optimism


def outcome(losses: np.ndarray) -> Outcome:
    """An outcome of two classes with these losses of the truth, which is always the first."""
    probability = np.exp(-losses)
    log_probs = np.log(np.stack([probability, np.maximum(1 - probability, 1e-9)], axis=1))
    return Outcome(np.zeros(len(losses), np.int64), log_probs[None].astype(np.float64), np.arange(len(losses)))


def losses(n: int, mean: float, seed: int = 0) -> np.ndarray:
    return mean * np.random.default_rng(seed).uniform(0.5, 1.5, size=n)


def test_much_evidence_overrules_the_prior() -> None:
    frozen, tuned = outcome(losses(2000, 0.5)), outcome(losses(2000, 0.4, 1))
    choice = choose([Contender((frozen,)), Contender((tuned,), over=0, mean=0.3, sd=0.2)])
    assert choice.best == 1
    assert choice.expected[1] == pytest.approx(0.4, rel=0.05)


def test_little_evidence_is_shrunk_towards_the_prior() -> None:
    frozen = outcome(np.array([0.1, 0.9, 0.2, 1.2, 0.4, 0.6, 0.3, 1.1]))
    lucky = outcome(np.array([0.4, 0.1, 0.1, 0.3, 0.9, 0.1, 0.8, 0.1]))
    plain = choose([Contender((frozen,)), Contender((lucky,), over=0, mean=0.0, sd=100.0)]).expected
    shrunk = choose([Contender((frozen,)), Contender((lucky,), over=0, mean=0.0, sd=0.05)]).expected
    assert plain[1] < 0.75 * plain[0]
    assert shrunk[1] > 0.93 * shrunk[0]


def test_with_little_evidence_it_matters_what_was_expected() -> None:
    frozen = outcome(np.array([0.1, 0.9, 0.2, 1.2, 0.4, 0.6, 0.3, 1.1]))
    same = outcome(np.array([0.9, 0.1, 1.2, 0.2, 0.6, 0.4, 1.1, 0.3]))
    hopeful, doubtful = (
        choose([Contender((frozen,)), Contender((same,), over=0, mean=mean, sd=0.1)]).expected[1]
        for mean in (-0.5, 0.5)
    )
    assert hopeful < 0.7 * doubtful


def test_near_ties_go_to_the_cheaper() -> None:
    values = losses(100, 0.5)
    assert choose([Contender((outcome(values),)), Contender((outcome(0.995 * values),))]).best == 0
    assert choose([Contender((outcome(values),)), Contender((outcome(0.9 * values),))]).best == 1


def test_contenders_are_compared_on_what_both_validated() -> None:
    easy, hard = np.full(50, 0.1), np.full(50, 1.0)
    frozen = outcome(np.concatenate([easy, hard]))
    partly = outcome(np.concatenate([2 * easy, np.full(50, 0.5)]))
    known = np.array(partly.log_probs)
    known[:, 50:] = np.nan
    choice = choose(
        [Contender((frozen,)), Contender((Outcome(partly.targets, known, partly.groups),), over=0, mean=0.0, sd=0.5)]
    )
    # On the easy half alone it loses twice as much, although its plain mean is the lower one.
    assert choice.best == 0
    assert choice.expected[1] > choice.expected[0]


def test_optimism_grows_with_the_number_of_contenders() -> None:
    generator = np.random.default_rng(3)

    def coins(count: int) -> list[Contender]:
        targets = np.arange(40) % 2
        some = generator.uniform(0.2, 0.8, size=(count, 40))
        return [Contender((Outcome(targets, np.log(np.stack([p, 1 - p], axis=1))[None], np.arange(40)),)) for p in some]

    few = selection_optimism(coins(1), np.random.default_rng(0))["accuracy"]
    many = selection_optimism(coins(30), np.random.default_rng(0))["accuracy"]
    assert few == 0.0
    assert many > 0.05
