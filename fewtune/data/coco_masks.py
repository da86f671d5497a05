"""What COCO's segmentations cover: polygons and run lengths to pixels.

Run lengths go down the columns, zeros first, as numbers or packed into a string of 6 bits a character (the format of
cocodataset/cocoapi, common/maskApi.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BoolMask = NDArray[np.bool_]


def segmentation_pixels(segmentation: Any, height: int, width: int) -> BoolMask:
    """(height, width) what an annotation's `segmentation` covers.

    Raises:
        ValueError: it is neither polygons nor run lengths, or of another size.
    """
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if size is not None and list(size) != [height, width]:
            raise ValueError(f"its run lengths are for {size[1]} x {size[0]} pixels, not {width} x {height}")
        runs = unpack_runs(counts) if isinstance(counts, str) else counts
        if not isinstance(runs, list):
            raise ValueError("its run lengths have no counts")
        return runs_to_pixels(runs, height, width)
    if not isinstance(segmentation, list):
        raise ValueError("its segmentation is neither polygons nor run lengths")
    covered = np.zeros((height, width), bool)
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError("a polygon has fewer than three points, or half a point")
        covered |= polygon_pixels(np.array(polygon, np.float64).reshape(-1, 2), height, width)
    return covered


def polygon_pixels(points: NDArray[np.float64], height: int, width: int) -> BoolMask:
    """(height, width) pixels whose centres lie inside a polygon, by the even-odd rule.

    Args:
        points: (m, 2) x and y of the corners; pixel (0, 0) reaches from 0 to 1.
        height, width: of the picture; what lies outside is cut off.
    """
    if not np.isfinite(points).all():
        raise ValueError("a polygon has a corner that is no number")
    ends = np.roll(points, -1, axis=0)
    # A huge polygon needs no more precision than to know that it reaches beyond the picture.
    top = max(0, int(np.floor(np.clip(points[:, 1].min(), 0, height))))
    bottom = min(height, int(np.ceil(np.clip(points[:, 1].max(), 0, height))))
    covered = np.zeros((height, width), bool)
    if top >= bottom:
        return covered
    centres = np.arange(top, bottom)[:, None] + 0.5
    (x0, y0), (x1, y1) = points.T, ends.T
    rows, edges = np.nonzero((y0 <= centres) != (y1 <= centres))
    y = centres[rows, 0]
    x = x0[edges] + (y - y0[edges]) / (y1[edges] - y0[edges]) * (x1[edges] - x0[edges])
    columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    turns = np.zeros((bottom - top, width + 1), np.int64)
    np.add.at(turns, (rows, columns), 1)
    covered[top:bottom] = np.cumsum(turns, axis=1)[:, :width] % 2 == 1
    return covered


def runs_to_pixels(runs: Sequence[int], height: int, width: int) -> BoolMask:
    """(height, width) from run lengths down the columns, the first of pixels that are not covered.

    Raises:
        ValueError: a run is negative, or they do not cover the picture.
    """
    lengths = np.asarray(runs, np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(f"its run lengths do not add up to {width} x {height} pixels")
    covered = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return covered.reshape(width, height).T


def pixels_to_runs(covered: BoolMask) -> list[int]:
    """Run lengths of a (height, width) mask, as `runs_to_pixels` reads them."""
    column_wise = np.concatenate([[False], covered.T.ravel()])
    changes = np.flatnonzero(np.diff(column_wise))
    return np.diff(np.concatenate([[0], changes, [covered.size]])).tolist()


def unpack_runs(packed: str) -> list[int]:
    """Run lengths from COCO's string: 5 bits a character, low ones first; from the fourth run on, differences.

    Raises:
        ValueError: the string is damaged.
    """
    runs: list[int] = []
    value = shift = 0
    for character in packed:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError("its packed run lengths are damaged")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its packed run lengths are cut off")
    return runs
