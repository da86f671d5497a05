"""Bundles whose files are unaltered and still do not fit, and the smallest graph that does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

import fewtune
from fewtune.errors import BundleError
from fewtune.runtime import machine, open_classifier
from fewtune.runtime.machine import describe_machine, peak_memory_mb
from fewtune.runtime.text_graph import TextGraph
from fewtune.runtime.threads import usable_cores

EMBEDDING = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
WEIGHT = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)


def _mean_embedding_graph(classes: int = 5, output: str = "logits") -> bytes:
    """Embeddings, their mean over the mask, and a linear head."""
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "tokens_axis"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["column", "tokens_axis"], ["count"], keepdims=0),
        helper.make_node("Div", ["total", "count"], ["features"]),
        helper.make_node("MatMul", ["features", "weight"], [output]),
    ]
    constants = {
        "embedding": EMBEDDING,
        "weight": WEIGHT[:, :classes],
        "last": np.array([2]),
        "tokens_axis": np.array([1]),
    }
    names = ("input_ids", "attention_mask")
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names],
        [
            helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", classes]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 3]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _tokenizer() -> bytes:
    tokenizer = Tokenizer(models.WordLevel({"?": 0, "a": 1, "b": 2, "c": 3}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer.to_str().encode()


def _replace(folder: Path, **contents: bytes | None) -> None:
    """Put other files into a bundle, or take them out, as if it had been made so."""
    values: dict[str, Any] = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    for key, content in contents.items():
        name = {"model": "model.onnx", "tokenizer": "tokenizer.json"}[key]
        del values["files"][name]
        if content is not None:
            (folder / name).write_bytes(content)
            values["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "bundle.json").write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture
def copy(tfidf_model: fewtune.Model, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tfidf_model.bundle, tmp_path / "copy"))


def test_log_probabilities_are_the_softmax_of_the_graphs_logits(copy: Path) -> None:
    _replace(copy, model=_mean_embedding_graph(), tokenizer=_tokenizer())
    _, runtime = open_classifier(copy)
    features = np.stack([EMBEDDING[[1, 2]].mean(axis=0), EMBEDDING[3], EMBEDDING[[2, 1, 0]].mean(axis=0)])
    texts = ["a b", "c", "b a zzz"]
    np.testing.assert_allclose(runtime.features(texts), features, rtol=1e-5)
    exps = np.exp((features @ WEIGHT).astype(np.float64))
    np.testing.assert_allclose(np.exp(runtime.log_probs(texts)), exps / exps.sum(axis=1, keepdims=True), rtol=1e-5)


def test_large_logits_do_not_overflow(copy: Path) -> None:
    model = onnx.load_from_string(_mean_embedding_graph())
    for tensor in model.graph.initializer:
        if tensor.name == "weight":
            tensor.CopyFrom(numpy_helper.from_array(WEIGHT * np.float32(1e6), "weight"))
    _replace(copy, model=model.SerializeToString(), tokenizer=_tokenizer())
    log_probs = open_classifier(copy)[1].log_probs(["a", "b c"])
    assert np.isfinite(log_probs).all()
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("contents", "what"),
    [
        ({"model": b"not a graph"}, "model.onnx cannot be opened"),
        ({"model": b""}, "model.onnx cannot be opened"),
        ({"model": _mean_embedding_graph(output="scores")}, "model.onnx cannot be opened"),
        ({"model": _mean_embedding_graph(classes=2)}, "2 classes, and bundle.json names 5"),
        ({"tokenizer": b"{}"}, "cannot be opened"),
        ({"tokenizer": b"\xff\xfe"}, "cannot be opened"),
        ({"tokenizer": None}, "no tokenizer.json"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused_in_words(copy: Path, contents: dict[str, Any], what: str) -> None:
    _replace(copy, **contents)
    with pytest.raises(BundleError, match=what) as caught:
        open_classifier(copy)
    assert caught.value.where == str(copy)
    assert caught.value.how


def test_an_unknown_task_asks_for_a_newer_fewtune(copy: Path) -> None:
    values = json.loads((copy / "bundle.json").read_text(encoding="utf-8"))
    (copy / "bundle.json").write_text(json.dumps({**values, "task": "telepathy"}), encoding="utf-8")
    with pytest.raises(BundleError, match="does not know the task 'telepathy'") as caught:
        open_classifier(copy)
    assert "pip install --upgrade fewtune" in caught.value.how


def test_a_bundle_without_an_encoder_has_no_vectors(tfidf_model: fewtune.Model) -> None:
    with pytest.raises(ValueError, match="no encoder"):
        open_classifier(tfidf_model.bundle)[1].features(["a"])


def test_progress_counts_every_text(copy: Path) -> None:
    class Count:
        done = 0.0

        def advance(self, amount: float = 1) -> None:
            self.done += amount

    step = Count()
    TextGraph(_mean_embedding_graph(), _tokenizer(), threads=1).run(
        ["a b c " * i for i in range(1, 200)], "logits", step=step
    )
    assert step.done == 199


def test_cores_are_those_that_this_process_may_use() -> None:
    if hasattr(os, "sched_getaffinity"):
        assert usable_cores() == len(os.sched_getaffinity(0))
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_peak_memory_is_in_megabytes() -> None:
    if not peak_memory_mb():
        pytest.skip("this system does not tell")
    code = (
        "import numpy; from fewtune.runtime.machine import peak_memory_mb; before = peak_memory_mb()\n"
        "numpy.ones(200_000_000, dtype=numpy.uint8); print(peak_memory_mb() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 150 <= float(done.stdout) <= 250


def test_peak_memory_of_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    known = peak_memory_mb()
    monkeypatch.setattr(machine, "Path", lambda _: Path("no such file"))
    if known:
        assert peak_memory_mb() >= 0.9 * known
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory_mb() == 0.0


def test_the_machine_has_a_name_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    found = describe_machine(3)
    assert found["processor"]
    assert (found["cores"], found["threads"]) == (usable_cores(), 3)
    monkeypatch.setattr(machine, "Path", lambda _: Path("no such file"))
    assert describe_machine(1)["processor"]
