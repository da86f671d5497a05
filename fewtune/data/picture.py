"""One picture: opened safely, upright, as 8-bit RGB, the same way in training and in a bundle.

What decides the pixels is here alone: EXIF orientation, the first frame of an animation, transparency
on white, 16-bit and floating-point grey brought down to 8, CMYK and palettes to RGB.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewtune.errors import DataError
from fewtune.types import FloatArray

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jfif"))
# What Pillow may take a file for, whatever it is called: its other readers start programs or read other files.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MAX_PIXELS = 100_000_000
_MAX_BYTES = 200_000_000
# Sides of the grey thumbnails that near-duplicates are told by, the second one in overlapping windows of 3 pixels:
# wide enough for the noise of pixels and of JPEG to even out, too narrow for a scratch of 5 % of the side to.
_THUMBNAIL = 24
_FINE = 64
_WINDOWS = range(0, _FINE - 2, 2)
# Grey of more than 8 bits, as Pillow calls it.
_DEEP = frozenset(("I", "I;16", "I;16B", "I;16L", "I;16N", "F"))
# What Pillow may hand on as 32-bit integers though the file holds 16 bits, scaled to all of them.
_SIXTEEN_BIT_FORMATS = frozenset(("PNG", "PPM"))
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What `check` and the search for duplicates want to know of a picture.

    Attributes:
        sha256: of the file; empty where it cannot be read.
        error: why it cannot be used; empty where it can.
        width, height: in pixels, as stored.
        mode: as Pillow names it, e.g. "RGB", "CMYK", "I;16".
        frames: more than 1: an animation, or pages.
        rotated: whether EXIF says that it is to be turned or mirrored.
        transparent: whether it has an alpha channel.
        thumbnail: (24 * 24,) grey values without their mean, of length 1; empty for a picture of one colour.
        details: (31 * 31,) grey of small windows without their mean, of 255 steps.
        sideways: whether it is upright only when turned by a quarter, so that width and height are exchanged.
    """

    sha256: str
    error: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    frames: int = 1
    rotated: bool = False
    transparent: bool = False
    thumbnail: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    details: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    sideways: bool = False

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height in pixels of the upright picture."""
        return (self.height, self.width) if self.sideways else (self.width, self.height)


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture's file in memory: no name in it is ever opened.

    Attributes:
        content: of the file.
        name: what messages call it.
    """

    content: bytes = field(repr=False)
    name: str = "picture"


def is_picture_name(name: str) -> bool:
    """Whether a file's ending is that of a picture."""
    return Path(name).suffix.lower() in SUFFIXES


def open_picture(source: Any, *, about_px: int = 0) -> Image:
    """An upright RGB picture.

    Args:
        source: a path, a `PictureFile`, or a picture that Pillow has opened.
        about_px: the size that is needed; a JPEG may then be decoded at a fraction of its own, but at twice this.

    Raises:
        DataError: the file is missing, no picture, damaged or too large.
    """
    from PIL import Image

    if isinstance(source, Image.Image):
        return _as_rgb(source)
    if isinstance(source, PictureFile):
        return _decode(source.content, source.name, about_px)
    return _decode(picture_content(source), str(source), about_px)


def picture_sha256(path: Any) -> str:
    """sha256 of a picture's file in hexadecimal. Raises DataError where it cannot be read."""
    return hashlib.sha256(picture_content(path)).hexdigest()


def facts(path: str) -> PictureFacts:
    """Decode a picture and look at it; remembered for as long as the file stays the same."""
    try:
        state = Path(path).stat()
    except OSError:
        return PictureFacts("", "There is no such file.")
    return _facts(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=100_000)
def _facts(path: str, size: int, modified_ns: int) -> PictureFacts:
    del size, modified_ns
    try:
        content = picture_content(path)
    except DataError as error:
        return PictureFacts("", error.what)
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        with picture_header(content, path) as stored, _decoding(path):
            # All of these read on in the file: frames are counted by going through them.
            width, height = stored.size
            mode, frames = stored.mode, int(getattr(stored, "n_frames", 1))
            orientation = stored.getexif().get(_ORIENTATION, 1)
            transparent = stored.has_transparency_data
        grey = _decode(content, path, _FINE).convert("L")
        thumbnail, details = _thumbnail(grey), _details(grey)
        return PictureFacts(
            sha256,
            width=width,
            height=height,
            mode=mode,
            frames=frames,
            rotated=orientation != 1,
            transparent=transparent,
            thumbnail=thumbnail,
            details=details,
            sideways=orientation in _SIDEWAYS,
        )
    except DataError as error:
        return PictureFacts(sha256, error.what)


