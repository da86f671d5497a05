"""How large a canvas a detector reads: of the pictures' shape, and large enough for the boxes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fewtune.data.boxes import Boxes, areas
from fewtune.data.picture import facts
from fewtune.types import Dataset, FloatArray

# Sides are multiples of the coarsest map's stride.
MULTIPLE_PX = 32
# Pixels of a canvas: as a rule, and at most, where boxes are small.
_USUAL_AREA = 416 * 320
_LARGEST_AREA = 640 * 480
# A class whose boxes have a median side (root of the area) below this on the canvas is given a larger one.
_WANTED_SIDE_PX = 16.0


def canvas_of(dataset: Dataset, area: float) -> tuple[int, int]:
    """Width and height in pixels, multiples of 32, of about that area, for pictures like these."""
    return _of_area(area, _ratio(dataset))


def canvas_size(dataset: Dataset) -> tuple[int, int]:
    """Width and height in pixels, multiples of 32, for pictures and boxes like these."""
    ratio = _ratio(dataset)
    usual = _of_area(_USUAL_AREA, ratio)
    sides = [float(np.median(some)) for some in sides_by_class(dataset, *usual) if len(some)]
    short = _WANTED_SIDE_PX / max(1e-6, min(sides, default=_WANTED_SIDE_PX))
    return _of_area(min(_LARGEST_AREA, max(1.0, short**2) * _USUAL_AREA), ratio)


def sides_by_class(dataset: Dataset, width_px: int, height_px: int) -> list[FloatArray]:
    """For each label the boxes' sides (roots of their areas) in pixels of a canvas that pictures are fitted into."""
    found: list[list[FloatArray]] = [[] for _ in dataset.labels]
    for example in dataset:
        fact = facts(example.input)
        target: Boxes = example.target
        if not fact.error and len(target):
            width, height = fact.upright_size
            sides = np.sqrt(areas(target.boxes_xyxy)) * min(width_px / width, height_px / height)
            for label in np.unique(target.labels):
                found[label].append(sides[target.labels == label])
    return [np.concatenate(some) if some else np.zeros(0) for some in found]


def _shapes(dataset: Dataset) -> Iterator[tuple[int, int]]:
    for example in dataset:
        fact = facts(example.input)
        if not fact.error:
            yield fact.upright_size


def _ratio(dataset: Dataset) -> float:
    """Of the pictures' widths to their heights, in the middle."""
    shapes = np.array(list(_shapes(dataset)), np.float64).reshape(-1, 2)
    return float(np.exp(np.median(np.log(shapes[:, 0] / shapes[:, 1])))) if len(shapes) else 1.0


def _of_area(area: float, ratio: float) -> tuple[int, int]:
    """The sides whose shape and area are nearest to what is wanted; no side is more than twice the other."""
    ratio = min(2.0, max(0.5, ratio))
    sides = range(2 * MULTIPLE_PX, 1025, MULTIPLE_PX)

    def off(size: tuple[int, int]) -> float:
        width, height = size
        return 2 * abs(np.log(width / height / ratio)) + abs(np.log(width * height / area))

    return min(((width, height) for width in sides for height in sides), key=off)
