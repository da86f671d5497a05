"""A first model of the names of classes, which nothing measured, and what bad names get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fewtune
from fewtune import pipeline
from fewtune.label.names import read_names
from fewtune.recipe import make_recipe, read_recipe
from tests.conftest import needs_encoder
from tests.test_cli import run

Pairs = list[tuple[str, str]]
NAMES = ["billing", "delivery", "technical", "account", "praise"]


@pytest.fixture(scope="module")
def pool(tickets: Pairs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("names") / "pool.txt"
    path.write_text("\n".join(text for text, _ in tickets), encoding="utf-8")
    return path


@needs_encoder
def test_names_alone_make_a_model_that_says_that_nothing_measured_it(
    pool: Path, test_tickets: Pairs, tmp_path: Path
) -> None:
    done = run("fit", "--labels", ",".join(NAMES), "--unlabeled", pool, "--json", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["scores"]["accuracy"]["value"] is None
    assert "Nothing measured" in found["unlabelled"]["words"]
    model = fewtune.load(tmp_path / "out")
    assert model.labels == tuple(sorted(NAMES))
    assert model.evaluate(test_tickets).scores["accuracy"].value > 0.5
    report = (tmp_path / "out" / "private" / "report.html").read_text(encoding="utf-8")
    assert "nothing measured it" in report
    assert "没有经过任何测量" in report
    assert "from nothing but their names" in report
    assert "Label some texts." in report
    assert "How the intervals were made" not in report
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "names of its classes alone" in card
    asked = run("predict", tmp_path / "out", pool, "--max-error", "0.1", "--json", "--out", tmp_path / "answers.csv")
    error = json.loads(asked.stdout)["error"]
    assert asked.returncode == 2
    assert error["where"] == "--max-error"
    assert "names of its classes alone" in error["what"]
    assert "Label fifty texts" in error["how"]

    values = read_recipe(tmp_path / "out" / "recipe.toml") | {"unlabeled": str(pool)}
    again = pipeline.fit(make_recipe(values), out=tmp_path / "again")
    assert (again.bundle / "model.onnx").read_bytes() == (tmp_path / "out" / "model.onnx").read_bytes()


@needs_encoder
def test_descriptions_and_test_data(pool: Path, test_tickets: Pairs, tmp_path: Path) -> None:
    classes, test = tmp_path / "classes.csv", tmp_path / "test.jsonl"
    classes.write_text("label,description\n" + "".join(f"{name},about {name}\n" for name in NAMES))
    test.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in test_tickets))
    model = fewtune.fit(labels=str(classes), unlabeled=pool, test=str(test), out=tmp_path / "out")
    accuracy = model.scores["accuracy"]
    assert accuracy.n == len(test_tickets)
    assert accuracy.value == model.evaluate(test_tickets).scores["accuracy"].value
    assert model.manifest.recipe["labels"] == "classes.csv"


def test_many_names_are_no_path() -> None:
    names = [f"class about thing {chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(200)]
    assert read_names(",".join(names), "text-classification").labels == tuple(sorted(names))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"labels": "only"}, "too few"),
        ({"labels": ","}, "no names"),
        ({"labels": "1,2"}, "says nothing"),
        ({"unlabeled": None}, "without labels are needed"),
        ({"data": [("a", "x"), ("b", "y")]}, "labelled data was given"),
        ({"method": "lora"}, "method of their own"),
    ],
)
def test_mistakes(tmp_path: Path, options: dict[str, Any], what: str) -> None:
    given: dict[str, Any] = {"labels": ["good", "bad"], "unlabeled": ["a text", "another"]} | options
    with pytest.raises(fewtune.UserError, match=what):
        fewtune.fit(**given, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
