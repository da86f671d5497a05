"""Views of a picture with boxes: flipped, scaled, moved, in another light; the boxes go along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from fewtune.data.boxes import Boxes, areas, clipped
from fewtune.types import FloatArray

# What is left of a box that a view cuts, at least, for it to be asked for still.
_LEAST_SEEN = 0.4
_LEAST_SIDE_PX = 2.0
_BILINEAR = 2


@dataclass(frozen=True, slots=True)
class Variety:
    """How far views go.

    Attributes:
        mirror, upside_down, turn: whether left and right, top and bottom, or the two axes may be exchanged.
        smallest, largest: factors on the size of what is seen.
        light: share by which brightness, contrast and each colour change at most.
    """

    mirror: bool = True
    upside_down: bool = False
    turn: bool = False
    smallest: float = 0.7
    largest: float = 1.5
    light: float = 0.2


def view(
    picture: np.ndarray, truth: Boxes, width_px: int, height_px: int, variety: Variety, generator: np.random.Generator
) -> tuple[np.ndarray, Boxes]:
    """One view on a canvas.

    Args:
        picture: (h, w, 3) uint8, scaled so that it about fits the canvas.
        truth: its boxes, in its pixels.
        width_px, height_px: of the canvas.
        variety: how far to go.
        generator: draws the view.

    Returns:
        (height, width, 3) uint8, and the boxes that are seen in it, in its pixels.
    """
    picture, boxes = _turned(picture, truth.boxes_xyxy, variety, generator)
    height, width = picture.shape[:2]
    fit = min(width_px / width, height_px / height)
    low, high = np.log(variety.smallest), np.log(variety.largest)
    factor = fit * float(np.exp(generator.uniform(low, high)))
    left = _offset(width, width_px / factor, generator)
    top = _offset(height, height_px / factor, generator)
    laid = _laid(picture, left, top, factor, width_px, height_px, _lights(variety.light, generator))
    moved = (boxes - np.array([left, top, left, top])) * factor
    return laid, _seen(moved, truth, width_px, height_px)


def _turned(
    picture: np.ndarray, boxes: FloatArray, variety: Variety, generator: np.random.Generator
) -> tuple[np.ndarray, FloatArray]:
    mirror, upside_down, turn = (bool(value) for value in generator.random(3) < 0.5)
    if variety.turn and turn:
        picture, boxes = picture.transpose(1, 0, 2), boxes[:, [1, 0, 3, 2]]
    height, width = picture.shape[:2]
    if variety.mirror and mirror:
        picture, boxes = (
            picture[:, ::-1],
            np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1),
        )
    if variety.upside_down and upside_down:
        picture, boxes = (
            picture[::-1],
            np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], 1),
        )
    return picture, boxes


def _offset(side: float, seen: float, generator: np.random.Generator) -> float:
    """Where the view begins: within the picture, or, where it is wider than that, so that all of it is seen."""
    return float(generator.uniform(min(0.0, side - seen), max(0.0, side - seen)))


def _laid(
    picture: np.ndarray, left: float, top: float, factor: float, width_px: int, height_px: int, lights: np.ndarray
) -> np.ndarray:
    """What of a picture a view sees, on a canvas whose rest is grey."""
    height, width = picture.shape[:2]
    box = np.array(
        [max(0.0, left), max(0.0, top), min(width, left + width_px / factor), min(height, top + height_px / factor)]
    )
    start = np.round((box[:2] - [left, top]) * factor).astype(int)
    end = np.minimum(np.round((box[2:] - [left, top]) * factor).astype(int), [width_px, height_px])
    size = np.maximum(end - start, 1)
    resized = Image.fromarray(np.ascontiguousarray(picture)).resize(
        (int(size[0]), int(size[1])), resample=_BILINEAR, box=tuple(box.tolist())
    )
    laid = np.full((height_px, width_px, 3), 127, np.uint8)
    lit = np.stack([lights[c][np.asarray(resized)[..., c]] for c in range(3)], -1)
    laid[start[1] : start[1] + size[1], start[0] : start[0] + size[0]] = lit[
        : height_px - start[1], : width_px - start[0]
    ]
    return laid


def _lights(light: float, generator: np.random.Generator) -> np.ndarray:
    """(3, 256) uint8 what each value of each colour becomes: contrast and brightness, and each colour by itself."""
    contrast = 1 + generator.uniform(-light, light)
    shift = 128 * generator.uniform(-light, light) + 128 * (1 - contrast)
    colour = 1 + generator.uniform(-light / 2, light / 2, 3)
    return np.clip(np.arange(256) * contrast * colour[:, None] + shift, 0, 255).astype(np.uint8)


def _seen(moved: FloatArray, truth: Boxes, width_px: int, height_px: int) -> Boxes:
    """Boxes cut at the canvas; one of which little is left is ignored, one that is gone is gone."""
    cut = clipped(moved, width_px, height_px)
    whole, left = areas(moved), areas(cut)
    there = ((cut[:, 2:] - cut[:, :2]) >= _LEAST_SIDE_PX).all(1)
    little = left < _LEAST_SEEN * whole
    return Boxes(cut[there], truth.labels[there], (truth.ignored | little)[there])
