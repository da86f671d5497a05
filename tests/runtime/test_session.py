"""Graphs are opened in one way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from fewtune.runtime.session import open_session


def doubling() -> bytes:
    """A graph that doubles numbers."""
    rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubling", rows[:1], rows[1:])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


@pytest.mark.parametrize("is_file", [False, True])
def test_content_and_file_are_the_same_graph(tmp_path: Path, is_file: bool) -> None:
    (tmp_path / "doubling.onnx").write_bytes(doubling())
    session = open_session(tmp_path / "doubling.onnx" if is_file else doubling(), threads=2)
    (doubled,) = session.run(["y"], {"x": np.array([1, 2.5], np.float32)})
    np.testing.assert_array_equal(doubled, [2, 5])


def test_it_takes_the_threads_that_it_is_given_and_waits_for_them_briefly() -> None:
    options = open_session(doubling(), threads=2).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert 0 < int(options.get_session_config_entry("session.intra_op.spin_duration_us")) <= 1000
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
