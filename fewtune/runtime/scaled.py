"""How a picture of any size becomes what a segmenter takes, and its logits a mask of the picture's own size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.data.mask import ClassIds
from fewtune.errors import BundleError
from fewtune.types import FloatArray

if TYPE_CHECKING:
    from PIL.Image import Image

_HOW = (
    "apply the EXIF orientation; lay what is transparent on white; to 8-bit RGB; scale (bilinear, Pillow) so that the "
    "longer side has `size_px` pixels and the shorter at least one; divide by 255; subtract `mean`, divide by `std`; "
    "channels first; add zeros on the right and below up to multiples of `stride`. Of the logits, take what covers "
    "the picture, scale each class to the picture's own size (bilinear, pixel centres aligned), and take the largest"
)
# Pixels of a mask that are made at once: bounds what is held of large pictures.
_BAND_PIXELS = 4_000_000


@dataclass(frozen=True, slots=True)
class Scaled:
    """From a picture of any size to what a network takes, and back.

    Attributes:
        size_px: the longer side of what the network sees.
        stride: what both sides are multiples of, once padded.
        mean, std: (3,) of RGB between 0 and 1.
    """

    size_px: int
    stride: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of what the network sees of such a picture."""
        share = self.size_px / max(width, height)
        return max(1, round(width * share)), max(1, round(height * share))

    def scale(self, picture: Image) -> np.ndarray:
        """(h, w, 3) uint8 of an upright RGB picture."""
        # Pillow's bilinear filter also averages where pictures become smaller.
        return np.asarray(picture.resize(self.size_of(*picture.size), resample=2))

    def pixels(self, scaled: np.ndarray) -> FloatArray:
        """(h, w, 3) uint8 to (1, 3, height, width) float32 as the network takes it."""
        height, width = scaled.shape[:2]
        padded = np.zeros((1, 3, self._up(height), self._up(width)), np.float32)
        normalised = (scaled.astype(np.float32) / np.float32(255) - np.array(self.mean, np.float32)) / np.array(
            self.std, np.float32
        )
        padded[0, :, :height, :width] = normalised.transpose(2, 0, 1)
        return padded

    def _up(self, length: int) -> int:
        return -(-length // self.stride) * self.stride

    def mask(self, logits: FloatArray, width: int, height: int) -> ClassIds:
        """(height, width) uint8: the likeliest class of each of a picture's own pixels.

        Args:
            logits: (classes, h, w) of the padded picture, at a fraction of its size.
            width, height: the picture's own.
        """
        seen_width, seen_height = self.size_of(width, height)
        across = logits.shape[2] / self._up(seen_width) * seen_width
        down = logits.shape[1] / self._up(seen_height) * seen_height
        ids = np.zeros((height, width), np.uint8)
        rows = max(1, _BAND_PIXELS // width)
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            box = (0.0, down * top / height, across, down * bottom / height)
            ids[top:bottom] = _largest(logits, (width, bottom - top), box)
        return ids

    def to_json(self) -> bytes:
        """As the bundle holds it."""
        return (json.dumps({"how": _HOW, **asdict(self)}, indent=2) + "\n").encode()


def _largest(logits: FloatArray, size: tuple[int, int], box: tuple[float, float, float, float]) -> ClassIds:
    """Class by class, so that never more than two classes' pixels are held."""
    from PIL import Image

    best = np.full(size[::-1], -np.inf, np.float32)
    ids = np.zeros(size[::-1], np.uint8)
    for number, plane in enumerate(logits):
        values = np.asarray(Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(size, resample=2, box=box))
        larger = values > best
        ids[larger] = number
        np.maximum(best, values, out=best)
    return ids


def scaled_from_json(content: bytes, *, where: str) -> Scaled:
    """Read preprocess.json.

    Raises:
        BundleError: something is missing or out of range.
    """
    try:
        values = json.loads(content)
        found = Scaled(int(values["size_px"]), int(values["stride"]), _three(values["mean"]), _three(values["std"]))
        if not (1 <= found.size_px <= 4096 and 1 <= found.stride <= 256):
            raise ValueError("a value is out of range")
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"preprocess.json is malformed ({error!r}).", where=where, how="Fit it again.") from None
    return found


def _three(values: Sequence[Any]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
