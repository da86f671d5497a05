"""Masks: a class for every pixel, as index PNGs hold them; 255 is no class, and is passed over."""

from __future__ import annotations

import colorsys
import io
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewtune.data.picture import picture_content, picture_header
from fewtune.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

IGNORE = 255
MOST_CLASSES = 255
ClassIds = NDArray[np.uint8]

_DEEP = frozenset(("I", "I;16", "I;16B", "I;16L", "I;16N"))
_TO_INDEX = (
    "Save it as an 8-bit PNG with one number a pixel, the class's id, and 255 where a pixel has none. From colours, "
    "with numpy: ids = np.full(rgb.shape[:2], 255, np.uint8); ids[(rgb == (128, 64, 0)).all(-1)] = 0, a line for each "
    "class's colour; Image.fromarray(ids).save('mask.png')."
)


class IndexMask:
    """A class id for every pixel, kept as the PNG that it is written as. `numpy.asarray` gives the (h, w) uint8 ids."""

    def __init__(self, png: bytes) -> None:
        """Keep a PNG that `from_ids` made."""
        self.png = png

    @classmethod
    def from_ids(cls, ids: ClassIds) -> IndexMask:
        """From (h, w) uint8 ids."""
        return cls(encode_mask(ids))

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        from PIL import Image

        with Image.open(io.BytesIO(self.png)) as picture:
            return picture.size

    @property
    def ids(self) -> ClassIds:
        """(h, w) uint8, decoded anew each time."""
        from PIL import Image

        with Image.open(io.BytesIO(self.png)) as picture:
            return np.array(picture)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The ids, for numpy."""
        del copy
        return self.ids if dtype is None else self.ids.astype(dtype)

    def __eq__(self, other: object) -> bool:
        """Whether all pixels are the same."""
        return isinstance(other, IndexMask) and self.size == other.size and bool((self.ids == other.ids).all())

    def __hash__(self) -> int:
        """Of the size: equal masks may be compressed differently."""
        return hash(self.size)

    def __repr__(self) -> str:
        """Its size."""
        return f"<IndexMask {self.size[0]} x {self.size[1]}>"


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What `check` and the reader want to know of a mask.

    Attributes:
        error: why it cannot be used; empty where it can.
        how: how to mend that.
        width, height: in pixels.
        pixels: (256,) how many there are of each id.
    """

    error: str = ""
    how: str = ""
    width: int = 0
    height: int = 0
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    @property
    def ids(self) -> list[int]:
        """Those that occur, but for 255."""
        return np.flatnonzero(self.pixels[:IGNORE]).tolist()


def read_mask(path: str) -> ClassIds:
    """(h, w) uint8 class ids of an index PNG, or of another lossless picture of one channel.

    Raises:
        DataError: it is missing, no picture, damaged, in colour, or has numbers above 255.
    """
    with picture_header(picture_content(path), path) as stored:
        if stored.mode not in ("L", "P", "1") and stored.mode not in _DEEP:
            raise DataError(f"The mask is in colour ({stored.mode}), not of class ids.", where=path, how=_TO_INDEX)
        if stored.format == "JPEG":
            raise DataError(
                "The mask is a JPEG, which blurs class ids.", where=path, how="Save it from its source as PNG."
            )
        values = _decoded(stored, path)
    if values.max(initial=0) > IGNORE or values.min(initial=0) < 0:
        raise DataError(
            f"The mask has class ids outside 0 to 255, such as {int(values.max())}.",
            where=path,
            how="Number the classes from 0 to 254; 255 is for pixels without a class.",
        )
    return values.astype(np.uint8)


def _decoded(stored: Image, path: str) -> np.ndarray:
    try:
        return np.array(stored)
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        how = "Copy it again from where it is whole."
        raise DataError(f"The mask is damaged ({error}).", where=path, how=how) from None


def mask_facts(path: str) -> MaskFacts:
    """Decode a mask and count its ids; remembered for as long as the file stays the same."""
    try:
        state = Path(path).stat()
    except OSError:
        return MaskFacts("There is no such file.", "Check the path.")
    return _facts(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _facts(path: str, size: int, modified_ns: int) -> MaskFacts:
    del size, modified_ns
    try:
        ids = read_mask(path)
    except DataError as error:
        return MaskFacts(error.what, error.how)
    return MaskFacts("", "", ids.shape[1], ids.shape[0], np.bincount(ids.ravel(), minlength=256))


def encode_mask(ids: ClassIds) -> bytes:
    """An index PNG with a palette that makes neighbouring ids look different."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(ids, np.uint8))
    picture.putpalette(palette().tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=4)
    return file.getvalue()


@lru_cache(maxsize=1)
def palette() -> NDArray[np.uint8]:
    """(256, 3) a colour for every id; hues turn by the golden angle, 255 is white."""
    turns = (np.arange(IGNORE) * 0.618034 + 0.02) % 1.0
    colours = [
        colorsys.hsv_to_rgb(turn, 0.85 - 0.3 * (i % 2), 0.95 - 0.25 * (i % 3 == 2)) for i, turn in enumerate(turns)
    ]
    return (np.array([*colours, (1.0, 1.0, 1.0)]) * 255).round().astype(np.uint8)


def overlay(picture: Image, ids: ClassIds, *, strength: float = 0.55) -> Image:
    """A picture with its classes' colours laid over it; pixels of no class stay as they are.

    Args:
        picture: RGB.
        ids: (h, w) of any size; it is scaled to the picture's.
        strength: how much of the colour is seen.
    """
    from PIL import Image

    scaled = np.asarray(Image.fromarray(ids).resize(picture.size, Image.Resampling.NEAREST))
    seen = np.asarray(picture.convert("RGB"), np.float32)
    mixed = (1 - strength) * seen + strength * palette()[scaled]
    return Image.fromarray(np.where((scaled == IGNORE)[..., None], seen, mixed).round().astype(np.uint8))
