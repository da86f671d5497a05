"""An ONNX graph under construction, and one whose constants are computed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

OPSET = 20
IR_VERSION = 9
FLOAT, INT64 = 1, 7  # of onnx.TensorProto, spelled out to keep onnx out of this module's import

Signature = Mapping[str, tuple[int, Sequence[str | int]]]


class OnnxGraph:
    """Collects nodes and initializers; names every intermediate value by itself."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, np.ndarray] = {}

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return its output's name."""
        from onnx import helper

        output = output or f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: type = np.int64) -> str:
        """Add an initializer, once, and return its name."""
        self._initializers.setdefault(name, np.asarray(value, dtype=dtype))
        return name

    def serialised(self, name: str, inputs: Signature, outputs: Signature) -> bytes:
        """The model; inputs and outputs are names with their type and shape."""
        from onnx import helper, numpy_helper

        def described(signature: Signature) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(key, kind, list(shape)) for key, (kind, shape) in signature.items()]

        constants = [numpy_helper.from_array(value, key) for key, value in self._initializers.items()]
        graph = helper.make_graph(self._nodes, name, described(inputs), described(outputs), constants)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="fewtune")
        return model.SerializeToString(deterministic=True)


def optimised(graph: bytes) -> onnx.ModelProto:
    """A graph with its constants computed and its paddings put into the convolutions, every node named."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="fewtune-") as place:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(place) / "folded.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        model = onnx.load(options.optimized_model_filepath)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return onnx.shape_inference.infer_shapes(model)
