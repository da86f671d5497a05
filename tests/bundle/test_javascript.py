"""The lines of JavaScript that the how-to gives answer as the bundle does. Needs Node.js and its two packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fewtune
from fewtune.bundle.export import export_bundle

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-a-bundle.md"
PACKAGES = ("onnxruntime-node", "@huggingface/tokenizers")


def modules() -> Path | None:
    """Where Node.js keeps both packages: NODE_PATH, or the global folder."""
    places = os.environ.get("NODE_PATH", "").split(os.pathsep)
    if shutil.which("npm"):
        done = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False)
        places.append(done.stdout.strip())
    found = (Path(place) for place in places if place)
    return next((place for place in found if all((place / name).is_dir() for name in PACKAGES)), None)


def test_the_lines_of_the_how_to_answer_as_the_bundle_does(head_model: fewtune.Model, tmp_path: Path) -> None:
    place = modules()
    if place is None or not shutil.which("node"):
        pytest.skip(f"needs Node.js with {' and '.join(PACKAGES)} in NODE_PATH")
    (lines,) = re.findall(r"```js\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    export_bundle(head_model.bundle, tmp_path / "out", form="onnx")
    (tmp_path / "node_modules").symlink_to(place)
    for text in ("Write a text here.", "where is my refund?", "谢谢", "refund " * 600):
        program = tmp_path / "out" / "classify.mjs"
        program.write_text(lines.replace("Write a text here.", text), encoding="utf-8")
        done = subprocess.run(["node", "classify.mjs"], cwd=program.parent, capture_output=True, text=True, check=False)
        assert done.stdout.strip() == head_model.predict([text])[0], done.stderr
