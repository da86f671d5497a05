"""How well masks fit: intersection over union, Dice and the share of right pixels, from counts of each picture.

Everything comes from three counts of each picture and class: pixels that are of the class and were called so, that are
of it, and that were called so. Summed over the pictures, as often as each counts, they give every metric; pixels
of 255 in the truth are in none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.data.mask import IGNORE, ClassIds
from fewtune.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class MaskCounts:
    """What n pictures' masks and answers have in common.

    Attributes:
        both: (n, k) pixels of a class that were called so.
        truth: (n, k) pixels of a class.
        answered: (n, k) pixels that were called so.
    """

    both: IntArray
    truth: IntArray
    answered: IntArray


def confusion(truth: ClassIds, answer: ClassIds, classes: int) -> IntArray:
    """(k, k) pixels by class and by what they were called; those of 255 in the truth are left out.

    Raises:
        ValueError: the two are of different size.
    """
    if truth.shape != answer.shape:
        raise ValueError(f"the truth has {truth.shape} pixels, and the answer {answer.shape}")
    kept = truth != IGNORE
    pairs = truth[kept].astype(np.int64) * classes + answer[kept]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def count_masks(confusions: Sequence[IntArray]) -> MaskCounts:
    """From the (k, k) confusion of each of n pictures."""
    stacked = [(np.diagonal(table), table.sum(axis=1), table.sum(axis=0)) for table in confusions]
    both, truth, answered = (np.stack(some) for some in zip(*stacked, strict=True))
    return MaskCounts(both, truth, answered)


def mask_metrics(counts: MaskCounts, weights: FloatArray) -> tuple[dict[str, FloatArray], Mapping[str, FloatArray]]:
    """The metrics under several weightings of the pictures.

    Args:
        counts: of n pictures and k classes.
        weights: (draws, n), how often each picture counts.

    Returns:
        `miou`, `dice` and `pixel_accuracy`, (draws,) each; and `iou` and `dice` of each class, (draws, k) each. A class
        that is neither in the truth nor in the answers has none (NaN), and is left out of the means over classes.
    """
    both, truth, answered = (weights @ some.astype(np.float64) for some in (counts.both, counts.truth, counts.answered))
    iou = _ratio(both, truth + answered - both)
    dice = _ratio(2 * both, truth + answered)
    means = {
        "miou": _mean(iou),
        "dice": _mean(dice),
        "pixel_accuracy": _ratio(both.sum(axis=1), truth.sum(axis=1)),
    }
    return means, {"iou": iou, "dice": dice}


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean(values: FloatArray) -> FloatArray:
    """(draws,) over the classes that have a value."""
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1).astype(np.float64))
