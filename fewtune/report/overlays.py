"""Masks for the page: the truth and the answer side by side, each laid over the picture."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from fewtune.data.mask import IGNORE, ClassIds, IndexMask, overlay, palette
from fewtune.report.plots.svg import decoration, element

if TYPE_CHECKING:
    from PIL.Image import Image

_GAP_PX = 6
_SWATCH = (40, 18)


def mask_of(written: Mapping[str, Any]) -> IndexMask:
    """The mask that a task wrote as JSON."""
    return IndexMask(base64.b64decode(written["png"]))


def side_by_side(picture: Image, truth: ClassIds, answer: ClassIds) -> Image:
    """The truth on the left, the answer on the right; the picture may be smaller than the masks."""
    from PIL import Image

    width, height = picture.size
    laid = Image.new("RGB", (2 * width + _GAP_PX, height), "white")
    laid.paste(overlay(picture, truth), (0, 0))
    laid.paste(overlay(picture, answer), (width + _GAP_PX, 0))
    return laid


def wrong_share(truth: ClassIds, answer: ClassIds) -> float:
    """The share of pixels that are of a class and were called otherwise; 0 where none is of a class."""
    known = truth != IGNORE
    return float((truth[known] != answer[known]).mean()) if known.any() else 0.0


def swatch(number: int) -> Markup:
    """A class's colour, for a cell of a table."""
    red, green, blue = (int(value) for value in palette()[number])
    width, height = _SWATCH
    filled = element("rect", x=0, y=0, width=width, height=height, fill=f"#{red:02x}{green:02x}{blue:02x}")
    return decoration(width, height, filled, class_="swatch")


def pixel_counts(truths: list[ClassIds], answers: list[ClassIds], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(k,) pixels of each class in the truth, and in the answers where the truth is known."""
    truth, answer = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    for one, other in zip(truths, answers, strict=True):
        known = one != IGNORE
        truth += np.bincount(one[known], minlength=classes)[:classes]
        answer += np.bincount(other[known], minlength=classes)[:classes]
    return truth, answer
