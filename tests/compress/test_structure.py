"""Structured pruning and students of fewer layers: what is left is smaller, whole, and learns from the original."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewtune.backbones.bert_onnx import BertWeights, with_linear_head
from fewtune.bundle.export import export_bundle
from fewtune.bundle.read import read_manifest
from fewtune.bundle.write import write_bundle
from fewtune.compress import structure
from fewtune.compress.structure import Encoder, FewerLayers, StructuredPruning, read_encoder, spread, without
from fewtune.interfaces import Compressor, Content, Fitted, ImpossibleError, RunContext
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import Example, FloatArray
from tests.bundle.conftest import make_manifest
from tests.compress.conftest import content, texts, unigram

pytest.importorskip("torch")
TEXTS = [text for text, _ in texts(24)]


def encoder_of(some: Content) -> Encoder:
    return read_encoder(some.graphs["model.onnx"], some.assets["tokenizer.json"], some.backbone)


def logits(some: Content, given: Sequence[str] = TEXTS) -> FloatArray:
    return TextGraph(some.graphs["model.onnx"], some.assets["tokenizer.json"], threads=1).run(given, "logits")


def shrunk(compressor: Compressor, strength: float, *, seed: int = 0) -> Content:
    examples = [Example(text) for text in TEXTS]
    return compressor.compress(content(unigram()), examples, strength, RunContext(Path(), seed, threads=1))


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewtune.compress.recovery._STEPS", 40)


def test_an_encoder_is_read_back_as_it_was_written() -> None:
    original = content(unigram())
    found = encoder_of(original)
    again = with_linear_head(found.parts.graph(), found.weight, found.bias)
    after = TextGraph(again, original.assets["tokenizer.json"], threads=1).run(TEXTS, "logits")
    np.testing.assert_allclose(after, logits(original), atol=0.05)


def test_heads_and_neurons_that_give_nothing_can_go_without_a_trace() -> None:
    found = encoder_of(content(unigram()))
    tensors: dict[str, Any] = dict(found.parts.weights.tensors)
    for layer in range(2):
        name = f"encoder.layer.{layer}"
        # Head 1 and neurons from 40 on are not listened to.
        for key, columns in (
            (f"{name}.attention.output.dense.weight", slice(8, 16)),
            (f"{name}.output.dense.weight", slice(40, None)),
        ):
            tensors[key] = np.array(tensors[key])
            tensors[key][:, columns] = 0
    parts = structure.replace(found.parts, weights=BertWeights(found.parts.config, tensors))
    smaller = without(parts, [np.array([0, 2, 3])] * 2, [np.arange(40)] * 2)
    before, after = (
        TextGraph(some.graph(), parts.tokenizer_json, threads=1).run(TEXTS, "features") for some in (parts, smaller)
    )
    np.testing.assert_allclose(after, before, atol=2e-2)
    importance = structure.Importance([np.array([1.0, 0, 1, 1])] * 2, [np.arange(64.0)[::-1]] * 2)
    heads, neurons = structure.chosen(importance, 24 / 64)
    assert [kept.tolist() for kept in heads] == [[0, 2, 3]] * 2
    assert [kept.tolist() for kept in neurons] == [list(range(40))] * 2


def test_what_the_answers_do_not_depend_on_has_no_importance() -> None:
    from fewtune.compress.importance import measured

    found = encoder_of(content(unigram()))
    tensors: dict[str, Any] = dict(found.parts.weights.tensors)
    dead = {
        "encoder.layer.0.attention.output.dense.weight": slice(16, 24),
        "encoder.layer.1.output.dense.weight": slice(0, 8),
    }
    for key, columns in dead.items():
        tensors[key] = np.array(tensors[key])
        tensors[key][:, columns] = 0
    parts = structure.replace(found.parts, weights=BertWeights(found.parts.config, tensors))
    states = TextGraph(parts.trunk(0), parts.tokenizer_json, threads=1).run_tokens(TEXTS, "hidden")
    importance = measured(Encoder(parts, found.weight, found.bias), states, RunContext(Path()))
    assert importance.heads[0].argmin() == 2
    assert importance.heads[0][2] == 0
    assert set(np.flatnonzero(importance.neurons[1] == 0)) == set(range(8))
    assert (np.delete(importance.neurons[1], np.arange(8)) > 0).all()


@pytest.mark.usefixtures("few_steps")
def test_half_the_neurons_and_a_third_of_the_heads_go() -> None:
    smaller = shrunk(StructuredPruning(), 0.5)
    found = encoder_of(smaller)
    assert sum(smaller.backbone["neurons"]) <= 2 * 64 * 0.5 + 2
    assert sum(smaller.backbone["heads"]) < 8
    assert found.parts.layers == 2
    assert len(smaller.graphs["model.onnx"]) < len(content(unigram()).graphs["model.onnx"])
    assert "left with 2 layers" in smaller.notes[0]
    assert np.isfinite(logits(smaller)).all()


def test_what_is_left_learns_from_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    original = logits(content(unigram()))
    gaps = []
    for steps in (1, 150):
        monkeypatch.setattr("fewtune.compress.recovery._STEPS", steps)
        gaps.append(float(np.abs(logits(shrunk(StructuredPruning(), 0.5)) - original).mean()))
    assert gaps[1] < 0.7 * gaps[0]


@pytest.mark.usefixtures("few_steps")
def test_a_student_has_so_many_layers_and_is_the_same_for_the_same_seed() -> None:
    smaller = shrunk(FewerLayers(), 1)
    assert encoder_of(smaller).parts.layers == 1
    assert smaller.backbone["config"]["num_hidden_layers"] == 1
    assert shrunk(FewerLayers(), 1).graphs == smaller.graphs
    assert shrunk(FewerLayers(), 1, seed=1).graphs != smaller.graphs
    with pytest.raises(ImpossibleError, match="only 2 layers"):
        shrunk(FewerLayers(), 2)


def test_layers_are_kept_evenly_and_the_last_always() -> None:
    assert spread(6, 3) == [1, 3, 5]
    assert spread(12, 1) == [11]
    assert spread(6, 6) == list(range(6))
    assert all(len(set(spread(12, count))) == count for count in range(1, 13))


def test_too_few_texts_and_what_has_no_encoder_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    some = content(unigram())
    for compressor in (StructuredPruning(), FewerLayers()):
        assert compressor.obstacle(some) == ""
        with pytest.raises(ImpossibleError, match="only 2 texts"):
            compressor.compress(some, [Example("a"), Example("b"), Example("a")], None, RunContext(Path()))
        bare = structure.replace(some, graphs={"model.onnx": b"no table"})
        assert "no encoder" in compressor.obstacle(bare)
    monkeypatch.setattr(structure, "find_spec", lambda _: None)
    assert "pip install" in StructuredPruning().obstacle(some)


@pytest.mark.usefixtures("few_steps")
def test_what_was_pruned_is_exported_to_the_same_answers(tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    smaller = shrunk(StructuredPruning(), 0.5)
    fitted = Fitted(
        smaller.graphs, smaller.contracts, smaller.assets, smaller.backbone, lambda _: np.zeros((0, 3)), 0.1
    )
    write_bundle(tmp_path / "small", fitted, make_manifest(fitted), name="small", recipe_toml="", private={})
    assert read_manifest(tmp_path / "small").backbone["neurons"] == smaller.backbone["neurons"]
    export_bundle(tmp_path / "small", tmp_path / "hf", form="hf")
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "hf"), device="cpu").encode(TEXTS[:8])
    # Random weights, and float32 there against 8-bit integers here: close, not equal.
    np.testing.assert_allclose(theirs, logits(smaller, TEXTS[:8]), atol=0.3)
