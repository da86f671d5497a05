"""How a picture becomes numbers: `preprocess.json` of a bundle, and what does as it says."""

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
_HOW = (
    "apply the EXIF orientation; lay what is transparent on white; to 8-bit RGB; take the central square whose side is "
    "`crop` of the shorter side; resize it to `size_px` with the filter; divide by 255; subtract `mean`, divide by "
    "`std`; channels first"
)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """From a picture of any size to what a network takes.

    Attributes:
        size_px: side of the square that the network takes.
        crop: side of the central square that is seen, as a share of the shorter side.
        interpolation: Pillow's filter.
        mean, std: (3,) of RGB between 0 and 1.
    """

    size_px: int
    crop: float
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def square(self, source: Any, *, crop: float | None = None) -> np.ndarray:
        """(size, size, 3) uint8 of a path or a Pillow picture, `crop` of its shorter side.

        Raises:
            DataError: the picture cannot be read.
        """
        picture = open_picture(source, about_px=self.size_px)
        return self._resized(picture, self.crop if crop is None else crop)

    def _resized(self, picture: Image, crop: float) -> np.ndarray:
        side = min(picture.size) * crop
        left, top = ((length - side) / 2 for length in picture.size)
        # Crop and resize in one: a picture of 1 x 20000 never becomes a larger one.
        resized = picture.resize(
            (self.size_px, self.size_px),
            resample=_FILTERS.index(self.interpolation),  # type: ignore[arg-type]
            box=(left, top, left + side, top + side),
        )
        return np.asarray(resized)

    def pixels(self, squares: Sequence[np.ndarray] | np.ndarray) -> FloatArray:
        """(n, size, size, 3) uint8 to (n, 3, size, size) float32 as the network takes it."""
        scaled = np.asarray(squares, np.float32).reshape(-1, self.size_px, self.size_px, 3) / np.float32(255)
        normalised = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))

    def to_json(self) -> bytes:
        """As the bundle holds it."""
        return (json.dumps({"how": _HOW, **asdict(self)}, indent=2) + "\n").encode()


def preprocess_from_json(content: bytes, *, where: str) -> Preprocess:
    """Read preprocess.json.

    Raises:
        BundleError: something is missing or out of range.
    """
    try:
        values = json.loads(content)
        found = Preprocess(
            int(values["size_px"]),
            float(values["crop"]),
            str(values["interpolation"]),
            _three(values["mean"]),
            _three(values["std"]),
        )
        if not (1 <= found.size_px <= 4096 and 0 < found.crop <= 1 and found.interpolation in _FILTERS):
            raise ValueError("a value is out of range")
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"preprocess.json is malformed ({error!r}).", where=where, how="Fit it again.") from None
    return found


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
