"""chrF and BLEU under weights: each sentence's counts by sacreBLEU, summed up as often as the sentence counts.

With weights of one they are sacreBLEU's own corpus scores (Post 2018, W18-6319); chrF: Popović 2015, W15-3049,
character 6-grams, beta 2; BLEU: Papineni et al. 2002, tokenised as 13a, exponential smoothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fewtune.errors import MissingExtraError
from fewtune.types import FloatArray, IntArray

_ORDER = 4


def chrf_counts(answers: Sequence[str], references: Sequence[str]) -> FloatArray:
    """(n, 18) for each of six orders: n-grams of the answer, of the reference, and of both.

    Raises:
        MissingExtraError: sacreBLEU is not installed.
    """
    return _counts("CHRF", answers, references, 18)


def bleu_counts(answers: Sequence[str], references: Sequence[str]) -> FloatArray:
    """(n, 10) words of the answer and of the reference; right n-grams of four orders; n-grams of four orders."""
    return _counts("BLEU", answers, references, 10)


def _counts(metric: str, answers: Sequence[str], references: Sequence[str], width: int) -> FloatArray:
    try:
        from sacrebleu import metrics
    except ImportError:
        raise MissingExtraError("translate", needed_for="Scoring translations") from None
    if not answers:
        return np.zeros((0, width))
    found = getattr(metrics, metric)()._extract_corpus_statistics(list(answers), [list(references)])
    return np.array(found, float)


def chrf(counts: FloatArray, weights: FloatArray) -> FloatArray:
    """(draws,) chrF, 0 to 100; NaN where no sentence counts.

    Args:
        counts: as `chrf_counts` gives them.
        weights: (draws, n).
    """
    sums = (weights @ counts).reshape(len(weights), 6, 3)
    given, wanted, shared = sums[:, :, 0], sums[:, :, 1], sums[:, :, 2]
    known = (given > 0) & (wanted > 0)
    orders = known.sum(axis=1)
    precision = _mean(shared, given, known, orders)
    recall = _mean(shared, wanted, known, orders)
    beta = 4.0
    total = beta * precision + recall
    scores = np.divide((1 + beta) * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return np.where(weights.sum(axis=1) > 0, 100 * scores, np.nan)


def _mean(part: FloatArray, whole: FloatArray, known: NDArray[np.bool_], orders: IntArray) -> FloatArray:
    shares = np.divide(part, whole, out=np.zeros_like(part), where=known)
    return shares.sum(axis=1) / np.maximum(orders, 1)


def bleu(counts: FloatArray, weights: FloatArray) -> FloatArray:
    """(draws,) BLEU, 0 to 100; NaN where no sentence counts. Arguments as of `chrf`."""
    sums = weights @ counts
    length, wanted, right, total = sums[:, 0], sums[:, 1], sums[:, 2 : 2 + _ORDER], sums[:, 2 + _ORDER :]
    # The n-th order without a match counts as half of the one before it would: 1/2, 1/4, ...
    missed = np.cumsum((right == 0) & (total > 0), axis=1)
    shares = np.where(right > 0, right, 0.5**missed) / np.maximum(total, 1e-300)
    defined = (total > 0).all(axis=1) & (right > 0).any(axis=1)
    logarithms = np.log(np.where(total > 0, shares, 1.0)).mean(axis=1)
    brevity = np.where(length < wanted, np.exp(1 - wanted / np.maximum(length, 1e-300)), 1.0)
    scores = np.where(defined, 100 * brevity * np.exp(logarithms), 0.0)
    return np.where(weights.sum(axis=1) > 0, scores, np.nan)


def weighted_share(parts: FloatArray, wholes: FloatArray, weights: FloatArray) -> FloatArray:
    """(draws,) sum of the parts over the sum of the wholes, each (n,); NaN where there is no whole."""
    total = weights @ wholes
    return np.divide(weights @ parts, total, out=np.full(len(weights), np.nan), where=total > 0)
