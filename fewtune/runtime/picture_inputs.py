"""What bundles take that read pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fewtune.data.picture import PictureFile


def checked_pictures(inputs: Any) -> list[Any]:
    """Pictures as a list. Raises TypeError where it is one picture, or holds something that is none."""
    from PIL import Image

    kinds = (str, Path, PictureFile, Image.Image)
    if isinstance(inputs, kinds):
        raise TypeError("predict takes a list of pictures: write predict([picture])")
    pictures = list(inputs)
    for position, picture in enumerate(pictures):
        if not isinstance(picture, kinds):
            raise TypeError(f"inputs[{position}] is a {type(picture).__name__}, not a path or a Pillow picture")
    return pictures
