"""The pages say what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_reference_is_not_stale() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.stale() == [], "run `make docs`"


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")), ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_both_readmes_have_the_same_commands_and_output() -> None:
    def blocks(name: str) -> list[str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        return re.findall(r"```text\n(?! *fewtune/)(.*?)```", text, re.DOTALL)

    assert blocks("README.md") == blocks("README.zh-CN.md")
    commands = [
        set(re.findall(r"^(?:fewtune|make) .*?(?=  |$)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("README.md", "README.zh-CN.md")
    ]
    assert commands[0] == commands[1]


def test_both_readmes_name_the_same_files_and_every_folder_of_the_package() -> None:
    trees = [
        re.findall(r"```text\n(fewtune/.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)[0]
        for name in ("README.md", "README.zh-CN.md")
    ]
    files = [re.findall(r"(?<![\w/])[a-z_]+(?:\.py|/)(?=[\s（])", tree) for tree in trees]
    assert files[0] == files[1]
    folders = {f"{path.parent.name}/" for path in (ROOT / "fewtune").glob("*/__init__.py")}
    assert folders <= set(files[0])
    for tree in trees:
        assert all(name in tree for name in ("Task", "Backbone", "Tuner", "Compressor"))


@pytest.mark.parametrize(
    ("name", "promised"),
    [("README.md", ("classes, boxes or masks", "translations")), ("README.zh-CN.md", ("类别、框或掩码", "译文"))],
)
def test_the_opening_promises_every_kind_of_model(name: str, promised: tuple[str, ...]) -> None:
    opening = (ROOT / name).read_text(encoding="utf-8").split("## ")[0]
    assert all(words in " ".join(opening.split()) for words in promised)
