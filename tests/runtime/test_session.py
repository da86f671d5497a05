"""Graphs are opened in one way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from fewtune.runtime.session import can_spin_briefly, open_session


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


@pytest.mark.parametrize(("version", "spins"), [("1.26.0", True), ("2.0.0rc1", True), ("1.25.1", False)])
def test_threads_spin_briefly_or_not_at_all(monkeypatch: pytest.MonkeyPatch, version: str, spins: bool) -> None:
    """An older ONNX Runtime takes any setting, and spins for milliseconds all the same."""
    monkeypatch.setattr(onnxruntime, "__version__", version)
    options = open_session(doubling(), threads=2).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == str(int(spins))
    assert 0 < int(options.get_session_config_entry("session.intra_op.spin_duration_us")) <= 1000
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_the_name_of_the_setting_is_one_that_the_runtime_knows(capfd: pytest.CaptureFixture[str]) -> None:
    """A name that it does not know it would take without a word."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.intra_op.spin_duration_us", "soon")
    onnxruntime.InferenceSession(doubling(), options, providers=["CPUExecutionProvider"])
    if not can_spin_briefly():
        pytest.skip("this one does not know it")
    assert "spin_duration_us" in capfd.readouterr().err
