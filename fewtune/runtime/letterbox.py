"""How a picture becomes numbers where places in it matter: all of it, scaled to fit a canvas, the rest filled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.data.picture import open_picture
from fewtune.errors import BundleError
from fewtune.types import FloatArray

if TYPE_CHECKING:
    from PIL.Image import Image

_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # in the order of Pillow's numbers
_LARGEST_PX = 4096
_HOW = (
    "apply the EXIF orientation; lay what is transparent on white; to 8-bit RGB; scale by the largest factor with "
    "which it fits `width_px` x `height_px`, sides rounded, with the filter; lay it into the upper left of a canvas of "
    "`fill`; divide by 255; subtract `mean`, divide by `std`; channels first. Boxes are in pixels of the canvas: "
    "divide x by (scaled width / width), y by (scaled height / height)"
)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """From a picture of any size to a canvas.

    Attributes:
        width_px, height_px: of the canvas.
        interpolation: Pillow's filter.
        mean, std: (3,) of RGB between 0 and 1.
        fill: grey value, 0 to 255, where there is no picture.
    """

    width_px: int
    height_px: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fill: int = 127

    def scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in pixels that a picture has on the canvas."""
        factor = min(self.width_px / width, self.height_px / height)
        return (
            min(self.width_px, max(1, round(width * factor))),
            min(self.height_px, max(1, round(height * factor))),
        )

    def canvas(self, source: Any) -> tuple[np.ndarray, FloatArray, tuple[int, int]]:
        """A path or a Pillow picture on the canvas.

        Returns:
            (height, width, 3) uint8; (2,) the factors that x and y were multiplied by; the upright picture's width and
            height.

        Raises:
            DataError: the picture cannot be read.
        """
        picture = open_picture(source)
        factors = np.array(self.scaled_size(*picture.size)) / np.array(picture.size)
        return self.lay(picture), factors, picture.size

    def lay(self, picture: Image) -> np.ndarray:
        """(height, width, 3) uint8 of an upright RGB picture."""
        width, height = self.scaled_size(*picture.size)
        resized = picture.resize((width, height), resample=_FILTERS.index(self.interpolation))  # type: ignore[arg-type]
        laid = np.full((self.height_px, self.width_px, 3), self.fill, np.uint8)
        laid[:height, :width] = np.asarray(resized)
        return laid

    def pixels(self, canvases: Sequence[np.ndarray] | np.ndarray) -> FloatArray:
        """(n, height, width, 3) uint8 to (n, 3, height, width) float32 as the network takes it."""
        scaled = np.asarray(canvases, np.float32) / np.float32(255)
        normalised = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))

    def to_json(self) -> bytes:
        """As the bundle holds it."""
        return (json.dumps({"how": _HOW, **asdict(self)}, indent=2) + "\n").encode()


def letterbox_from_json(content: bytes, *, where: str) -> Letterbox:
    """Read preprocess.json.

    Raises:
        BundleError: something is missing or out of range.
    """
    try:
        values = json.loads(content)
        mean, std = (tuple(float(value) for value in values[name]) for name in ("mean", "std"))
        found = Letterbox(
            int(values["width_px"]),
            int(values["height_px"]),
            str(values["interpolation"]),
            mean,  # type: ignore[arg-type]
            std,  # type: ignore[arg-type]
            int(values["fill"]),
        )
        sides = (found.width_px, found.height_px)
        if not (len(mean) == len(std) == 3 and found.interpolation in _FILTERS and 0 <= found.fill <= 255):
            raise ValueError("a value is out of range")
        if not all(1 <= side <= _LARGEST_PX for side in sides):
            raise ValueError("a side is out of range")
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"preprocess.json is malformed ({error!r}).", where=where, how="Fit it again.") from None
    return found
