"""What is written in 8-bit integers computes what was tuned: by leaving layers in float, or by tuning in integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from fewtune.backbones.bert_onnx import BertWeights, _quantise, matrices, with_linear_head  # noqa: E402
from fewtune.backbones.text_encoder import EncoderParts  # noqa: E402
from fewtune.bundle.export import read_parameters  # noqa: E402
from fewtune.interfaces import RunContext, TuningError  # noqa: E402
from fewtune.runtime.text_graph import TextGraph  # noqa: E402
from fewtune.tune import integers, layers, tuned  # noqa: E402
from fewtune.tune.integers import cosine, in_integers, tuned_in_integers  # noqa: E402
from fewtune.tune.layers import TunedLayers  # noqa: E402
from fewtune.tune.rounded import RoundedLinear, compute_in_steps  # noqa: E402
from fewtune.types import FloatArray  # noqa: E402
from tests.compress.conftest import content, texts, unigram  # noqa: E402
from tests.compress.test_structure import encoder_of  # noqa: E402

TEXTS = [text for text, _ in texts(24)]
HURT = "encoder.layer.0.output.dense"
RUN = RunContext(Path(), threads=1)


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "computes_in_bfloat16", lambda: False)


def parts_with_outlier(size: float) -> EncoderParts:
    """One neuron is always so large, and nothing listens to it: harmless in float, ruinous for a token's steps."""
    parts = encoder_of(content(unigram())).parts
    tensors: dict[str, Any] = dict(parts.weights.tensors)
    bias, weight = "encoder.layer.0.intermediate.dense.bias", f"{HURT}.weight"
    tensors[bias], tensors[weight] = np.array(tensors[bias]), np.array(tensors[weight])
    tensors[bias][0], tensors[weight][:, 0] = size, 0
    return replace(parts, weights=BertWeights(parts.config, tensors))


def features(parts: EncoderParts, floats: list[str]) -> FloatArray:
    return TextGraph(parts.graph(floats), parts.tokenizer_json, threads=1).run(TEXTS, "features")


def everything(parts: EncoderParts) -> list[str]:
    return [name for group in matrices(parts.weights) for name in group]


def states(parts: EncoderParts) -> list[FloatArray]:
    return TextGraph(parts.trunk(0), parts.tokenizer_json, threads=1).run_tokens(TEXTS, "hidden")


def test_a_layer_that_integers_hurt_is_found_and_stays_in_float() -> None:
    parts = parts_with_outlier(5000.0)
    wanted = features(parts, everything(parts))
    assert cosine(features(parts, []), wanted) < 0.97
    found = in_integers(parts, TEXTS, wanted, 0.99, RUN)
    assert found.floats == (HURT,)
    assert found.cosine >= 0.99
    kept = read_parameters(with_linear_head(found.graph, np.zeros((32, 3)), np.zeros(3)))
    np.testing.assert_allclose(kept[f"{HURT}.weight"], np.asarray(parts.weights.tensors[f"{HURT}.weight"]), atol=1e-3)


def test_what_integers_do_not_hurt_is_in_integers_altogether() -> None:
    parts = encoder_of(content(unigram())).parts
    found = in_integers(parts, TEXTS, features(parts, everything(parts)), 0.98, RUN)
    assert found.floats == ()
    assert found.graph == parts.graph()


def test_a_rounded_layer_computes_in_the_integers_of_the_graph() -> None:
    random = np.random.default_rng(0)
    weight, given = random.normal(size=(8, 16)).astype(np.float32), random.normal(size=(5, 16)).astype(np.float32)
    layer = torch.nn.Sequential(torch.nn.Linear(16, 8))
    with torch.no_grad():
        layer[0].weight.copy_(torch.from_numpy(weight))
        layer[0].bias.zero_()
    compute_in_steps(layer)
    steps, scales = _quantise(weight)
    sizes = np.abs(given).max(axis=1, keepdims=True) / 127
    exact = (np.rint(given / sizes) @ steps.T.astype(np.float32)) * sizes * scales
    np.testing.assert_allclose(layer(torch.from_numpy(given)).detach().numpy(), exact, atol=1e-5)


def test_layers_in_steps_keep_the_names_of_their_weights_and_still_learn() -> None:
    parts = encoder_of(content(unigram())).parts
    student = TunedLayers(parts, count=2)
    names = {name for name, _ in student.named_parameters()}
    compute_in_steps(student)
    assert {name for name, _ in student.named_parameters()} == names
    assert sum(isinstance(module, RoundedLinear) for module in student.modules()) == 12
    student(student.pack(states(parts)))[:, 0].sum().backward()
    tuned_weights = [weight for name, weight in student.named_parameters() if name.endswith("dense.weight")]
    assert all(weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in tuned_weights)


def test_tuning_in_integers_brings_back_what_they_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integers, "_STEPS", 120)
    monkeypatch.setattr(integers, "_LEARNING_RATE", 2e-3)
    parts = parts_with_outlier(400.0)
    teacher = TunedLayers(parts, count=2).requires_grad_(False)
    wanted = teacher.features(states(parts))
    before = cosine(features(parts, []), wanted)
    again = tuned_in_integers(parts, teacher, states(parts), RUN, "unit")
    after = cosine(features(again, []), wanted)
    assert 1 - after < 0.7 * (1 - before)


def test_one_text_that_integers_blur_is_no_reason_to_fail() -> None:
    vectors = np.eye(32, dtype=np.float32)
    blurred = vectors.copy()
    blurred[0, 1] = 0.4  # cosine 0.93
    assert cosine(blurred, vectors) >= tuned._LEAST_COSINE
    assert cosine(np.roll(vectors, 1, axis=0), vectors) < tuned._LEAST_COSINE


def test_a_graph_that_computes_another_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integers, "_STEPS", 2)
    parts = encoder_of(content(unigram())).parts
    wanted = -features(parts, everything(parts))
    with pytest.raises(TuningError, match="8-bit integers"):
        tuned._written(parts, TunedLayers(parts, count=2), states(parts), TEXTS, wanted, RUN, "unit")
