"""Masks that somebody paints on a picture.

In the project: an index PNG, in which 0 is not painted, 255 is passed over, and any other number is that of a shape
such as {"label": "sky", "index": 2}. On the way to the page and back: run lengths along the rows, whose numbers are
those of a list of labels, counted from 1, for a browser that is to keep a picture's pixels may change them a little
(against being told by them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from fewtune.data.coco_masks import pixels_to_runs
from fewtune.data.mask import IGNORE, ClassIds, IndexMask, encode_mask
from fewtune.data.read.masks import BACKGROUND
from fewtune.studio.refusals import StudioRefusal
from fewtune.studio.shapes import Shape

# {"width", "height", "runs": [number, length, number, length, ...], "labels": ["sky", ...]}
Painted = dict[str, Any]


def kept(painted: Mapping[str, Any]) -> tuple[bytes, list[Shape]]:
    """What the page painted as an index PNG and the labels of its numbers, those alone that occur.

    Raises:
        StudioRefusal: the runs do not cover the picture, or name no label.
    """
    numbers, lengths = np.array(painted["runs"], np.int64).reshape(-1, 2).T
    labels, size = painted["labels"], painted["width"] * painted["height"]
    if lengths.sum() != size or not (((numbers >= 0) & (numbers <= len(labels))) | (numbers == IGNORE)).all():
        raise StudioRefusal(422, "bad-mask", "The mask does not fit the picture.", where="mask", how="Reload the page.")
    ids = np.repeat(numbers.astype(np.uint8), lengths).reshape(painted["height"], painted["width"])
    return kept_ids(ids, labels)


def kept_ids(ids: ClassIds, labels: Sequence[str]) -> tuple[bytes, list[Shape]]:
    """The same of (h, w) numbers of labels, counted from 1."""
    there = [number for number in np.unique(ids).tolist() if number not in (0, IGNORE)]
    return encode_mask(ids), [{"label": labels[number - 1], "index": number} for number in there]


def painted(png: bytes | None, shapes: Sequence[Shape], size: tuple[int, int], px: int) -> Painted:
    """A kept mask as the page paints it, at most `px` pixels wide and high; without a mask nothing is painted.

    Args:
        png: as `kept` gave it.
        shapes: the labels of its numbers as they are now.
        size: width and height of the picture.
        px: of the longer side.
    """
    labels = list(dict.fromkeys(shape["label"] for shape in shapes))
    if png is None:
        ids = np.zeros(scaled(size, px)[::-1], np.uint8)
    else:
        ids = renumbered(png, shapes, labels)
        ids = resized(ids, scaled(ids.shape[::-1], px))
    return as_runs(ids, labels)


def as_runs(ids: ClassIds, labels: Sequence[str]) -> Painted:
    """(h, w) numbers of labels, counted from 1, as the page paints them."""
    flat = ids.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=-1 - int(flat[0])))
    lengths = np.diff(starts, append=len(flat))
    runs = np.stack([flat[starts], lengths], axis=1).ravel().tolist()
    return {"width": ids.shape[1], "height": ids.shape[0], "runs": runs, "labels": list(labels)}


def renumbered(png: bytes, shapes: Sequence[Shape], labels: Sequence[str]) -> ClassIds:
    """(h, w) of a kept mask, its numbers those of `labels`, counted from 1; labels that are gone are not painted."""
    table = np.zeros(256, np.uint8)
    table[IGNORE] = IGNORE
    for shape in shapes:
        table[shape["index"]] = labels.index(shape["label"]) + 1 if shape["label"] in labels else 0
    return table[IndexMask(png).ids]


def segmented(png: bytes, shapes: Sequence[Shape], size: tuple[int, int]) -> list[Shape]:
    """A kept mask as boxes around the labels, with COCO's run lengths."""
    labels = list(dict.fromkeys(shape["label"] for shape in shapes))
    ids = resized(renumbered(png, shapes, labels), size)
    found = []
    for number, label in enumerate(labels, start=1):
        pixels = ids == number
        if pixels.any():
            (rows,), (columns,) = np.nonzero(pixels.any(axis=1)), np.nonzero(pixels.any(axis=0))
            box = [int(edge) for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)]
            runs = {"size": list(pixels.shape), "counts": pixels_to_runs(pixels)}
            found.append({"label": label, "box": box, "area": int(pixels.sum()), "segmentation": runs})
    return found


def foreground(ids: ClassIds, labels: Sequence[str]) -> tuple[ClassIds, list[str]]:
    """(h, w) class ids, counted from 0, as numbers of labels counted from 1, what is background as not painted."""
    names = [label for label in labels if label.casefold() != BACKGROUND]
    table = np.zeros(256, np.uint8)
    table[IGNORE] = IGNORE
    for number, label in enumerate(labels):
        table[number] = names.index(label) + 1 if label in names else 0
    return table[ids], names


def resized(ids: ClassIds, size: tuple[int, int]) -> ClassIds:
    """The same at another width and height; no number comes up that was not there."""
    return np.asarray(Image.fromarray(ids).resize(size, Image.Resampling.NEAREST))


def scaled(size: tuple[int, int], px: int) -> tuple[int, int]:
    """Width and height of which the longer is at most `px`."""
    factor = min(1.0, px / max(size))
    width, height = (max(1, round(side * factor)) for side in size)
    return width, height
