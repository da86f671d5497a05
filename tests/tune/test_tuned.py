"""Every tuned rung, end to end on a small BERT: the trunk is computed once, what diverges fails alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("peft")

import fewtune  # noqa: E402
from fewtune import pipeline  # noqa: E402
from fewtune.backbones.text_encoder import MiniLM, TextEncoder  # noqa: E402
from fewtune.bundle.export import export_bundle  # noqa: E402
from fewtune.errors import RecipeError  # noqa: E402
from fewtune.interfaces import TuningError  # noqa: E402
from fewtune.progress import SilentProgress  # noqa: E402
from fewtune.recipe import Recipe, make_recipe, read_recipe  # noqa: E402
from fewtune.tasks.text_classification import TextClassification  # noqa: E402
from fewtune.tune import tuned  # noqa: E402
from fewtune.tune.objectives import SupervisedContrastive  # noqa: E402
from tests.backbones.test_text_encoder import tiny_bert  # noqa: E402

Pairs = list[tuple[str, str]]
METHODS = ("contrastive", "partial", "lora", "full")
WORDS = ("small", "test", "another", "longer", "very", "same", "thing")
QUICK = {"epochs": 2}


@pytest.fixture
def pairs() -> Pairs:
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(WORDS, size=6)) + f" n{i}" for i in range(40)]
    return [(f"{text} {'small' * (i % 2)}", "ab"[i % 2]) for i, text in enumerate(texts)]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tiny_bert(tmp_path / "bert"))


@pytest.fixture
def _without_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour's budget is there so that the clock decides nothing; a search would use it."""
    monkeypatch.setattr("fewtune.ladder._searched", lambda _: None)


def fit(pairs: Pairs, folder: str, out: Path, method: str, **options: Any) -> fewtune.Model:
    options = {"settings": QUICK, "budget": "1h"} | options
    return fewtune.fit(pairs, model=folder, method=method, out=out, **options)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_delivers_a_bundle_that_its_recipe_makes_again(
    pairs: Pairs, folder: str, tmp_path: Path, method: str
) -> None:
    model = fit(pairs, folder, tmp_path / "a", method)
    assert model.manifest.method == method
    assert set(model.predict([text for text, _ in pairs])) <= {"a", "b"}
    frozen = fit(pairs, folder, tmp_path / "frozen", "head", settings={})
    texts = [text for text, _ in pairs]
    ours, theirs = (m._classifier.features(texts) for m in (model, frozen))
    assert np.abs(ours - theirs).max() > 1e-3, "nothing was tuned"
    values = read_recipe(model.bundle / "recipe.toml")
    recipe = make_recipe(values | {"data": ""})
    again = pipeline.fit(recipe, source=pairs, out=tmp_path / "b")
    assert (again.bundle / "model.onnx").read_bytes() == (model.bundle / "model.onnx").read_bytes()


