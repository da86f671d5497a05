"""What a graph's constants are, however they are kept: steps of 8 bits unpacked, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.types import FloatArray

if TYPE_CHECKING:
    import onnx


def constants(model: onnx.ModelProto) -> dict[str, FloatArray]:
    """Everything that does not depend on the picture; steps unpacked."""
    from onnx import helper, numpy_helper

    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        if not node.input or any(name not in values for name in node.input if name):
            continue
        given = [values[name] for name in node.input if name]
        attributes = {some.name: helper.get_attribute_value(some) for some in node.attribute}
        if node.op_type == "DequantizeLinear":
            values[node.output[0]] = _unpacked(given, int(attributes.get("axis", 1)))
        elif node.op_type in ("Cast", "Identity"):
            values[node.output[0]] = given[0].astype(np.float32)
        elif node.op_type == "Mul":
            values[node.output[0]] = given[0] * given[1]
    return values


def _unpacked(given: list[Any], axis: int) -> FloatArray:
    steps, sizes, *zero = given
    shape = [-1 if place == axis else 1 for place in range(steps.ndim)] if sizes.ndim else []
    start = zero[0].astype(np.float32).reshape(shape) if zero else np.float32(0)
    return (steps.astype(np.float32) - start) * sizes.reshape(shape)
