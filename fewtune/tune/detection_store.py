"""Pictures on their way into a detector: decoded and scaled once, whatever the epochs, folds and candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewtune.data.boxes import Boxes
from fewtune.data.picture import facts, open_picture
from fewtune.interfaces import RunContext
from fewtune.progress import Step
from fewtune.runtime.letterbox import Letterbox
from fewtune.tune.cache import TrunkCache
from fewtune.types import Example

# How much larger than on the canvas a picture is kept, where it has so many pixels: views look closer.
_LARGER = 1.3
_PICTURES_PER_SEGMENT = 32
_BILINEAR = 2


def kept_pictures(examples: Sequence[Example], letterbox: Letterbox, run: RunContext) -> list[tuple[np.ndarray, Boxes]]:
    """(h, w, 3) uint8 of every picture, a little larger than on the canvas, with its boxes in its pixels."""
    path_of = {facts(example.input).sha256: example.input for example in examples}

    def decode(keys: list[str], step: Step) -> list[np.ndarray]:
        rows = []
        for key in keys:
            picture = open_picture(path_of[key])
            resized = picture.resize(_kept_size(picture.size, letterbox), resample=_BILINEAR, reducing_gap=3.0)  # type: ignore[arg-type]
            rows.append(np.asarray(resized).reshape(-1, 3))
            step.advance()
        return rows

    name = f"boxed-{letterbox.width_px}x{letterbox.height_px}"
    cache = TrunkCache(run.work / "features", name, chunk=_PICTURES_PER_SEGMENT)
    keys = [facts(example.input).sha256 for example in examples]
    rows = cache.blocks(keys, decode, progress=run.progress, name="Read the pictures")
    return [_as_picture(row, example, letterbox) for row, example in zip(rows, examples, strict=True)]


def _kept_size(size: tuple[int, int], letterbox: Letterbox) -> tuple[int, int]:
    width, height = size
    factor = min(1.0, _LARGER * min(letterbox.width_px / width, letterbox.height_px / height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _as_picture(row: np.ndarray, example: Example, letterbox: Letterbox) -> tuple[np.ndarray, Boxes]:
    upright = facts(example.input).upright_size
    width, height = _kept_size(upright, letterbox)
    target: Boxes = example.target
    factors = np.tile(np.array([width, height]) / np.array(upright), 2)
    return row.reshape(height, width, 3), Boxes(target.boxes_xyxy * factors, target.labels, target.ignored)
