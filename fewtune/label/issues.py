"""Which labels look wrong: examples whose label the model, not having seen them, found unlikely.

Confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70) by cleanlab, on out-of-fold
probabilities. Of a class with a handful of examples the folds teach too little for that; there the
most similar examples vote.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from fewtune.types import Dataset, FloatArray, IntArray, Suspect

# Classes with fewer examples than these are left to their neighbours.
_RARE = 5
_NEIGHBOURS = 5
# So many of the neighbours must agree on another label.
_AGREE = 4
_MOST = 200


def can_be_found() -> bool:
    """Whether what finds them is installed (the extra `train`)."""
    return find_spec("cleanlab") is not None


def suspects(
    dataset: Dataset, targets: IntArray, log_probs: FloatArray, features: Callable[[], FloatArray | None]
) -> tuple[Suspect, ...]:
    """Examples whose label looks wrong, most suspicious first, at most 200.

    Args:
        dataset: n examples.
        targets: (n,) class indices.
        log_probs: (repeats, n, k) out of fold; NaN where a repeat did not validate an example.
        features: gives (n, width) vectors of the examples, if the model has any; called where there are rare classes.
    """
    known = np.flatnonzero(~np.isnan(log_probs[:, :, 0]).all(axis=0))
    probs = np.nanmean(np.exp(log_probs[:, known].astype(np.float64)), axis=0)
    probs /= probs.sum(axis=1, keepdims=True)
    counts = np.bincount(targets, minlength=log_probs.shape[2])
    found = _by_confident_learning(dataset, known, targets[known], probs, counts)
    if (counts[counts > 0] < _RARE).any():
        given = np.full(len(targets), 1 / len(counts))
        given[known] = probs[np.arange(len(known)), targets[known]]
        found += _by_neighbours(dataset, targets, counts, given, features())
    return tuple(sorted(found, key=lambda suspect: suspect.score)[:_MOST])


def _by_confident_learning(
    dataset: Dataset, known: IntArray, targets: IntArray, probs: FloatArray, counts: IntArray
) -> list[Suspect]:
    from cleanlab.filter import find_label_issues

    # cleanlab wants every class to occur; one that no validated example has cannot be suspected of anything.
    classes, of_class = np.unique(targets, return_inverse=True)
    if len(classes) < 2:
        return []
    some = probs[:, classes] / np.maximum(probs[:, classes].sum(axis=1, keepdims=True), 1e-12)
    ranked = find_label_issues(of_class, some, return_indices_ranked_by="self_confidence", n_jobs=1)
    found = []
    for i in np.asarray(ranked, dtype=np.int64).tolist():
        label, suggested = int(targets[i]), int(classes[some[i].argmax()])
        if counts[label] < _RARE or suggested == label:
            continue
        given, best = float(probs[i, label]), float(probs[i, suggested])
        reason = (
            f"the model, not having seen it, gave {dataset.labels[label]!r} {given:.0%} "
            f"and {dataset.labels[suggested]!r} {best:.0%}"
        )
        found.append(_suspect(dataset, int(known[i]), suggested, given, reason))
    return found


def _by_neighbours(
    dataset: Dataset, targets: IntArray, counts: IntArray, given: FloatArray, features: FloatArray | None
) -> list[Suspect]:
    if features is None or len(targets) <= _NEIGHBOURS:
        return []
    rows = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    found = []
    for i in np.flatnonzero(counts[targets] < _RARE).tolist():
        cosines = rows @ rows[i]
        cosines[i] = -np.inf
        nearest = np.argsort(-cosines, kind="stable")[:_NEIGHBOURS]
        votes = np.bincount(targets[nearest], minlength=len(counts))
        winner, label = int(votes.argmax()), int(targets[i])
        if winner != label and votes[winner] >= _AGREE and not votes[label]:
            reason = (
                f"{votes[winner]} of the {_NEIGHBOURS} most similar examples are labelled {dataset.labels[winner]!r}, "
                f"none {dataset.labels[label]!r}"
            )
            found.append(_suspect(dataset, i, winner, float(given[i]), reason))
    return found


def _suspect(dataset: Dataset, i: int, suggested: int, score: float, reason: str) -> Suspect:
    example = dataset.examples[i]
    return Suspect(example.place, str(example.input), example.target, dataset.labels[suggested], score, reason)
