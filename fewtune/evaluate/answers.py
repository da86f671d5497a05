"""What out-of-fold answers teach of the answers to come: when they are unsure, which labels are possible."""

from __future__ import annotations

import numpy as np

from fewtune.evaluate.conformal import true_label_probabilities
from fewtune.evaluate.scope import scope_threshold
from fewtune.evaluate.selective import choose_thresholds
from fewtune.types import AnswerRules, FloatArray, IntArray


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
    has_features = similarity is not None and not np.isnan(similarity).all()
    return AnswerRules(
        thresholds=choose_thresholds(targets, log_probs, groups, generator),
        true_label_probabilities=true_label_probabilities(targets, log_probs),
        scope_threshold=scope_threshold(similarity) if similarity is not None and has_features else None,
    )
