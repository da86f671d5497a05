"""What out-of-fold answers teach of the answers to come: when they are unsure, which labels are possible."""

from __future__ import annotations

import numpy as np

from fewtune.evaluate.conformal import true_label_probabilities
from fewtune.evaluate.scope import scope_threshold
from fewtune.evaluate.selective import choose_thresholds
from fewtune.types import AnswerRules, FloatArray, IntArray

# The mean of fewer would be the vector of an example, or nearly so, and the bundle is passed on.
_FEWEST_OF_A_MEAN = 3


def classifier_rules(
    targets: IntArray,
    log_probs: FloatArray,
    similarity: FloatArray | None,
    groups: IntArray,
    generator: np.random.Generator,
) -> AnswerRules:
    """The rules of a classifier.

    Args:
        targets: (n,) class indices.
        log_probs: (repeats, n, k) calibrated, out of fold; NaN where a repeat did not validate an example.
        similarity: (repeats, n) to the classes, out of fold; None where the model has no features.
        groups: (n,) group indices.
        generator: of what is drawn on the way.
    """
    least = None
    outside = None
    if similarity is not None and not np.isnan(similarity).all() and _means_hide_examples(targets, groups):
        least = scope_threshold(similarity)
        outside = similarity < least
    return AnswerRules(
        thresholds=choose_thresholds(targets, log_probs, groups, generator, outside=outside),
        true_label_probabilities=true_label_probabilities(targets, log_probs, groups),
        scope_threshold=least,
    )


def _means_hide_examples(targets: IntArray, groups: IntArray) -> bool:
    """Whether the mean of each class stands on so many examples that it gives none of them away."""
    pairs = np.unique(np.stack([targets, groups]), axis=1)
    return bool((np.bincount(pairs[0])[np.unique(targets)] >= _FEWEST_OF_A_MEAN).all())
