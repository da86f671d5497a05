"""Matrix products in integers: near to float, and no answer depends on its neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from fewtune.backbones.onnx_graph import IR_VERSION, OPSET
from fewtune.compress.int8 import Int8
from fewtune.compress.int8_matrices import matrices_in_integers
from fewtune.interfaces import Content, ImpossibleError, RunContext
from fewtune.types import FloatArray

_ROWS, _INNER, _OUTER = 60, 80, 90


def content(*, large: bool = True) -> Content:
    """Rows of a table, times a matrix, twice: (batch, tokens) ids to (batch, tokens, outer)."""
    random = np.random.default_rng(0)
    outer = _OUTER if large else 2
    rows = _ROWS if large else 3
    matrix = random.normal(size=(_INNER, outer)).astype(np.float32)
    # A column of another order of magnitude.
    matrix[:, 0] *= 100
    table = random.normal(size=(rows, _INNER)).astype(np.float32)
    if large:
        table[7] *= 50
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "matrix"], ["product"]),
            helper.make_node("MatMul", ["hidden", "matrix"], ["again"]),
            helper.make_node("Add", ["product", "again"], ["out"]),
        ],
        "two products",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", "tokens", outer])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(matrix, "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return Content("translation", {"encoder.onnx": model.SerializeToString()}, (), {}, {})


def run(some: Content, ids: np.ndarray) -> FloatArray:
    session = onnxruntime.InferenceSession(some.graphs["encoder.onnx"], providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["out"], {"ids": ids})[0])


def test_products_are_near_to_float_in_every_column_and_row() -> None:
    whole = content()
    smaller = matrices_in_integers(whole)
    assert len(smaller.graphs["encoder.onnx"]) < 0.4 * len(whole.graphs["encoder.onnx"])
    ids = np.arange(_ROWS).reshape(6, 10)
    before, after = run(whole, ids), run(smaller, ids)
    hidden, matrix = (
        numpy_helper.to_array(some) for some in onnx.load_from_string(whole.graphs["encoder.onnx"]).graph.initializer
    )
    # Beside what a product of such a row and such a column comes to.
    usual = 2 * np.linalg.norm(hidden, axis=1)[ids][:, :, None] * np.linalg.norm(matrix, axis=0) / np.sqrt(_INNER)
    assert np.abs(after - before).max(axis=(0, 1)).min() > 0
    assert (np.abs(after - before) / usual).max() < 0.1


def test_an_answer_does_not_depend_on_its_neighbours() -> None:
    """A neighbour fifty times as large would take all the steps of a scale that they shared."""
    smaller = matrices_in_integers(content())
    alone, beside = run(smaller, np.array([[3, 4]])), run(smaller, np.array([[3, 4], [7, 7]]))
    np.testing.assert_array_equal(alone[0], beside[0])


def test_what_has_no_large_matrix_stays_and_says_so() -> None:
    with pytest.raises(ImpossibleError, match="no matrices"):
        matrices_in_integers(content(large=False))


def test_the_same_comes_out_every_time() -> None:
    first, second = (matrices_in_integers(content()) for _ in range(2))
    assert first.graphs == second.graphs


@pytest.mark.parametrize(("has", "says"), [(True, False), (False, True), (None, False)])
def test_a_processor_without_the_instructions_is_told_of(
    monkeypatch: pytest.MonkeyPatch, has: bool | None, says: bool
) -> None:
    monkeypatch.setattr("fewtune.compress.int8.multiplies_int8", lambda: has)
    smaller = Int8().compress(content(), [], None, RunContext(Path()))
    assert any("no instructions" in note for note in smaller.notes) is says
