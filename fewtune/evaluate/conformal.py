"""Sets of labels that hold the true one as often as was asked for.

Cross-conformal prediction (Vovk 2015, Annals of Mathematics and Artificial Intelligence 74) with the
least ambiguous sets (Sadinle, Lei & Wasserman 2019): a label is in the set where its probability is
not lower than the true labels' were, out of fold, in all but the share of cases that may be missed.
"""

from __future__ import annotations

import math

import numpy as np

from fewtune.evaluate.intervals import effective_size
from fewtune.types import FloatArray, IntArray

# More than these say nothing that their quantiles do not.
_MOST_KEPT = 1000


def true_label_probabilities(targets: IntArray, log_probs: FloatArray, groups: IntArray) -> tuple[float, ...]:
    """What the true labels were given out of fold, in rising order, at most a thousand quantiles of them.

    Args:
        targets: (n,) class indices.
        log_probs: (repeats, n, k) calibrated; NaN where a repeat did not validate an example.
        groups: (n,) group indices; examples of one group count as one.
    """
    given = np.take_along_axis(log_probs, targets[None, :, None], axis=2)[:, :, 0]
    known = np.sort(np.exp(given[~np.isnan(given)].astype(np.float64)))
    examples = min(len(known), round(effective_size(groups[~np.isnan(given).all(axis=0)])))
    # One number an independent example: repeats and likes are not more data.
    # The lowest of each bunch, to be on the safe side.
    ordered = known[np.arange(examples) * len(known) // max(examples, 1)]
    if examples > _MOST_KEPT:
        ordered = np.quantile(ordered, np.linspace(0, 1, _MOST_KEPT))
    return tuple(round(float(value), 6) for value in ordered)


def set_threshold(probabilities: tuple[float, ...], coverage: float) -> float:
    """The least probability that a label of the set has, for sets that hold the true one in `coverage` of cases.

    Args:
        probabilities: of true labels, in rising order.
        coverage: share of cases, between 0 and 1.

    Returns:
        0 where so few examples allow no such promise for less than all labels.
    """
    n = len(probabilities)
    # The share that may be missed, made smaller by one example: the new one is one of n + 1.
    missed = min(n, math.floor((n + 1) * (1 - coverage) + 1e-9))
    return probabilities[missed - 1] if missed >= 1 else 0.0


def label_sets(probs: FloatArray, threshold: float) -> np.ndarray:
    """(n, k) whether each label is in the set of each example; the likeliest one always is."""
    chosen = probs >= threshold
    chosen[np.arange(len(probs)), probs.argmax(axis=1)] = True
    return chosen
