"""What is installed is what the code imports, in versions that it was made for."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import fewtune

PACKAGE = Path(fewtune.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# TextAttack is installed without what it asks for (see Makefile), and brings or replaces these.
WITH_TEXTATTACK = {"textattack", "nltk", "tensorflow_hub"}


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def imported() -> set[str]:
    """Top-level modules that the package's code imports, wherever it does."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"fewtune"}


def test_every_requirement_is_a_range() -> None:
    every = [*PROJECT["dependencies"], *(some for extra in EXTRAS.values() for some in extra)]
    open_ended = [some for some in every if not some.startswith("fewtune[") and not re.search(r">=[^<]*<", some)]
    assert open_ended == []


def test_what_is_imported_is_required_by_name() -> None:
    """Not only by what is required: that may be without it one day."""
    required = {name_of(some) for some in PROJECT["dependencies"]}
    required |= {name_of(some) for name, extra in EXTRAS.items() if name not in ("all", "dev") for some in extra}
    brought_by = packages_distributions()
    missing = {
        module
        for module in imported() - WITH_TEXTATTACK
        if not {name_of(some) for some in brought_by.get(module, [module])} & required
    }
    assert missing == set()


def test_all_takes_every_extra_but_the_one_with_an_environment_of_its_own() -> None:
    (every,) = EXTRAS["all"]
    assert set(every.removeprefix("fewtune[").removesuffix("]").split(",")) == set(EXTRAS) - {"all", "dev", "attack"}
