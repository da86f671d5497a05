"""Pictures for the page: small, with outlines drawn over them, as data that stands in the page itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewtune.data.picture import open_picture
from fewtune.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PX = 420
_QUALITY = 80
_LINE_PX = 2
_DASH_PX = 6


@dataclass(frozen=True, slots=True)
class Outline:
    """A box to be drawn.

    Attributes:
        box_xyxy: in pixels of the upright picture.
        colour: as Pillow names it, e.g. "#0b5f8f".
        dashed: whether the line has gaps.
    """

    box_xyxy: tuple[float, float, float, float]
    colour: str
    dashed: bool = False


def small_picture(source: Any, most_px: int = MOST_PX) -> tuple[Image, float] | None:
    """A picture of at most so many pixels a side, and the factor to its size; None where it cannot be read any more."""
    try:
        picture = open_picture(source)
    except DataError:
        return None
    factor = min(1.0, most_px / max(picture.size))
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, resample=2, reducing_gap=3.0), factor  # type: ignore[arg-type]


def with_outlines(picture: Image, factor: float, outlines: Sequence[Outline]) -> Image:
    """The small picture with boxes drawn over it."""
    from PIL import ImageDraw

    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    for outline in outlines:
        left, top, right, bottom = (value * factor for value in outline.box_xyxy)
        sides = (
            (left, top, right, top),
            (left, bottom, right, bottom),
            (left, top, left, bottom),
            (right, top, right, bottom),
        )
        for side in sides:
            for part in _dashes(side) if outline.dashed else [side]:
                pen.line(part, fill=outline.colour, width=_LINE_PX)
    return drawn


def _dashes(side: tuple[float, float, float, float]) -> list[tuple[float, float, float, float]]:
    """Parts of a line along an axis with gaps between them."""
    x0, y0, x1, y1 = side
    length = max(abs(x1 - x0), abs(y1 - y0))
    count = max(1, int(length // (2 * _DASH_PX)) + 1)
    step_x, step_y = (x1 - x0) / max(length, 1e-6), (y1 - y0) / max(length, 1e-6)
    starts = [2 * _DASH_PX * number for number in range(count)]
    ends = [min(length, start + _DASH_PX) for start in starts]
    return [
        (x0 + step_x * start, y0 + step_y * start, x0 + step_x * end, y0 + step_y * end)
        for start, end in zip(starts, ends, strict=True)
    ]


def sheet(pictures: Sequence[Image], columns: int, side_px: int) -> Image:
    """A contact sheet: pictures in rows, each in a square of its own."""
    from PIL import Image

    rows = -(-len(pictures) // columns)
    laid = Image.new("RGB", (columns * side_px, max(1, rows) * side_px), "white")
    for number, picture in enumerate(pictures):
        thumbnail = picture.copy()
        thumbnail.thumbnail((side_px - 4, side_px - 4))
        row, column = divmod(number, columns)
        laid.paste(thumbnail, (column * side_px + 2, row * side_px + 2))
    return laid


def data_uri(picture: Image) -> str:
    """The picture as a JPEG inside of a URI."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
