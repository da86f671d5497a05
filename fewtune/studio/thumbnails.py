"""Pictures made small, as JPEG of our own making: no bytes that somebody brought reach the page."""

from __future__ import annotations

import io
from functools import lru_cache

from fewtune.data.picture import open_picture


@lru_cache(maxsize=512)
def thumbnail(path: str, px: int) -> bytes:
    """A JPEG whose longer side has at most `px` pixels. Stored pictures never change, so it is kept."""
    picture = open_picture(path, about_px=px)
    picture.thumbnail((px, px))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=85)
    return content.getvalue()
