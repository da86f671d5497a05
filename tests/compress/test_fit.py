"""`fit --compress`: what is delivered keeps its promise, is scored as delivered, and is made again by its recipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fewtune
from fewtune import catalog, pipeline
from fewtune.errors import RecipeError
from fewtune.interfaces import Compressor, Content, RunContext
from fewtune.recipe import Recipe, make_recipe, read_recipe
from fewtune.types import Example, Footprint
from tests.compress.test_path import _Changed


class _Slimmer(Compressor):
    """Takes spaces out of the vocabulary's JSON: smaller, and everything else as it was."""

    name = "int8"
    option = "to"
    tasks = ("text-classification",)
    help = "for tests"

    def obstacle(self, content: Content) -> str:
        return ""

    def compress(
        self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
    ) -> Content:
        import onnx

        assert examples
        (file,) = content.graphs
        model = onnx.load_from_string(content.graphs[file])
        model.doc_string = ""
        model.producer_name = ""
        return replace(content, graphs={file: model.SerializeToString()}, notes=("slimmer",))


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Callable[[Compressor], None]:
    """Puts a compressor in the place of int8, and takes the clock out."""

    def put(compressor: Compressor, *, slower: bool = False) -> None:
        monkeypatch.setattr(catalog, "compressors", lambda: {compressor.name: compressor})

        def footprints(bundles: Sequence[Any], *_: Any) -> list[Footprint]:
            from fewtune.compress.footprint import size_bytes

            return [
                Footprint(size_bytes(manifest) / 1e6, 5.0 + 5 * slower * place, 9.0, 100.0, 50.0, 90.0)
                for place, (_, manifest, _) in enumerate(bundles)
            ]

        monkeypatch.setattr("fewtune.compress.path.footprints", footprints)

    return put


def test_what_computes_in_integers_already_is_left_alone(tfidf_model: fewtune.Model) -> None:
    manifest = tfidf_model.manifest
    assert manifest.compression is None
    assert manifest.recipe["compress"] == "none"
    assert not any("compress" in left["name"] for left in manifest.left_out)


def test_a_smaller_model_is_delivered_and_its_recipe_makes_it_again(
    tickets: list[tuple[str, str]], tmp_path: Path, instead: Callable[..., None]
) -> None:
    instead(_Slimmer())
    model = fewtune.fit(tickets, method="tfidf", out=tmp_path / "a")
    found = model.manifest.compression
    assert found is not None
    assert found.kept
    assert found == model.result.compression  # type: ignore[union-attr]
    assert "training examples" in found.measured_on
    assert found.trades[1].notes == ("slimmer",)
    assert model.manifest.recipe["compress"] == "int8"
    assert "What being smaller costs" in (model.bundle / "README.md").read_text(encoding="utf-8")
    again = pipeline.fit(make_recipe(read_recipe(model.bundle / "recipe.toml")), source=tickets, out=tmp_path / "b")
    assert (again.bundle / "model.onnx").read_bytes() == (model.bundle / "model.onnx").read_bytes()
    plain = fewtune.fit(tickets, method="tfidf", compress="none", out=tmp_path / "c")
    assert plain.manifest.compression is None
    assert (plain.bundle / "model.onnx").stat().st_size > (model.bundle / "model.onnx").stat().st_size


@pytest.mark.parametrize("fault", ["answers", "speed"])
def test_a_broken_promise_keeps_the_original_and_says_so(
    tickets: list[tuple[str, str]], tmp_path: Path, instead: Callable[..., None], fault: str
) -> None:
    changed = _Changed("int8", lambda weight: -weight if fault == "answers" else weight)
    instead(_Slimmer() if fault == "speed" else changed, slower=fault == "speed")
    model = fewtune.fit(tickets, method="tfidf", out=tmp_path / "a")
    found = model.manifest.compression
    assert found is not None
    assert not found.kept
    assert ("speed" if fault == "speed" else "score") in found.trades[1].failed
    assert model.manifest.recipe["compress"] == "none"
    plain = fewtune.fit(tickets, method="tfidf", compress="none", out=tmp_path / "b")
    assert (plain.bundle / "model.onnx").read_bytes() == (model.bundle / "model.onnx").read_bytes()
    page = (model.bundle / "private" / "report.html").read_text(encoding="utf-8")
    assert "was tried and not taken" in page


def test_the_clock_decides_nothing_of_what_a_recipe_names(
    tickets: list[tuple[str, str]], tmp_path: Path, instead: Callable[..., None]
) -> None:
    """Or else the recipe that was written out would not give the same bundle on a busy machine."""
    instead(_Slimmer(), slower=True)
    model = fewtune.fit(tickets, method="tfidf", compress="int8", out=tmp_path / "a")
    found = model.manifest.compression
    assert found is not None
    assert found.kept


def test_the_scores_on_test_data_are_those_of_what_is_delivered(
    tickets: list[tuple[str, str]], csv_file: Path, tmp_path: Path, instead: Callable[..., None]
) -> None:
    """Test data choose nothing, but score the smaller model."""

    class Shuffled(_Slimmer):
        def compress(
            self, content: Content, examples: Sequence[Example], strength: float | None, run: RunContext
        ) -> Content:
            smaller = super().compress(content, examples, strength, run)
            return _Changed("int8", lambda weight: 0.97 * weight).compress(smaller, examples, strength, run)

    instead(Shuffled())
    model = fewtune.fit(tickets, method="tfidf", test=str(csv_file), out=tmp_path / "a", compress="int8")
    found = model.manifest.compression
    assert found is not None
    assert found.kept, found.words
    assert "training examples" in found.measured_on
    evaluated = model.evaluate(csv_file).scores["log_loss"].value
    assert model.scores["log_loss"].value == pytest.approx(evaluated, abs=1e-9)
    assert model.result is not None
    assert model.result.scores["log_loss"].value == pytest.approx(evaluated, abs=1e-9)
    told = [json.loads(line) for line in (model.bundle / "private/test.jsonl").read_text("utf-8").splitlines()]
    assert told[0]["confidence"] == pytest.approx(float(model.predict_proba([told[0]["text"]]).max()), abs=1e-5)


def test_a_spent_budget_leaves_it_out(
    tickets: list[tuple[str, str]], tmp_path: Path, instead: Callable[..., None]
) -> None:
    instead(_Slimmer())
    model = fewtune.fit(tickets, method="tfidf", budget="0.01s", out=tmp_path / "a")
    assert model.manifest.compression is None
    assert any(left["name"] == "compress auto" and "budget" in left["why"] for left in model.manifest.left_out)


def test_what_is_not_known_is_refused_before_any_work(tickets: list[tuple[str, str]], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no 'int9'") as caught:
        pipeline.fit(Recipe(compress="int9"), source=tickets, out=tmp_path / "a")
    assert caught.value.where == "--compress"
    assert not list(tmp_path.iterdir())
    model = fewtune.fit(tickets, method="tfidf", compress="int8", out=tmp_path / "a")
    assert [left["why"] for left in model.manifest.left_out if left["name"] == "compress int8"]
