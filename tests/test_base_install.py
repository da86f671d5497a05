"""Bundles of every task run with the base install alone: nothing else can be imported where they do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

import fewtune
from tests.every_task import Folders
from tests.pictures import draw, needs_network, scene

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
# In a process of its own, where what is not to be had is not found, as if it were not installed.
PROGRAM = """
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
import json

asked = json.loads(sys.stdin.read())
absent = set(asked["absent"]) - set(sys.modules)


class BaseInstall(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in absent else PathFinder.find_spec(name, path, target)


sys.meta_path[:] = [BaseInstall if finder is PathFinder else finder for finder in sys.meta_path]
assert find_spec("torch") is None and find_spec("onnxruntime") is not None
try:
    import torch
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("torch can be imported")

import fewtune

model = fewtune.load(asked["bundle"], threads=1)
print(json.dumps([repr(answer) for answer in model.predict(asked["inputs"])]))
assert not absent & {name.partition(".")[0] for name in sys.modules}
"""


def needed(package: str, known: set[str]) -> set[str]:
    """A distribution and all that it needs, extras left out."""
    name = re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", package.strip(), maxsplit=1)[0]).lower()
    if name in known:
        return known
    known.add(name)
    try:
        wanted = requires(name) or []
    except PackageNotFoundError:
        return known
    for requirement in wanted:
        if "extra ==" not in requirement:
            needed(requirement, known)
    return known


def absent_modules() -> list[str]:
    """Modules that are installed here and that no base install has."""
    base: set[str] = set()
    for package in tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["dependencies"]:
        needed(package, base)
    found = []
    for module, distributions in packages_distributions().items():
        names = {re.sub(r"[-_.]+", "-", name).lower() for name in distributions}
        if not names & (base | {"fewtune"}):
            found.append(module)
    return sorted(found)


def answers(bundle: Path, inputs: list[Any]) -> list[str]:
    asked = json.dumps({"bundle": str(bundle), "inputs": inputs, "absent": absent_modules()})
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(bundle: Path, inputs: list[Any]) -> None:
    """The same answers as where everything is installed."""
    assert answers(bundle, inputs) == [repr(answer) for answer in fewtune.load(bundle, threads=1).predict(inputs)]


def test_what_is_not_in_the_base_install_is_known() -> None:
    absent = absent_modules()
    assert "pytest" in absent
    assert not {"numpy", "onnxruntime", "tokenizers", "PIL", "sklearn", "fewtune", "typing_extensions"} & set(absent)


def test_texts(tfidf_model: fewtune.Model, head_model: fewtune.Model) -> None:
    for model in (tfidf_model, head_model):
        check(model.bundle, ["where is my refund?", "谢谢", ""])


@needs_network
def test_pictures_boxes_and_masks(bundles: Folders, tmp_path: Path) -> None:
    square, street = tmp_path / "square.png", tmp_path / "street.png"
    draw("square", 1).save(square)
    scene(1)[0].save(street)
    check(bundles("image-classification"), [str(square)])
    check(bundles("object-detection"), [str(street)])
    check(bundles("segmentation"), [str(street)])


def test_translations_and_replies(bundles: Folders) -> None:
    check(bundles("translation"), ["the cat sees 3"])
    check(bundles("text-generation"), ["cat 3"])
