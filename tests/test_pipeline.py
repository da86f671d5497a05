"""The main job, end to end, on real weights."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import fewtune
from fewtune import catalog, pipeline
from fewtune.backbones.text_encoder import TextEncoder
from fewtune.errors import DataError, OutputError, RecipeError
from fewtune.recipe import Recipe, make_recipe, parse_setting, read_recipe, write_recipe
from tests.conftest import needs_encoder

Pairs = list[tuple[str, str]]
OTHER_KIND = [
    "11 22 33 44 55",
    "The mitochondria is the powerhouse of the cell.",
    "Two cups of flour, one egg, a pinch of salt",
    "曹操率领大军南下攻打刘备",
    "The king moved his army across the river at dawn",
    "def f(x): return x**2",
    "sin(x) + cos(y) = 0",
]


@needs_encoder
def test_few_labels_make_a_good_model_in_two_languages(
    head_model: fewtune.Model, tfidf_model: fewtune.Model, test_tickets: Pairs
) -> None:
    accuracy = head_model.evaluate(test_tickets).scores["accuracy"]
    assert accuracy.value > 0.85
    assert accuracy.value > tfidf_model.evaluate(test_tickets).scores["accuracy"].value + 0.3
    assert head_model.scores["accuracy"].low is not None


@needs_encoder
def test_a_text_of_another_kind_is_outside_and_the_report_files_are_there(
    head_model: fewtune.Model, test_tickets: Pairs
) -> None:
    texts = [text for text, _ in test_tickets]
    goal = next(some.target_error for some in head_model.manifest.answer_rules.thresholds if some.below is not None)
    answers = head_model.answer(texts, max_error=goal, coverage=0.9)
    assert np.mean([answer.outside for answer in answers]) < 0.2
    assert np.mean([label in answer.labels for answer, (_, label) in zip(answers, test_tickets, strict=True)]) > 0.8
    assert [answer.prediction for answer in answers] == head_model.predict(texts)
    odd = head_model.answer(OTHER_KIND, max_error=goal)
    assert np.mean([answer.outside for answer in odd]) >= 0.7
    assert all(answer.unsure for answer in odd if answer.outside)
    curve = head_model.manifest.learning_curve
    assert curve is not None
    assert [point.examples for point in curve.points] == sorted(point.examples for point in curve.points)
    assert {path.name for path in (head_model.bundle / "private").iterdir()} >= {
        "out_of_fold.jsonl",
        "label_issues.jsonl",
    }


def test_auto_takes_the_rung_of_least_log_loss_and_shows_all(tickets: Pairs, tmp_path: Path) -> None:
    model = fewtune.fit(tickets, out=tmp_path / "out", budget="20s")
    assert model.result is not None
    least = min(rung.expected_log_loss for rung in model.result.rungs)
    (taken,) = [rung for rung in model.result.rungs if rung.tune_seconds is not None]
    assert (model.result.method, model.result.model) == (taken.method, taken.model)
    assert taken.expected_log_loss <= 1.011 * least
    assert model.result.rungs[0].name == "tfidf"
    told = {rung.name for rung in model.result.rungs} | {left_out.name for left_out in model.result.left_out}
    methods = ("head", "contrastive", "partial", "lora", "full")
    assert told >= {"tfidf", *(f"{method}:{name}" for method in methods for name in catalog.encoders())}


def test_chinese_never_silently_gets_an_english_encoder(tickets: Pairs, tmp_path: Path) -> None:
    chinese = [(text, label) for text, label in tickets if not text.isascii()]
    model = fewtune.fit(chinese, out=tmp_path / "out", budget="3s")
    assert model.result is not None
    (reason,) = [some.why for some in model.result.left_out if some.name == "head:all-MiniLM-L6-v2"]
    assert "zh" in reason


@pytest.mark.parametrize("method", ["tfidf", pytest.param("head", marks=needs_encoder)])
def test_the_same_recipe_gives_the_same_bytes(tickets: Pairs, tmp_path: Path, method: str) -> None:
    first = fewtune.fit(tickets, method=method, out=tmp_path / "a", settings={"C": 3.0})
    again = fewtune.fit(tickets, method=method, out=tmp_path / "b", settings={"C": 3.0})
    for name in ("model.onnx", "tokenizer.json"):
        assert (first.bundle / name).read_bytes() == (again.bundle / name).read_bytes()
    texts = [text for text, _ in tickets]
    assert first.predict_proba(texts).tobytes() == again.predict_proba(texts).tobytes()


def test_the_bundles_recipe_makes_the_same_model(csv_file: Path, tmp_path: Path) -> None:
    first = fewtune.fit(csv_file, method="tfidf", out=tmp_path / "a")
    values = read_recipe(first.bundle / "recipe.toml")
    again = pipeline.fit(make_recipe(values | {"data": str(csv_file)}), out=tmp_path / "b")
    assert (first.bundle / "model.onnx").read_bytes() == (again.bundle / "model.onnx").read_bytes()


@needs_encoder
def test_each_text_passes_the_encoder_once(tickets: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over folds, repeats, trials, the final fit and the reference of the parity check."""
    seen: list[str] = []
    encode = TextEncoder.features

    def counting(self: TextEncoder, texts: Sequence[str], **options: object) -> np.ndarray:
        seen.extend(texts)
        return encode(self, texts, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(TextEncoder, "features", counting)
    fewtune.fit(tickets, method="head", model="multilingual-e5-small", out=tmp_path / "out")
    assert sorted(text for text in seen if text in dict(tickets)) == sorted(text for text, _ in tickets)


def test_test_data_chooses_nothing(tickets: Pairs, tmp_path: Path) -> None:
    misleading = tmp_path / "test.csv"
    misleading.write_text("text,label\nthanks a lot,billing\nwhere is my parcel,praise\n")
    plain = fewtune.fit(tickets, method="tfidf", out=tmp_path / "a")
    tested = fewtune.fit(tickets, method="tfidf", out=tmp_path / "b", test=str(misleading))
    assert (plain.bundle / "model.onnx").read_bytes() == (tested.bundle / "model.onnx").read_bytes()
    assert tested.scores["accuracy"].n == 2


def test_test_data_need_not_be_a_file(tickets: Pairs, tmp_path: Path) -> None:
    tested = fewtune.fit(tickets, method="tfidf", out=tmp_path / "a", test=[("thanks a lot", "praise")])
    assert tested.scores["accuracy"].n == 1


def test_a_spent_budget_leaves_rungs_out_and_says_so(tickets: Pairs, tmp_path: Path) -> None:
    model = fewtune.fit(tickets * 3, budget="0.01s", out=tmp_path / "out")
    assert model.manifest.method == "tfidf"
    assert model.result is not None
    reasons = ("budget", "installed", "reads", "which it adds to, was left out")
    assert all(any(reason in some.why for reason in reasons) for some in model.result.left_out)
    assert any("budget" in some.why for some in model.result.left_out)


@pytest.mark.parametrize(
    "pairs",
    [
        [("good", "a"), ("bad", "b")],
        [("good", "a"), ("fine", "a"), ("bad", "b")],
        [("", "a"), ("x", "a"), ("y", "b"), ("z", "b")],
        [("same", "a")] * 5 + [("other", "b")] * 5,
        [("...", "a"), ("---", "b"), ("..", "a"), ("--", "b")],
        [("😀", "a"), ("😡", "b"), ("😀😀", "a"), ("😡😡", "b")],
        [("word " * 10_000, "a"), ("short", "b"), ("word " * 9_000, "a"), ("brief", "b")],
        [(f"thing {i}", f"class {i // 2}") for i in range(300)],
    ],
    ids=["two", "three", "empty", "same", "punctuation", "emoji", "long", "150 classes"],
)
def test_odd_but_possible_data_gives_a_model(pairs: Pairs, tmp_path: Path) -> None:
    model = fewtune.fit(pairs, method="tfidf", out=tmp_path / "out")
    assert set(model.predict([text for text, _ in pairs])) <= set(model.labels)
    json.loads((model.bundle / "bundle.json").read_text())


def test_nothing_is_left_behind_by_a_refused_fit(tickets: Pairs, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one class only"):
        fewtune.fit([("a", "x"), ("b", "x")], out=tmp_path / "out")
    with pytest.raises(RecipeError, match="no method"):
        fewtune.fit(tickets, method="magic", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing_at_out_and_resumes(
    tickets: Pairs, csv_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    recipe = Recipe(data=str(csv_file), method="tfidf")
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "write_bundle", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pipeline.fit(recipe, out=out)
    assert not out.exists()
    with pytest.raises(RecipeError, match="seed"):
        pipeline.fit(recipe.model_copy(update={"seed": 1}), out=out, resume=True)
    pipeline.fit(recipe, out=out, resume=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tickets.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_and_leaves_nothing(
    tickets: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        fewtune.fit(tickets, method="tfidf", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_unseen_in_training_are_refused_at_evaluation(tfidf_model: fewtune.Model) -> None:
    with pytest.raises(DataError, match="'politics'") as caught:
        tfidf_model.evaluate([("a", "billing"), ("b", "politics")])
    assert "billing" in caught.value.how


def test_a_recipe_survives_toml() -> None:
    recipe = Recipe(data='odd "name"\\ \n字.csv', budget="90s", settings={"C": 0.5, "label names": 3.0})
    values = __import__("tomllib").loads(write_recipe(recipe))
    assert make_recipe(values) == recipe
    assert recipe.budget_seconds == 90


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"metod": "head"}, "no setting 'metod'"),
        ({"budget": "soon"}, "budget"),
        ({"budget": "0m"}, "above zero"),
        ({"seed": -1}, "seed"),
        ({"seed": "one"}, "seed"),
    ],
)
def test_a_wrong_setting_is_named(values: dict[str, object], what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        make_recipe(values)


def test_settings_on_the_command_line() -> None:
    assert parse_setting("C=1.5") == ("C", 1.5)
    assert parse_setting("name=some text") == ("name", "some text")
    with pytest.raises(RecipeError, match="key=value"):
        parse_setting("C")


@pytest.mark.parametrize(
    ("settings", "what"), [({"D": 1.0}, "'D'"), ({"C": "big"}, "a number"), ({"C": 0}, "cannot be 0")]
)
def test_hyper_parameters_are_checked(tickets: Pairs, tmp_path: Path, settings: dict[str, object], what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        fewtune.fit(tickets, method="tfidf", settings=settings, out=tmp_path / "out")


def test_a_folder_of_somebody_elses_is_not_deleted_for_the_work(tickets: Pairs, tmp_path: Path) -> None:
    kept = tmp_path / "mine.work" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(OutputError, match="did not make"):
        fewtune.fit(tickets, method="tfidf", out=tmp_path / "mine")
    assert kept.read_text() == "mine"
