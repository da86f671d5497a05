"""Boxes around things in pictures: what is true, what is found, and the arithmetic on both.

A box is left, top, right, bottom in pixels of the upright picture; right and bottom are the far edges, so that
a box from 0 to 1 is one pixel wide.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fewtune.types import FloatArray, IntArray

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was wrong with a picture's boxes as they were given; `check` tells of it.

    Attributes:
        code: short and stable, e.g. "box-outside".
        what: which box, and what was done about it.
    """

    code: str
    what: str


@dataclass(frozen=True, slots=True)
class Boxes:
    """What is to be found in a picture; none at all is an answer too.

    Attributes:
        boxes_xyxy: (m, 4) float64.
        labels: (m,) indices of the data set's labels.
        ignored: (m,) whether a box is a crowd or marked as difficult: neither asked for nor held against a model.
        faults: what was wrong with them as they were given.
    """

    boxes_xyxy: FloatArray = field(default_factory=lambda: np.zeros((0, 4)))
    labels: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    ignored: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    faults: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Detections:
    """What a model found in a picture, surest first.

    Attributes:
        boxes_xyxy: (m, 4).
        labels: (m,) indices of the model's labels.
        scores: (m,) between 0 and 1.
    """

    boxes_xyxy: FloatArray = field(default_factory=lambda: np.zeros((0, 4)))
    labels: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    scores: FloatArray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.scores)


def areas(boxes_xyxy: FloatArray) -> FloatArray:
    """(m,) areas of (m, 4) boxes; 0 where a box is inside out."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def clipped(boxes_xyxy: FloatArray, width: float, height: float) -> FloatArray:
    """(m, 4) boxes with what lies outside of a picture cut off."""
    return np.clip(boxes_xyxy, 0, np.array([width, height, width, height], np.float64))


def overlaps(first: FloatArray, second: FloatArray, crowd: BoolArray | None = None) -> FloatArray:
    """(m, k) intersection over union of (m, 4) and (k, 4) boxes.

    Args:
        first, second: boxes.
        crowd: (k,) of `second`, where the intersection is divided by the area of the first box instead (COCO).
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(high - low, 0)
    shared = sides[..., 0] * sides[..., 1]
    own = np.broadcast_to(areas(first)[:, None], shared.shape)
    whole = own + areas(second)[None] - shared
    if crowd is not None:
        whole = np.where(crowd[None], own, whole)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def without_repeats(found: Detections, *, overlap: float, most: int) -> Detections:
    """Non-maximum suppression: of boxes of one class that overlap more than `overlap`, the surest stays.

    Args:
        found: in any order.
        overlap: intersection over union.
        most: how many are kept at most, over all classes.
    """
    order = np.argsort(-found.scores, kind="stable")
    boxes, labels = found.boxes_xyxy[order].astype(np.float64), found.labels[order]
    left, kept = np.arange(len(order)), []
    while len(left) and len(kept) < most:
        first, left = left[0], left[1:]
        kept.append(int(first))
        same = labels[left] == labels[first]
        repeats = same & (overlaps(boxes[first][None], boxes[left])[0] > overlap)
        left = left[~repeats]
    chosen = order[kept]
    return Detections(found.boxes_xyxy[chosen], found.labels[chosen], found.scores[chosen])