def picture_content(path: Any) -> bytes:
    """The bytes of a picture's file. Raises DataError where it is missing, cannot be read, or is too large."""
    file = Path(path)
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise DataError(
                f"The file has {file.stat().st_size / 1e6:.0f} MB; the limit is {_MAX_BYTES / 1e6:.0f} MB.",
                where=str(path),
                how="Save the picture smaller, or as JPEG.",
            )
        return file.read_bytes()
    except FileNotFoundError:
        raise DataError("There is no such file.", where=str(path), how="Check the path.") from None
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror or error}.", where=str(path)) from None


def _decode(content: bytes, where: str, about_px: int) -> Image:
    with picture_header(content, where) as stored, _decoding(where):
        if about_px:
            stored.draft("RGB", (2 * about_px, 2 * about_px))
        return _as_rgb(stored)


@contextmanager
def _decoding(where: str) -> Iterator[None]:
    """Whatever goes wrong in here is the picture's fault; Pillow's warnings are for its own developers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        raise DataError(
            f"The picture is damaged ({error}).", where=where, how="Copy it again from where it is whole."
        ) from None


def picture_header(content: bytes, where: str) -> Image:
    """A picture with its header read; refuses what would fill the memory before a pixel is decoded.

    Raises:
        DataError: it is no picture, or too large.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Pillow warns from about 90 million pixels on; the limit here is below the one it stops at.
            warnings.simplefilter("ignore")
            stored = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise _too_large(where) from None
    except Exception as error:
        why = "it is empty" if not content else type(error).__name__
        raise DataError(
            f"This is not a picture that can be read ({why}).",
            where=where,
            how="Save it as JPEG or PNG, or take it out of the data.",
        ) from None
    if stored.width * stored.height > MAX_PIXELS:
        raise _too_large(where, f"{stored.width} x {stored.height} pixels; ")
    return stored


def _too_large(where: str, size: str = "") -> DataError:
    return DataError(
        f"The picture is too large ({size}the limit is {MAX_PIXELS / 1e6:.0f} million pixels).",
        where=where,
        how="Save it smaller: nothing above a few hundred pixels a side is looked at.",
    )


def _as_rgb(stored: Image) -> Image:
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(stored)
    if upright.mode in _DEEP:
        is_16_bit = upright.mode.startswith("I;16") or stored.format in _SIXTEEN_BIT_FORMATS
        values = np.asarray(upright)
        upright = Image.fromarray((values >> 8).astype(np.uint8) if is_16_bit else _eight_bit(values))
    if upright.has_transparency_data:
        layered = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return upright.convert("RGB")


def _eight_bit(values: np.ndarray) -> np.ndarray:
    """Values whose range the file does not tell: floats up to 1 are shares of white, above 255 the range is 16 bits."""
    known = np.where(np.isfinite(values), values, 0).astype(np.float64)
    peak = known.max(initial=0)
    if peak <= 1 and values.dtype.kind == "f":
        known = (known * 255).round()
    elif peak > 255:
        known = known / 256
    return np.clip(known, 0, 255).astype(np.uint8)


def _thumbnail(grey: Image) -> FloatArray:
    values = _small(grey, _THUMBNAIL).ravel()
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    return values / length if length > 1.0 * _THUMBNAIL else np.zeros(0, np.float32)


def _details(grey: Image) -> NDArray[np.int16]:
    values = _small(grey, _FINE)
    count = len(_WINDOWS)
    shifted = [values[y : y + 2 * count : 2, x : x + 2 * count : 2] for y in range(3) for x in range(3)]
    windows = np.mean(shifted, axis=0)
    return np.rint(windows - windows.mean()).astype(np.int16).ravel()


def _small(grey: Image, side: int) -> FloatArray:
    return np.asarray(grey.resize((side, side), resample=2, reducing_gap=3.0), np.float32)