@pytest.mark.parametrize("method", ["contrastive", "partial", "lora"])
def test_each_text_passes_the_trunk_once(
    pairs: Pairs, folder: str, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over epochs, folds, repeats, trials and the final training."""
    seen: list[str] = []
    encode = TextEncoder.hidden_states

    def counting(self: TextEncoder, texts: Sequence[str], layers: int, **options: Any) -> list[np.ndarray]:
        seen.extend(texts)
        return encode(self, texts, layers, **options)

    monkeypatch.setattr(TextEncoder, "hidden_states", counting)
    # What is foreseen encodes a sample of its own; here only the work itself is counted.
    monkeypatch.setattr(tuned.TunedCandidate, "foresee", lambda *_: None)
    fit(pairs, folder, tmp_path / "out", method, settings={"epochs": 3, "layers": 1})
    counts = {text: seen.count(text) for text, _ in pairs}
    assert set(counts.values()) == {1}


def test_gradients_of_small_batches_can_be_summed(pairs: Pairs, folder: str, tmp_path: Path) -> None:
    options = {"epochs": 4, "batch_size": 4, "stop": 1.0, "dropout": 0}
    plain = fit(pairs, folder, tmp_path / "a", "full", settings={**options, "accumulate": 1})
    summed = fit(pairs, folder, tmp_path / "b", "full", settings={**options, "accumulate": 4})
    assert plain.manifest.recipe["settings"]["accumulate"] == 1
    assert summed.manifest.recipe["settings"]["accumulate"] == 4
    assert (plain.bundle / "model.onnx").read_bytes() != (summed.bundle / "model.onnx").read_bytes()


def test_what_is_foreseen_is_about_what_it_takes(pairs: Pairs, folder: str, tmp_path: Path) -> None:
    model = fit(pairs, folder, tmp_path / "out", "contrastive")
    assert model.result is not None
    (rung,) = model.result.rungs
    assert rung.predicted_seconds is not None
    assert rung.predicted_seconds > 0
    assert rung.tune_seconds is not None


def test_a_budget_too_small_gives_the_frozen_encoder_and_says_so(pairs: Pairs, folder: str, tmp_path: Path) -> None:
    model = fit(pairs, folder, tmp_path / "out", "contrastive", budget="0.01s")
    assert model.result is not None
    assert model.result.method == "head"
    (reason,) = [some.why for some in model.result.left_out if some.name.startswith("contrastive")]
    assert "budget" in reason


def test_a_loss_that_diverged_is_tried_once_more_and_slower(
    pairs: Pairs, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss_of, calls = SupervisedContrastive.loss_of, []

    def diverging(self: SupervisedContrastive, features: Any, targets: Any) -> Any:
        calls.append(1)
        loss = loss_of(self, features, targets)
        return loss * float("nan") if len(calls) == 8 else loss

    monkeypatch.setattr(SupervisedContrastive, "loss_of", diverging)
    said: list[str] = []

    class Listening(SilentProgress):
        def say(self, text: str) -> None:
            said.append(text)

    model = fit(pairs, folder, tmp_path / "out", "contrastive", progress=Listening())
    assert model.manifest.method == "contrastive"
    assert any("once more" in text and "3e-05" in text for text in said)


@pytest.mark.usefixtures("_without_search")
def test_a_rung_that_always_diverges_fails_alone(
    pairs: Pairs, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SupervisedContrastive, "loss_of", lambda self, features, targets: features.sum() * float("inf"))
    model = fit(pairs, folder, tmp_path / "out", "auto")
    assert model.result is not None
    (reason,) = [some.why for some in model.result.left_out if some.name.startswith("contrastive")]
    assert "loss became" in reason
    assert {rung.method for rung in model.result.rungs} >= {"head"}


def test_a_model_that_does_not_fit_the_memory_is_not_loaded(
    pairs: Pairs, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned, "free_memory_mb", lambda: 500.1)
    monkeypatch.setattr("fewtune.tune.layers.TunedLayers.__init__", lambda *_, **__: pytest.fail("loaded"))
    model = fit(pairs, folder, tmp_path / "out", "full", settings={})
    assert model.result is not None
    (reason,) = [some.why for some in model.result.left_out if some.name.startswith("full")]
    assert "MB are free" in reason


@pytest.mark.parametrize("method", METHODS)
def test_a_training_of_one_step_is_looked_at_too(pairs: Pairs, folder: str, tmp_path: Path, method: str) -> None:
    model = fit(pairs[:16], folder, tmp_path / "out", method, settings={"epochs": 0.1})
    assert model.manifest.method == method


def test_weights_that_diverged_in_the_last_step_are_seen(
    pairs: Pairs, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gradient that is no number leaves a finite loss behind it."""
    loss_of = SupervisedContrastive.loss_of

    def poisoned(self: SupervisedContrastive, features: Any, targets: Any) -> Any:
        loss = loss_of(self, features, targets)
        loss.register_hook(lambda gradient: gradient * float("nan"))
        return loss

    monkeypatch.setattr(SupervisedContrastive, "loss_of", poisoned)
    model = fit(pairs, folder, tmp_path / "out", "contrastive")
    assert model.result is not None
    assert model.result.method == "head"
    assert "not a number" in model.result.left_out[0].why or "nan" in model.result.left_out[0].why


@pytest.mark.usefixtures("_without_search")
def test_a_winner_that_cannot_be_tuned_on_everything_gives_way(
    pairs: Pairs, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise TuningError("it diverged")

    sure = (-3.0, 0.01)
    monkeypatch.setattr("fewtune.tune.contrastive.ContrastiveCandidate.gain", sure)
    monkeypatch.setattr("fewtune.tune.contrastive.ContrastiveCandidate.fit", fails)
    model = fit(pairs, folder, tmp_path / "out", "auto")
    assert model.result is not None
    assert "contrastive" not in model.result.method
    assert any("on all of the data" in some.why for some in model.result.left_out)


def test_dropout_drops(pairs: Pairs, folder: str) -> None:
    from fewtune.backbones.text_encoder import encoder_from
    from fewtune.tune.layers import TunedLayers
    from fewtune.tune.loop import Objective, Schedule, train
    from fewtune.tune.tuned import token_ids

    parts = encoder_from(folder).parts
    views = token_ids(parts, [text for text, _ in pairs[:4]])
    layers = TunedLayers(parts, count=2, embeddings=True, dropout=0.5)
    seen: list[float] = []

    class Sum(Objective):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def loss(self, batch: int) -> Any:
            loss = self.layers(self.layers.pack(views))[:, :5].sum()
            seen.append(float(loss.detach()))
            return loss

    with SilentProgress().step("x") as step:
        train(Sum(), Schedule(3, 1e-12), seed_of=lambda number: number, step=step)
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    "setting", ["temperature", "layers", "epochs", "learning_rate", "batch_size", "C", "sharpness"]
)
def test_what_cannot_be_zero_is_refused(pairs: Pairs, folder: str, tmp_path: Path, setting: str) -> None:
    with pytest.raises(RecipeError, match="cannot be 0"):
        fit(pairs, folder, tmp_path / "out", "contrastive", settings={setting: 0})


@pytest.mark.parametrize(
    "odd",
    [
        [("one of its kind", "c")],
        [(f"text {i}", f"class {i}") for i in range(30)],
        [("word " * 3000, "a"), ("", "b")],
    ],
    ids=["a class of one", "many classes of one", "long and empty"],
)
def test_odd_but_possible_data_is_tuned(pairs: Pairs, folder: str, tmp_path: Path, odd: Pairs) -> None:
    model = fit([*pairs, *odd], folder, tmp_path / "out", "contrastive")
    assert model.manifest.method == "contrastive"


def test_a_missing_extra_is_named(pairs: Pairs, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned, "find_spec", lambda _: None)
    with pytest.raises(fewtune.MissingExtraError, match=r"\[train\]"):
        fit(pairs, folder, tmp_path / "out", "contrastive")
    model = fit(pairs, folder, tmp_path / "out", "auto")
    assert model.result is not None
    assert any("fewtune[train]" in some.why for some in model.result.left_out if some.name == "contrastive")


def test_a_blend_with_a_model_of_ones_own_is_made_again(pairs: Pairs, folder: str, tmp_path: Path) -> None:
    settings = {"C": 3.0, "label_names": 0.0, "temperature": 1.0}
    members = [
        {"method": "head", "model": folder, "weight": 0.5, "settings": settings},
        {"method": "tfidf", "model": "", "weight": 0.5, "settings": {"C": 10.0}},
    ]
    result = pipeline.fit(Recipe(method="blend", settings={"members": members}), source=pairs, out=tmp_path / "a")
    recipe = make_recipe(read_recipe(result.bundle / "recipe.toml") | {"data": ""})
    again = pipeline.fit(recipe, source=pairs, out=tmp_path / "b")
    assert (result.bundle / "model-1.onnx").read_bytes() == (again.bundle / "model-1.onnx").read_bytes()


def test_a_blend_is_made_again_by_its_recipe(tmp_path: Path, tickets: Pairs) -> None:
    if not MiniLM().info.installed:
        pytest.skip("needs the English encoder")
    task = TextClassification()
    members = [
        {"method": "tfidf", "model": "", "weight": 0.3, "settings": {"C": 10.0, "temperature": 0.8}},
        {"method": "head", "model": "all-MiniLM-L6-v2", "weight": 0.7, "settings": {"C": 3.0, "label_names": 0.0}},
    ]
    english = [(text, label) for text, label in tickets if text.isascii()]
    recipe = Recipe(method="blend", settings={"members": members, "temperature": 0.9})
    first = pipeline.fit(recipe, source=english, out=tmp_path / "a")
    assert first.method == "blend"
    again = pipeline.fit(
        make_recipe(read_recipe(first.bundle / "recipe.toml") | {"data": ""}), source=english, out=tmp_path / "b"
    )
    for name in ("model-1.onnx", "model-2.onnx", "tokenizer-1.json"):
        assert (first.bundle / name).read_bytes() == (again.bundle / name).read_bytes()
    model = fewtune.load(first.bundle)
    dataset = task.read(english, Recipe(), "evaluate")
    assert np.allclose(model.predict_proba([example.input for example in dataset]).sum(axis=1), 1)
    with pytest.raises(RecipeError, match="blend"):
        export_bundle(first.bundle, tmp_path / "hf", form="hf")


@pytest.mark.parametrize(
    "members", [None, "two", [{"method": "tfidf"}], [{"method": "x", "model": "", "weight": 1, "settings": {}}] * 2]
)
def test_a_blend_of_nothing_is_refused(pairs: Pairs, tmp_path: Path, members: Any) -> None:
    settings = {} if members is None else {"members": members}
    with pytest.raises(RecipeError):
        fewtune.fit(pairs, method="blend", settings=settings, out=tmp_path / "out")
