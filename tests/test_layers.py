"""The layout holds: a module imports only what stands above it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fewtune

PACKAGE = Path(fewtune.__file__).parent
ORDER = [
    "errors",
    "types",
    "progress",
    "journal",
    "memo",
    "interfaces",
    "recipe",
    "data",
    "evaluate",
    "bundle",
    "runtime",
    "backbones",
    "augment",
    "attack",
    "tune",
    "compress",
    "label",
    "tasks",
    "catalog",
    "ladder",
    "learn",
    "advise",
    "report",
    "pipeline",
    "next_labels",
    "under_attack",
    "model",
    "sklearn",
    "demo",
    "serve",
    "studio",
    "terminal",
    "cli",
    "__main__",
]
HEAVY = (
    "jinja2",
    "torch",
    "timm",
    "torchvision",
    "transformers",
    "lightning",
    "peft",
    "cleanlab",
    "onnxruntime",
    "onnx",
    "sklearn",
    "scipy",
    "pandas",
    "numpy",
    "openpyxl",
    "PIL",
    "fastapi",
    "uvicorn",
    "jieba",
)


def layer(module: str) -> int:
    return ORDER.index(module.split(".")[1])


def imported(path: Path) -> set[str]:
    """Modules of ours that a file imports; what only the type checker sees does not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unseen = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fewtune"):
            names = [f"fewtune.{alias.name}" for alias in node.names] if node.module == "fewtune" else [node.module]
            found.update(names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.startswith("fewtune."))
    return found


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_upwards(path: Path) -> None:
    own = ".".join(["fewtune", *path.relative_to(PACKAGE).with_suffix("").parts])
    for module in imported(path):
        assert layer(module) <= layer(own), f"{own} imports {module}, which stands below it"


def test_every_module_has_its_place() -> None:
    names = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert names <= set(ORDER)


@pytest.mark.parametrize(
    "statement", ["import fewtune", "import fewtune.cli; fewtune.cli.app(['--help'], standalone_mode=False)"]
)
def test_nothing_heavy_is_loaded_early(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("LOADED []")


def test_the_facade_exports_exactly_what_it_says() -> None:
    for name in fewtune.__all__:
        assert getattr(fewtune, name) is not None
    assert sorted(fewtune.__all__) == fewtune.__all__
    declared = {name for names in fewtune._HOMES.values() for name in names}
    assert declared == set(fewtune.__all__)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = fewtune.nothing_of_the_kind
