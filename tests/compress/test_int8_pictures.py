"""Networks for pictures in integers: close to the float one, safe from saturation, and each answer its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fewtune.compress.float16 import Float16Storage
from fewtune.compress.int8 import Int8
from fewtune.compress.int8_pictures import changes, nearest_changes
from fewtune.compress.rounding import round_weight, step_sizes
from fewtune.interfaces import Content, ImpossibleError, RunContext
from fewtune.runtime.picture_graph import PictureGraph
from fewtune.runtime.preprocess import Preprocess
from fewtune.types import Example, Graph
from tests.pictures import draw

PREPROCESS = Preprocess(32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_STEM, _WIDE, _KNOWN = 16, 64, 400


def _network() -> bytes:
    """A stem, a depthwise and a pointwise convolution with ReLU6, pooling, a large and a small matrix."""
    random = np.random.default_rng(0)
    values: dict[str, Any] = {
        "stem": random.normal(0, 0.4, (_STEM, 3, 3, 3)),
        "stem.bias": random.normal(0, 0.2, _STEM),
        "deep": random.normal(0, 0.5, (_STEM, 1, 3, 3)) * random.uniform(0.1, 8, (_STEM, 1, 1, 1)),
        "deep.bias": random.normal(0, 0.2, _STEM),
        "point": random.normal(0, 0.3, (_WIDE, _STEM, 1, 1)),
        "point.bias": random.normal(0, 0.2, _WIDE),
        "known": random.normal(0, 0.3, (_KNOWN, _WIDE)),
        "known.bias": random.normal(0, 0.3, _KNOWN),
        "classifier.weight": random.normal(0, 0.05, (_KNOWN, 3)),
        "classifier.bias": random.normal(0, 0.05, 3),
        "low": np.array(0.0),
        "high": np.array(6.0),
    }
    nodes = [
        helper.make_node("Conv", ["pixels", "stem", "stem.bias"], ["a"], strides=[2, 2], pads=[0, 0, 1, 1]),
        helper.make_node("Clip", ["a", "low", "high"], ["b"]),
        helper.make_node("Conv", ["b", "deep", "deep.bias"], ["c"], pads=[1, 1, 1, 1], group=_STEM),
        helper.make_node("Clip", ["c", "low", "high"], ["d"]),
        helper.make_node("Conv", ["d", "point", "point.bias"], ["e"]),
        helper.make_node("Clip", ["e", "low", "high"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["g"]),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "known", "known.bias"], ["features"], transB=1),
        helper.make_node("Gemm", ["features", "classifier.weight", "classifier.bias"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", _KNOWN]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3]),
        ],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return model.SerializeToString()


@pytest.fixture
def content() -> Content:
    contract = Graph("classifier", "model.onnx", {}, {}, tokenizer="", preprocess="preprocess.json")
    assets = {"preprocess.json": PREPROCESS.to_json()}
    return Content("image-classification", {"model.onnx": _network()}, (contract,), assets, {})


@pytest.fixture
def pictures(tmp_path: Path) -> list[Example]:
    found = []
    for number in range(12):
        path = tmp_path / f"{number}.png"
        draw("disc" if number % 2 else "lines", number).save(path)
        found.append(Example(str(path)))
    return found


def probabilities(content: Content, pictures: list[Example]) -> np.ndarray:
    graph = PictureGraph(content.graphs["model.onnx"], PREPROCESS, threads=1)
    logits = graph.run([example.input for example in pictures], "logits")
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_it_computes_nearly_the_same_in_a_third_of_the_room(content: Content, pictures: list[Example]) -> None:
    smaller = Int8().compress(content, pictures[:8], None, RunContext(Path(), threads=1))
    before, after = (probabilities(some, pictures[8:]) for some in (content, smaller))
    assert np.abs(before - after).max() < 0.05
    assert len(smaller.graphs["model.onnx"]) < 0.5 * len(content.graphs["model.onnx"])
    assert Int8().obstacle(smaller) == "it computes in 8-bit integers already"


def test_what_sums_over_channels_keeps_to_64_steps(content: Content, pictures: list[Example]) -> None:
    """255 x 64 x 2 fits the 16-bit sums of processors without VNNI; a depthwise convolution has no such sums."""
    smaller = Int8().compress(content, pictures, None, RunContext(Path(), threads=1))
    model = onnx.load_from_string(smaller.graphs["model.onnx"])
    weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    kernels = [weight.astype(int) for weight in weights if weight.dtype == np.int8 and weight.ndim == 4]
    assert len(kernels) == 3
    for kernel in kernels:
        most = np.abs(kernel).max()
        assert most == 127 if kernel.shape[1] == 1 else most <= 64


def test_an_answer_does_not_depend_on_its_neighbours(content: Content, pictures: list[Example]) -> None:
    smaller = Int8().compress(content, pictures, None, RunContext(Path(), threads=1))
    together = probabilities(smaller, pictures)
    alone = np.concatenate([probabilities(smaller, [picture]) for picture in pictures])
    assert np.abs(together - alone).max() <= 0.01


def test_it_is_the_same_every_time(content: Content, pictures: list[Example]) -> None:
    graphs = {
        Int8().compress(content, pictures, None, RunContext(Path(), threads=1)).graphs["model.onnx"] for _ in range(2)
    }
    assert len(graphs) == 1


def test_without_pictures_there_is_nothing_to_calibrate_on(content: Content) -> None:
    with pytest.raises(ImpossibleError, match="no pictures"):
        Int8().compress(content, [Example("nowhere.png")], None, RunContext(Path()))


def test_float16_is_half_the_file(content: Content, pictures: list[Example]) -> None:
    smaller = Float16Storage().compress(content, [], None, RunContext(Path()))
    assert len(smaller.graphs["model.onnx"]) < 0.6 * len(content.graphs["model.onnx"])
    assert np.abs(probabilities(content, pictures) - probabilities(smaller, pictures)).max() < 0.002
    assert "no large float32" in Float16Storage().obstacle(smaller)


def test_numbers_that_float16_cannot_hold_stay(content: Content, pictures: list[Example]) -> None:
    model = onnx.load_from_string(content.graphs["model.onnx"])
    for tensor in model.graph.initializer:
        if tensor.name == "known":
            huge = numpy_helper.to_array(tensor).copy()
            huge[0, 0] = 1e6
            tensor.CopyFrom(numpy_helper.from_array(huge, "known"))
    content = replace(content, graphs={"model.onnx": model.SerializeToString()})
    smaller = Float16Storage().compress(content, [], None, RunContext(Path()))
    names = {tensor.name for tensor in onnx.load_from_string(smaller.graphs["model.onnx"]).graph.initializer}
    assert "known" in names


@pytest.mark.parametrize("seed", range(4))
def test_rounding_with_care_changes_the_result_least(seed: int) -> None:
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(80, 80)) / 9
    inputs = np.maximum(random.normal(size=(600, 80)) @ mixed + 0.3, 0).astype(np.float32)
    weight = random.normal(size=(24, 80)).astype(np.float32)
    sizes = step_sizes(weight, 8)[:, None]
    plain = np.rint(weight / sizes) * sizes
    careful = round_weight(weight, inputs, 8)
    steps = careful / sizes
    assert np.abs(steps - np.rint(steps)).max() < 1e-3
    assert np.abs(steps).max(axis=1) == pytest.approx(8, abs=1e-3)
    lost_plainly, lost = (np.square((weight - some) @ inputs.T).sum() for some in (plain, careful))
    assert lost < 0.8 * lost_plainly


def test_boxes_that_stand_elsewhere_are_the_same_where_they_have_no_order() -> None:
    first = np.random.default_rng(0).random((20, 6))
    second = first[::-1] + 0.001
    assert changes(first, second).mean() > 0.1
    np.testing.assert_allclose(nearest_changes(first, second), 0.001)
