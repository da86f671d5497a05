"""fit with unlabelled data, end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fewtune
from fewtune import pipeline
from fewtune.errors import RecipeError
from fewtune.recipe import make_recipe, read_recipe
from tests.conftest import needs_encoder
from tests.test_cli import run

Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def few(tickets: Pairs) -> Pairs:
    """Five of each class."""
    labels = sorted({label for _, label in tickets})
    return [pair for label in labels for pair in [some for some in tickets if some[1] == label][:5]]


@pytest.fixture(scope="module")
def files(tickets: Pairs, few: Pairs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Labelled and unlabelled data."""
    folder = tmp_path_factory.mktemp("unlabelled")
    labelled, pool = folder / "labelled.jsonl", folder / "pool.txt"
    labelled.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in few))
    known = dict(few)
    pool.write_text("\n".join(text for text, _ in tickets if text not in known), encoding="utf-8")
    return labelled, pool


@pytest.fixture(scope="module")
def learnt(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> fewtune.Model:
    labelled, pool = files
    return fewtune.fit(
        labelled,
        unlabeled=pool,
        method="head",
        model="multilingual-e5-small",
        settings={"unlabeled": 0.5, "C": 10.0},
        out=tmp_path_factory.mktemp("bundles") / "learnt.fewtune",
    )


@needs_encoder
def test_a_model_that_learnt_from_unlabelled_texts_says_so(learnt: fewtune.Model, few: Pairs) -> None:
    assert learnt.result is not None
    gain = learnt.result.unlabelled
    assert gain is not None
    assert gain.kept
    assert gain.source == "pool.txt"
    assert gain.rung.endswith("with unlabelled")
    assert learnt.manifest.data["unlabelled"]["sha256"] == gain.sha256
    assert learnt.manifest.recipe["unlabeled"] == "pool.txt"
    assert learnt.manifest.data["examples"] == len(few)
    report = (learnt.bundle / "private" / "report.html").read_text(encoding="utf-8")
    assert "The model learnt from them" in report
    assert "模型也从中学习" in report


@needs_encoder
def test_its_recipe_makes_the_same_bytes(
    learnt: fewtune.Model, files: tuple[Path, Path], tmp_path: Path, test_tickets: Pairs
) -> None:
    labelled, pool = files
    values = read_recipe(learnt.bundle / "recipe.toml") | {"data": str(labelled), "unlabeled": str(pool)}
    again = pipeline.fit(make_recipe(values), out=tmp_path / "again")
    assert (again.bundle / "model.onnx").read_bytes() == (learnt.bundle / "model.onnx").read_bytes()
    plain = fewtune.fit(labelled, method="head", model="multilingual-e5-small", settings={"C": 10.0})
    texts = [text for text, _ in test_tickets]
    assert abs(plain.predict_proba(texts) - learnt.predict_proba(texts)).max() > 0.01


@needs_encoder
def test_with_and_without_are_compared_and_the_better_is_taken(files: tuple[Path, Path], tmp_path: Path) -> None:
    done = run(
        *("fit", files[0], "--unlabeled", files[1], "--method", "head", "--model", "multilingual-e5-small"),
        *("--augment", "none", "--set", "C=10", "--json", "--out", tmp_path / "out"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    losses = {rung["name"]: rung["expected_log_loss"] for rung in found["rungs"]}
    assert set(losses) == {"head:multilingual-e5-small", "head:multilingual-e5-small with unlabelled"}
    gain = found["unlabelled"]
    assert [gain["log_loss"], gain["without"]] == [losses[gain["rung"]], losses[gain["against"]]]
    recipe = read_recipe(tmp_path / "out" / "recipe.toml")
    assert gain["kept"] == (recipe["unlabeled"] == "pool.txt") == ("unlabeled" in recipe["settings"])


def test_data_that_is_not_learnt_from_is_not_in_the_recipe(tickets: Pairs, tmp_path: Path) -> None:
    model = fewtune.fit(tickets, unlabeled=["A text that is new"], budget="0.01s", out=tmp_path / "out")
    assert model.result is not None
    assert model.result.unlabelled is not None
    assert not model.result.unlabelled.kept
    assert model.manifest.recipe["unlabeled"] == ""


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"method": "tfidf"}, "tfidf does not learn from unlabelled"),
        ({"method": "head", "unlabeled": None, "settings": {"unlabeled": 0.5}}, "no unlabelled inputs"),
        ({"unlabeled": []}, "no unlabelled inputs"),
        ({"unlabeled": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_mistakes(tickets: Pairs, tmp_path: Path, options: dict[str, Any], what: str) -> None:
    given: dict[str, Any] = {"unlabeled": ["new"]} | options
    with pytest.raises(fewtune.UserError, match=what):
        fewtune.fit(tickets, **given, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_test_data_is_refused(csv_file: Path, tickets: Pairs, tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    test.write_text("text,label\nthanks a lot my friends,praise\nwhere may my parcel be now,delivery\n")
    with pytest.raises(fewtune.DataError, match="test data"):
        fewtune.fit(csv_file, unlabeled=test, test=str(test), out=tmp_path / "out")


def test_unlabelled_pictures_are_learnt_from(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from tests.backbones.test_vision import tiny_timm
    from tests.pictures import class_folders

    data = class_folders(tmp_path / "shapes", 6)
    pool = class_folders(tmp_path / "pool", 10, start=50)
    options: dict[str, Any] = {"method": "head", "model": str(tiny_timm(tmp_path / "tiny")), "compress": "none"}
    values = {"unlabeled": 0.5, "C": 10.0}
    learnt = fewtune.fit(data, unlabeled=pool, settings=values, out=tmp_path / "a", **options)
    assert learnt.result is not None
    assert learnt.result.unlabelled is not None
    assert learnt.result.unlabelled.kept
    recipe = read_recipe(learnt.bundle / "recipe.toml") | {"data": str(data), "unlabeled": str(pool)}
    again = pipeline.fit(make_recipe(recipe), out=tmp_path / "b")
    assert (again.bundle / "model.onnx").read_bytes() == (learnt.bundle / "model.onnx").read_bytes()
    with pytest.raises(RecipeError) as caught:
        fewtune.fit(data, unlabeled=pool, out=tmp_path / "c", **{**options, "method": "partial"})
    assert "--method auto or head, or" in str(caught.value.how)


def test_a_rung_with_unlabelled_pictures_is_offered_beside_the_plain_one(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from fewtune import catalog
    from fewtune.tasks.image_classification import ImageClassification
    from fewtune.types import Unlabelled
    from tests.backbones.test_vision import tiny_timm
    from tests.pictures import class_folders

    recipe = make_recipe({"method": "head", "model": str(tiny_timm(tmp_path / "tiny"))})
    task = ImageClassification()
    dataset = task.read(str(class_folders(tmp_path / "shapes", 3)), recipe, "fit")
    (tuner,) = catalog.find_tuners(recipe, task)
    assert not any(some.name.endswith("with unlabelled") for some in tuner.candidates(dataset, recipe)[0])
    beside, _ = tuner.candidates(replace(dataset, unlabelled=Unlabelled(("a.png",), "pool", "")), recipe)
    (rung,) = [some for some in beside if some.name.endswith("with unlabelled")]
    assert rung.prior is not None
    assert rung.prior.over == beside[0].name
