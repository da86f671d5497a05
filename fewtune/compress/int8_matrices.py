"""8-bit integers for networks of matrix products: weights by output channel, activations by token as they come.

A token's scale is its own largest value, so that no answer depends on a neighbour in the batch, and nothing has to be
calibrated. Weights keep to +-64, for processors without VNNI instructions (see `backbones/bert_onnx.py`). Tables that
rows are taken from are kept in 8 bits a row.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.interfaces import Content, ImpossibleError

if TYPE_CHECKING:
    import onnx

_FLOAT = 1
_STEPS, _ROW_STEPS = 64, 127
# A smaller matrix is not worth the nodes that it takes.
_LEAST_WEIGHTS = 4_000


def matrices_in_integers(content: Content, floats: Collection[str] = ()) -> Content:
    """Quantise every graph's matrices, but for those of these names.

    Raises:
        ImpossibleError: there are none that are worth it.
    """
    graphs = {name: _Rewritten(graph, floats).serialised() for name, graph in content.graphs.items()}
    if graphs == dict(content.graphs):
        raise ImpossibleError("it has no matrices that are worth it")
    return replace(content, graphs=graphs)


def matrix_groups(content: Content) -> list[tuple[str, ...]]:
    """Names of the matrices that can be quantised; those that are given the same hidden states stand together."""
    return [tuple(group) for graph in content.graphs.values() for group in _Rewritten(graph).groups()]


class _Rewritten:
    """A graph whose products with large constant matrices are in integers."""

    def __init__(self, graph: bytes, floats: Collection[str] = ()) -> None:
        import onnx

        self._floats = floats
        self._model = onnx.load_from_string(graph)
        self._content = graph
        self._values = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self._nodes: list[onnx.NodeProto] = []
        self._added: dict[str, np.ndarray] = {}
        self._rows: dict[str, tuple[str, str, str]] = {}
        self._gone: set[str] = set()

    def groups(self) -> list[list[str]]:
        """Names of the large matrices by what they are given; a table by itself."""
        found: dict[str, list[str]] = {}
        for node in self._model.graph.node:
            for kind, given, name in (("MatMul", 0, 1), ("Gather", 0, 0)):
                if node.op_type == kind and self._is_large(node.input[name]):
                    found.setdefault(node.input[given], []).append(node.input[name])
        return [sorted(set(names)) for names in found.values()]

    def serialised(self) -> bytes:
        """The rewritten graph; the very same bytes where there was nothing to rewrite."""
        import onnx
        from onnx import numpy_helper

        for node in self._model.graph.node:
            if node.op_type == "MatMul" and self._is_large(node.input[1]):
                self._product(node)
            elif node.op_type == "Gather" and self._is_large(node.input[0]):
                self._lookup(node)
            else:
                self._nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
        if not self._gone:
            return self._content
        graph = self._model.graph
        used = {name for node in self._nodes for name in node.input}
        kept = [some.SerializeToString() for some in graph.initializer if some.name in used]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(onnx.TensorProto.FromString(some) for some in kept)
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in self._added.items())
        return self._model.SerializeToString(deterministic=True)

    def _is_large(self, name: str) -> bool:
        tensor = self._values.get(name)
        if tensor is None or name in self._floats or tensor.data_type != _FLOAT or len(tensor.dims) != 2:
            return False
        return int(np.prod(tensor.dims)) >= _LEAST_WEIGHTS

    def _product(self, node: Any) -> None:
        """Hidden states (..., inner) times a matrix (inner, outer)."""
        hidden, name = node.input
        inner, outer = self._values[name].dims
        rounded, token_scale, around = self._quantised(hidden, inner)
        steps, scales = self._stored(name, axis=0, steps=_STEPS)
        sums = self._op("MatMulInteger", rounded, steps, self._constant("int8.zero", np.uint8(128)))
        product = self._op("Mul", self._op("Cast", sums, to=_FLOAT), token_scale)
        product = self._op("Mul", product, scales)
        shape = self._op("Concat", around, self._constant(f"int8.ends_{outer}", np.array([outer])), axis=0)
        self._op("Reshape", product, shape, output=node.output[0])

    def _quantised(self, hidden: str, inner: int) -> tuple[str, str, str]:
        """Rows of uint8 round 128, each row's scale (rows, 1), and the shape without the last axis."""
        if hidden not in self._rows:
            rows = self._op("Reshape", hidden, self._constant(f"int8.rows_{inner}", np.array([-1, inner])))
            largest = self._op(
                "ReduceMax", self._op("Abs", rows), self._constant("int8.axis", np.array([1])), keepdims=0
            )
            step = self._op("Mul", largest, self._constant("int8.step", np.float32(1 / 127)))
            scale = self._op("Max", step, self._constant("int8.tiny", np.float32(1e-8)))
            zeros = self._op("Expand", self._constant("int8.zero", np.uint8(128)), self._op("Shape", scale))
            rounded = self._op("QuantizeLinear", rows, scale, zeros, axis=0)
            column = self._op("Reshape", scale, self._constant("int8.column", np.array([-1, 1])))
            self._rows[hidden] = (rounded, column, self._op("Shape", hidden, start=0, end=-1))
        return self._rows[hidden]

    def _lookup(self, node: Any) -> None:
        """Rows of a table (rows, width)."""
        table, places = node.input
        steps, scales = self._stored(table, axis=1, steps=_ROW_STEPS)
        chosen = self._op("Cast", self._op("Gather", steps, places), to=_FLOAT)
        self._op("Mul", chosen, self._op("Gather", scales, places), output=node.output[0])

    def _stored(self, name: str, *, axis: int, steps: int) -> tuple[str, str]:
        """A matrix as steps and the sizes of them, one for each place along the other axis."""
        from onnx import numpy_helper

        self._gone.add(name)
        if f"{name}.int8" not in self._added:
            matrix = numpy_helper.to_array(self._values[name])
            sizes = np.maximum(np.abs(matrix).max(axis=axis, keepdims=True) / steps, 1e-12).astype(np.float32)
            self._added[f"{name}.int8"] = np.rint(matrix / sizes).astype(np.int8)
            self._added[f"{name}.int8_scales"] = sizes if axis else sizes[0]
        return f"{name}.int8", f"{name}.int8_scales"

    def _constant(self, name: str, value: Any) -> str:
        self._added.setdefault(name, np.asarray(value))
        return name

    def _op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"int8.v{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output
