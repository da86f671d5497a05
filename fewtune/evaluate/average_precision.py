"""Average precision as COCO computes it (Lin et al. 2014, arXiv:1405.0312), with weights on the pictures.

Each picture's detections are matched once with what is true; whatever its weight, the matches stay. Weights of one
give what faster-coco-eval gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.data.boxes import BoolArray, Boxes, Detections, overlaps
from fewtune.types import FloatArray, IntArray

# The rules of COCO: overlaps from which a detection is right, recalls at which precision is read, detections a picture.
OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_FOUND = 100
# Numbers that are held at once while the draws of weights are gone through.
_HELD = 4_000_000


@dataclass(frozen=True, slots=True)
class Matched:
    """All detections of one class, surest first.

    Attributes:
        picture: (d,) which picture each stands in.
        scores: (d,).
        right: (overlaps, d) whether it found something that was to be found.
        ignored: (overlaps, d) whether it found what is to be ignored: then it does not count.
        wanted: (n,) how many boxes are to be found in each picture.
    """

    picture: IntArray
    scores: FloatArray
    right: BoolArray
    ignored: BoolArray
    wanted: IntArray


def match_class(truths: Sequence[Boxes], found: Sequence[Detections], label: int) -> Matched:
    """Match n pictures' detections of one class with its boxes."""
    rows = [_match(truth, some, label) for truth, some in zip(truths, found, strict=True)]
    scores = np.concatenate([scores for scores, _, _ in rows]) if rows else np.zeros(0)
    order = np.argsort(-scores, kind="stable")
    picture = np.repeat(np.arange(len(rows)), [len(scores) for scores, _, _ in rows])
    right = np.concatenate([right for _, right, _ in rows], axis=1)[:, order]
    ignored = np.concatenate([ignored for _, _, ignored in rows], axis=1)[:, order]
    wanted = np.array([int(((truth.labels == label) & ~truth.ignored).sum()) for truth in truths])
    return Matched(picture[order], scores[order], right, ignored, wanted)


def _match(truth: Boxes, found: Detections, label: int) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Scores (d,), and (overlaps, d) right and ignored, of one picture's detections of one class."""
    mine = np.flatnonzero(found.labels == label)
    mine = mine[np.argsort(-found.scores[mine], kind="stable")][:MOST_FOUND]
    theirs = np.flatnonzero(truth.labels == label)
    theirs = theirs[np.argsort(truth.ignored[theirs], kind="stable")]
    crowd = truth.ignored[theirs]
    shared = overlaps(np.asarray(found.boxes_xyxy[mine], np.float64), truth.boxes_xyxy[theirs], crowd)
    right, ignored = (np.zeros((len(OVERLAPS), len(mine)), np.bool_) for _ in range(2))
    for row, least in enumerate(OVERLAPS):
        free = np.ones(len(theirs), np.bool_)
        for column, one in enumerate(shared):
            # What is to be found comes before what is ignored; of equals, COCO takes the last.
            for kind in (~crowd, crowd):
                open_ = np.flatnonzero(free & kind & (one >= min(least, 1 - 1e-10)))
                if len(open_):
                    best = open_[::-1][one[open_[::-1]].argmax()]
                    free[best] = crowd[best]
                    (ignored if crowd[best] else right)[row, column] = True
                    break
    return found.scores[mine].astype(np.float64), right, ignored


def average_precision(matched: Matched, weights: FloatArray) -> FloatArray:
    """Average precision under several weightings of the pictures.

    Args:
        matched: one class.
        weights: (draws, n) how often each picture counts.

    Returns:
        (overlaps, draws); NaN where nothing is to be found.
    """
    wanted = weights @ matched.wanted
    result = np.full((len(OVERLAPS), len(weights)), np.nan)
    rows = max(1, _HELD // max(1, len(matched.picture)))
    for start in range(0, len(weights), rows):
        some = slice(start, start + rows)
        for row, values in enumerate(_by_overlap(matched, weights[some], wanted[some])):
            result[row, some] = values
    return np.where(wanted > 0, result, np.nan)


def _by_overlap(matched: Matched, weights: FloatArray, wanted: FloatArray) -> Iterator[FloatArray]:
    """(draws,) average precision for each overlap."""
    counted = weights[:, matched.picture]
    for right, ignored in zip(matched.right, matched.ignored, strict=True):
        all_found = np.cumsum(np.where(ignored, 0.0, counted) if ignored.any() else counted, axis=1)
        # Precision is highest where something right has just been found.
        hits = np.flatnonzero(right)
        correct = np.cumsum(counted[:, hits], axis=1)
        precision = correct / np.maximum(all_found[:, hits], np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        recall = correct / np.maximum(wanted, np.spacing(1))[:, None]
        yield np.array([_read(p, r) for p, r in zip(precision, recall, strict=True)])


def _read(precision: FloatArray, recall: FloatArray) -> float:
    """Mean precision at the recalls, 0 where they are not reached."""
    at = np.searchsorted(recall, RECALLS, side="left")
    return (
        float(np.where(at < len(recall), precision[np.minimum(at, len(recall) - 1)], 0.0).mean())
        if len(at) and len(recall)
        else 0.0
    )


def precision_recall(matched: Matched, overlap: int = 0) -> tuple[FloatArray, FloatArray]:
    """(101,) recalls and the precision at each, at one of the overlaps; all NaN where nothing is to be found."""
    wanted = int(matched.wanted.sum())
    if not wanted:
        return RECALLS, np.full(len(RECALLS), np.nan)
    counts = ~matched.ignored[overlap]
    right = matched.right[overlap][counts]
    correct = np.cumsum(right)
    precision = np.maximum.accumulate((correct / np.arange(1, len(right) + 1))[::-1])[::-1]
    at = np.searchsorted(correct / wanted, RECALLS, side="left")
    reached = at < len(right)
    values = np.zeros(len(RECALLS))
    values[reached] = precision[at[reached]]
    return RECALLS, values
