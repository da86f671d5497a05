from __future__ import annotations

import numpy as np

from fewtune.runtime.sampling import Sampling

ROWS = 400
LOGITS = np.log(np.r_[0.4, 0.3, 0.2, 0.1, np.full(30, 1e-9)]).astype(np.float32)


def words(share: float, logits: np.ndarray = LOGITS) -> np.ndarray:
    draws = Sampling([(seed, 1) for seed in range(ROWS)], share).draws(3)
    return draws.words(np.tile(logits, (ROWS, 1)), np.arange(ROWS), 2)


def test_words_are_drawn_as_often_as_they_are_likely() -> None:
    shares = np.bincount(words(1.0), minlength=4) / ROWS
    assert np.abs(shares[:4] - [0.4, 0.3, 0.2, 0.1]).max() < 0.08
    # Half of them are the likeliest, whatever chance says.
    halved = np.bincount(words(0.5), minlength=4) / ROWS
    assert np.abs(halved[:4] - [0.7, 0.15, 0.1, 0.05]).max() < 0.08


def test_only_the_likeliest_ten_are_drawn() -> None:
    flat = np.zeros(40, np.float32)
    flat[7:27] = 1
    drawn = set(words(1.0, flat).tolist())
    assert len(drawn) == 10
    assert drawn <= set(range(7, 27))


def test_what_may_not_be_used_is_not_drawn() -> None:
    logits = np.full(20, -np.inf, np.float32)
    logits[[3, 11]] = [0, 1]
    assert set(words(1.0, logits)) == {3, 11}


def test_a_sentence_has_its_own_draws() -> None:
    sampling = Sampling([(1,), (2,), (3,)], 1.0)
    assert (sampling.of([2]).draws(4).numbers[0] == sampling.draws(9).numbers[2, :4]).all()
