"""Pictures as requests bring them: in memory from the first byte to the last, small enough, and real pictures."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fewtune.data.picture import PictureFile, open_picture, picture_header
from fewtune.errors import DataError
from fewtune.serve import limits
from fewtune.serve.refusals import Refusal

if TYPE_CHECKING:
    from PIL.Image import Image

# Of the copy whose patches are greyed: networks look at no more.
_EXPLAINED_PX = 320
_GREY = (124, 116, 104)
# Decoded, pictures are large: there is one at a time.
_DECODING = threading.Lock()


def from_base64(text: str, where: str) -> PictureFile:
    """A picture that came in base 64, or as a data: URL.

    Raises:
        Refusal: 422 where it is no base 64.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return PictureFile(base64.b64decode(text, validate=True), where)
    except (binascii.Error, ValueError):
        raise Refusal(
            422,
            "This is no base 64.",
            where=where,
            how="Send the picture's file in base 64, or as multipart/form-data.",
        ) from None


def checked(picture: PictureFile) -> PictureFile:
    """The same, once its header was read: what is no picture or too large goes no further.

    Raises:
        Refusal: 422.
    """
    try:
        with picture_header(picture.content, picture.name) as stored:
            width, height = stored.size
    except DataError as error:
        raise refused(error) from None
    if width * height > limits.PICTURE_PIXELS:
        most = limits.PICTURE_PIXELS // 1_000_000
        what = f"The picture has {width} x {height} pixels; the limit is {most} million."
        raise Refusal(422, what, where=picture.name, how="Send it smaller.")
    return picture


def refused(error: DataError) -> Refusal:
    """What a picture's reader says, as an answer."""
    return Refusal(422, error.what, where=error.where[:200], how="Send a whole JPEG or PNG file.")


def small_copy(picture: PictureFile) -> Image:
    """The picture, small enough to be looked at many times.

    Raises:
        Refusal: 422 where it is damaged.
    """
    try:
        with _DECODING:
            copy = open_picture(picture, about_px=_EXPLAINED_PX)
            copy.thumbnail((_EXPLAINED_PX, _EXPLAINED_PX))
    except DataError as error:
        raise refused(error) from None
    return copy


def greyed(picture: Image, patches: int) -> Sequence[Image]:
    """The picture with each of patches x patches equal parts made grey in turn, row by row."""
    from PIL import Image

    pixels = np.asarray(picture)
    rows, columns = (np.linspace(0, side, patches + 1).round().astype(int) for side in pixels.shape[:2])
    found = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            without = pixels.copy()
            without[top:bottom, left:right] = _GREY
            found.append(Image.fromarray(without))
    return found
