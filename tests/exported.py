"""What an export's card says is what is run."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


def run_card(folder: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the lines of Python in an export's README.md on a picture: their variables."""
    shutil.copy(picture, folder / "picture.jpg")  # of whatever format: it is told by the content
    (snippet,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    with monkeypatch.context() as changed, contextlib.redirect_stdout(io.StringIO()):
        changed.chdir(folder)
        exec(snippet, names)
    return names


def on_its_side(picture: Path, folder: Path) -> Path:
    """The same picture as telephones store it: turned, with the EXIF orientation that turns it upright again."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = folder / "on_its_side.png"
    Image.open(picture).transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    return turned
