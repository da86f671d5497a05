"""Turn what a classifier computes into answers that say when they are unsure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.errors import RecipeError
from fewtune.evaluate.conformal import label_sets, set_threshold
from fewtune.evaluate.scope import similarity
from fewtune.types import Answer, FloatArray, Threshold

SCOPE_FILE = "scope.safetensors"
# The method of a bundle that no label went into (`tune/label_names.py`).
_OF_NAMES = "label-names"


def read_class_means(folder: Path, manifest: Manifest) -> FloatArray | None:
    """(k, width) what tells inputs of another kind; None where the bundle cannot tell them."""
    if manifest.answer_rules.scope_threshold is None or SCOPE_FILE not in manifest.files:
        return None
    from safetensors.numpy import load_file

    return load_file(folder / SCOPE_FILE)["class_means"]


def answers(
    manifest: Manifest,
    probs: FloatArray,
    features: FloatArray | None,
    class_means: FloatArray | None,
    *,
    max_error: float | None = None,
    coverage: float | None = None,
) -> list[Answer]:
    """An answer for each input.

    Args:
        manifest: what the bundle says of itself.
        probs: (n, k) probabilities.
        features: (n, width) vectors of the inputs; None where the model has none.
        class_means: as `read_class_means` reads them.
        max_error: highest share of errors among the answers that are not unsure; None: none is unsure.
        coverage: how often the true label is to be among `labels`; None: no labels are listed.

    Raises:
        RecipeError: the bundle promises no such share of errors, or the coverage is not between 0 and 1.
    """
    below = 0.0 if max_error is None else _threshold(manifest, max_error)
    outside = np.zeros(len(probs), bool) if max_error is None else _outside(manifest, features, class_means, len(probs))
    sets = _sets(manifest, probs, coverage)
    found = []
    for row, is_outside, chosen in zip(probs, outside, sets, strict=True):
        best = int(row.argmax())
        order = [i for i in np.argsort(-row, kind="stable") if chosen[i]]
        unsure = bool(is_outside or row[best] < below)
        labels = tuple(manifest.labels[i] for i in order)
        found.append(Answer(manifest.labels[best], float(row[best]), unsure, bool(is_outside), labels))
    return found


def _threshold(manifest: Manifest, max_error: float) -> float:
    if not 0 < max_error < 1:
        raise RecipeError(
            f"The share of errors cannot be {max_error:g}.",
            where="--max-error",
            how="Write a share between 0 and 1, such as 0.05.",
        )
    known = {threshold.target_error: threshold for threshold in manifest.answer_rules.thresholds}
    within = [goal for goal in known if goal <= max_error + 1e-9]
    if not known:
        raise _without_thresholds(manifest)
    reached = [goal for goal in within if known[goal].below is not None]
    if not reached:
        raise RecipeError(
            "With the labels that this model learnt from, no answers are expected to be right in "
            f"{100 * (1 - max_error):.4g} %.",
            where="--max-error",
            how=_possible(list(known.values())),
        )
    below = known[max(reached)].below
    assert below is not None
    return below


def _without_thresholds(manifest: Manifest) -> RecipeError:
    if manifest.method == _OF_NAMES:
        return RecipeError(
            "This bundle was made of the names of its classes alone: no label has measured how often it is right, so "
            "that no share of errors can be promised.",
            where="--max-error",
            how="Label fifty texts (`fewtune suggest` says which) and fit with them, or leave the option out.",
        )
    return RecipeError(
        "This bundle does not say when it is unsure.", where="--max-error", how="Fit it again with this fewtune."
    )


def _possible(thresholds: list[Threshold]) -> str:
    reached = [f"{threshold.target_error:g}" for threshold in thresholds if threshold.below is not None]
    more = "label more examples and fit again"
    return f"Possible: {', '.join(reached)}; or {more}." if reached else f"{more.capitalize()}."


def _outside(manifest: Manifest, features: FloatArray | None, class_means: FloatArray | None, count: int) -> np.ndarray:
    least = manifest.answer_rules.scope_threshold
    if least is None or features is None or class_means is None:
        return np.zeros(count, bool)
    return similarity(features, class_means) < least


def _sets(manifest: Manifest, probs: FloatArray, coverage: float | None) -> np.ndarray:
    if coverage is None:
        return np.zeros(probs.shape, bool)
    if not 0 < coverage < 1:
        raise RecipeError(
            f"The labels cannot hold the true one in {coverage:g} of the cases.",
            where="--sets",
            how="Write a share between 0 and 1, such as 0.9.",
        )
    return label_sets(probs, set_threshold(manifest.answer_rules.true_label_probabilities, coverage))
