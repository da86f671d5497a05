"""What an export's card says is what is run."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest


def run_card(folder: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the lines of Python in an export's README.md on a picture: their variables."""
    shutil.copy(picture, folder / "picture.jpg")  # of whatever format: it is told by the content
    (snippet,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    with monkeypatch.context() as changed, contextlib.redirect_stdout(io.StringIO()):
        changed.chdir(folder)
        exec(snippet, names)
    return names
