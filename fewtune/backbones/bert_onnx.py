"""A BERT as an ONNX graph, written straight from its weights, without torch.

The frozen encoder computes in 8-bit integers, which takes about half of float32's time here and a
quarter of its room; what that changes is measured in benchmarks/. The graph's initializers carry
the parameters' names of Transformers' `BertModel`, with a suffix for how they are stored, so that
other formats can be written from a bundle alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import onnx

OPSET = 20  # the first with Gelu; LayerNormalization came with 17
IR_VERSION = 9
_BLOCK = 32
# Of weights and of activations, on either side of 0.
WEIGHT_STEPS, ACTIVATION_STEPS = 64, 127


@dataclass(frozen=True, slots=True)
class Q4Matrix:
    """A matrix in llama.cpp's Q4_0: blocks of 32 weights of a row share a scale, w = (q - 8) scale.

    Attributes:
        packed: (rows, columns / 32, 16) uint8; low nibbles hold weights 0 to 15 of a block, high ones 16 to 31.
        scales: (rows, columns / 32) float16.
    """

    packed: np.ndarray
    scales: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the matrix that is meant."""
        return self.packed.shape[0], self.packed.shape[1] * _BLOCK

    def dequantise(self) -> np.ndarray:
        """The matrix in float32, (rows, columns)."""
        nibbles = np.concatenate([self.packed & 15, self.packed >> 4], axis=2)
        weights = (nibbles.astype(np.float32) - 8) * self.scales.astype(np.float32)[:, :, None]
        return weights.reshape(self.shape)


Weight = np.ndarray | Q4Matrix


@dataclass(frozen=True, slots=True)
class BertWeights:
    """A BERT encoder.

    Attributes:
        config: the keys of Transformers' `BertConfig` that matter: hidden_size, num_hidden_layers,
            num_attention_heads, intermediate_size, layer_norm_eps, max_position_embeddings, vocab_size, ...
        tensors: parameter name of Transformers' `BertModel` to weight; matrices are (out, in). A layer may have fewer
            heads and neurons than the config says: their shapes tell how many.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, Weight]


class _Graph:
    """Collects nodes and initializers; names every intermediate value by itself; `floats` names what is no integer."""

    def __init__(self, floats: Collection[str] = ()) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.floats = frozenset(floats)
        self.initializers: dict[str, np.ndarray] = {}
        self._quantised: dict[str, tuple[str, str]] = {}
        self._shapes: dict[int, str] = {}

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return its output's name."""
        from onnx import helper

        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: type = np.int64) -> str:
        """Add an initializer, once, and return its name."""
        self.initializers.setdefault(name, np.asarray(value, dtype=dtype))
        return name

    def rows(self, name: str, table: Weight, indices: str) -> str:
        """Rows of a table: indices (batch, tokens) to (batch, tokens, columns) in float32.

        The table stays in the 4-bit blocks that it came in; one that came in float is kept in 8 bits a row.
        """
        if isinstance(table, Q4Matrix):
            return self._q4_rows(name, table, indices)
        scales = np.maximum(np.abs(table).max(axis=1, keepdims=True) / 127, 1e-12)
        steps = self.constant(f"{name}.int8", np.rint(table / scales), np.int8)
        row_scales = self.constant(f"{name}.int8_scales", scales, np.float32)
        chosen = self.op("Cast", self.op("Gather", steps, indices), to=_FLOAT)
        return self.op("Mul", chosen, self.op("Gather", row_scales, indices))

    def _q4_rows(self, name: str, table: Q4Matrix, indices: str) -> str:
        packed = self.op("Gather", self.constant(f"{name}.packed", table.packed, np.uint8), indices)
        scales = self.op("Gather", self.constant(f"{name}.scales", table.scales[:, :, None], np.float16), indices)
        low = self.op("BitwiseAnd", packed, self.constant("q4.mask", 15, np.uint8))
        high = self.op("BitShift", packed, self.constant("q4.shift", 4, np.uint8), direction="RIGHT")
        nibbles = self.op("Cast", self.op("Concat", low, high, axis=-1), to=_FLOAT)
        centred = self.op("Sub", nibbles, self.constant("q4.zero", 8, np.float32))
        blocks = self.op("Mul", centred, self.op("Cast", scales, to=_FLOAT))
        return self.op("Reshape", blocks, self.constant(f"{name}.row_shape", [0, 0, table.shape[1]]))

    def quantised(self, hidden: str, width: int) -> tuple[str, str]:
        """Hidden states (batch, tokens, width) as rows of uint8 round 128, and each row's scale (rows, 1)."""
        if hidden not in self._quantised:
            rows = self.op("Reshape", hidden, self.constant(f"rows_of_{width}", [-1, width]))
            largest = self.op("ReduceMax", self.op("Abs", rows), self.constant("int8.axis", [1]), keepdims=0)
            step = self.op("Mul", largest, self.constant("int8.step", 1 / ACTIVATION_STEPS, np.float32))
            scale = self.op("Max", step, self.constant("int8.tiny", 1e-8, np.float32))
            zeros = self.op("Expand", self.constant("int8.zero", 128, np.uint8), self.op("Shape", scale))
            steps = self.op("QuantizeLinear", rows, scale, zeros, axis=0)
            self._quantised[hidden] = (steps, self.op("Reshape", scale, self.constant("column", [-1, 1])))
        return self._quantised[hidden]

    def by_token(self, rows: str, width: int) -> str:
        """Rows (batch x tokens, width) as (batch, tokens, width) again."""
        if width not in self._shapes:
            ends = self.constant(f"ends_with_{width}", [width])
            self._shapes[width] = self.op("Concat", self.op("Shape", "input_ids"), ends, axis=0)
        return self.op("Reshape", rows, self._shapes[width])


_FLOAT = 1  # onnx.TensorProto.FLOAT, spelled out to keep onnx out of this module's import
_INT64 = 7
_FLOAT16 = 10

Pooling = Literal["mean", "cls"]


def matrices(weights: BertWeights) -> list[list[str]]:
    """Names of the linear layers, in groups that are given the same input, from the bottom to the top."""
    found: list[list[str]] = []
    for layer in range(int(weights.config["num_hidden_layers"])):
        name = f"encoder.layer.{layer}"
        found.append([f"{name}.attention.self.{part}" for part in ("query", "key", "value")])
        found += [[f"{name}.{part}.dense"] for part in ("attention.output", "intermediate", "output")]
    return found


def encoder_graph(weights: BertWeights, *, pooling: Pooling, normalise: bool, floats: Collection[str] = ()) -> bytes:
    """Write the encoder.

    Args:
        weights: the encoder.
        pooling: one vector a text: the mean over its tokens, or the first token's.
        normalise: whether that vector is scaled to length 1.
        floats: names of linear layers that are not computed in integers.

    Returns:
        A serialised ONNX model: `input_ids` and `attention_mask` (batch, tokens) int64 in,
        `features` (batch, hidden_size) float32 out.
    """
    graph = _Graph(floats)
    hidden = _layers(graph, weights, int(weights.config["num_hidden_layers"]))
    pooled = _mean(graph, hidden) if pooling == "mean" else _first_token(graph, hidden)
    if normalise:
        pooled = _unit_length(graph, pooled)
    graph.op("Identity", pooled, output="features")
    return _serialise(graph, {"features": (_FLOAT, ["batch", int(weights.config["hidden_size"])])})


def trunk_graph(weights: BertWeights, layers: int) -> bytes:
    """Write the first layers of an encoder: what stays frozen below the layers that are tuned.

    Returns:
        A serialised ONNX model: `input_ids` and `attention_mask` (batch, tokens) int64 in,
        `hidden` (batch, tokens, hidden_size) float16 out; with 0 layers, the embeddings.
    """
    graph = _Graph()
    hidden = _layers(graph, weights, layers)
    if not layers:
        # Nothing of it looks at the padding; a graph without the input could not be fed like all others.
        hidden = graph.op("Mul", hidden, graph.op("Unsqueeze", _mask(graph), graph.constant("mask_axes", [2])))
    graph.op("Cast", hidden, output="hidden", to=_FLOAT16)
    return _serialise(graph, {"hidden": (_FLOAT16, ["batch", "tokens", int(weights.config["hidden_size"])])})


def _layers(graph: _Graph, weights: BertWeights, count: int) -> str:
    """The embeddings and the first `count` layers."""
    hidden = _embeddings(graph, weights)
    if count:
        bias = _attention_bias(graph)
        for layer in range(count):
            hidden = _layer(graph, weights, layer, hidden, bias)
    return hidden


def _mask(graph: _Graph) -> str:
    return graph.op("Cast", "attention_mask", to=_FLOAT)


def _embeddings(graph: _Graph, weights: BertWeights) -> str:
    tensors = weights.tensors
    words = graph.rows("embeddings.word_embeddings.weight", tensors["embeddings.word_embeddings.weight"], "input_ids")
    positions = graph.constant(
        "embeddings.position_embeddings.weight", tensors["embeddings.position_embeddings.weight"], np.float32
    )
    length = graph.op("Shape", "input_ids", start=1, end=2)
    zero = graph.constant("zero", [0])
    placed = graph.op("Slice", positions, zero, length, zero)
    types = graph.constant(
        "embeddings.token_type_embeddings.weight", tensors["embeddings.token_type_embeddings.weight"], np.float32
    )
    # One text at a time: every token is of type 0.
    first_type = graph.op("Gather", types, graph.constant("type", 0))
    summed = graph.op("Add", graph.op("Add", words, placed), first_type)
    return _layer_norm(graph, weights, "embeddings.LayerNorm", summed)


def _attention_bias(graph: _Graph) -> str:
    """0 where there is a token, a very negative number where there is padding; (batch, 1, 1, tokens)."""
    inverted = graph.op("Sub", graph.constant("one", 1.0, np.float32), _mask(graph))
    bias = graph.op("Mul", inverted, graph.constant("padding_bias", -1e9, np.float32))
    return graph.op("Unsqueeze", bias, graph.constant("bias_axes", [1, 2]))


def _layer(graph: _Graph, weights: BertWeights, layer: int, hidden: str, bias: str) -> str:
    name = f"encoder.layer.{layer}"
    attended = _attention(graph, weights, f"{name}.attention", hidden, bias)
    hidden = _layer_norm(graph, weights, f"{name}.attention.output.LayerNorm", graph.op("Add", attended, hidden))
    inner = graph.op("Gelu", _linear(graph, weights, f"{name}.intermediate.dense", hidden))
    outer = _linear(graph, weights, f"{name}.output.dense", inner)
    return _layer_norm(graph, weights, f"{name}.output.LayerNorm", graph.op("Add", outer, hidden))


def _attention(graph: _Graph, weights: BertWeights, name: str, hidden: str, bias: str) -> str:
    head_width = int(weights.config["hidden_size"]) // int(weights.config["num_attention_heads"])
    heads = weights.tensors[f"{name}.self.query.weight"].shape[0] // head_width
    split = graph.constant(f"split_into_{heads}_heads", [0, 0, heads, head_width])

    def heads_of(part: str, order: Sequence[int]) -> str:
        projected = _linear(graph, weights, f"{name}.self.{part}", hidden)
        return graph.op("Transpose", graph.op("Reshape", projected, split), perm=order)

    query = heads_of("query", [0, 2, 1, 3])
    key = heads_of("key", [0, 2, 3, 1])
    value = heads_of("value", [0, 2, 1, 3])
    scale = graph.constant("attention_scale", 1 / np.sqrt(head_width), np.float32)
    logits = graph.op("Add", graph.op("Mul", graph.op("MatMul", query, key), scale), bias)
    mixed = graph.op("MatMul", graph.op("Softmax", logits, axis=-1), value)
    joined = graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), graph.constant("join", [0, 0, -1]))
    return _linear(graph, weights, f"{name}.output.dense", joined)


def _linear(graph: _Graph, weights: BertWeights, name: str, hidden: str) -> str:
    """A linear layer in 8-bit integers: weights by output channel, activations by token.

    A token's scale is its own largest value, so that no answer depends on a neighbour in the batch.
    Weights keep to +-64: two products of theirs with 8-bit activations fit the 16-bit sums of
    processors that have no VNNI instructions, which would saturate beyond. What stays in float is kept in 16 bits.
    """
    if name in graph.floats:
        return _float_linear(graph, weights, name, hidden)
    steps, scales = _quantise(weights.tensors[f"{name}.weight"])
    width, inner = steps.shape
    rounded, token_scale = graph.quantised(hidden, inner)
    matrix = graph.constant(f"{name}.weight.int8", steps.T, np.int8)
    sums = graph.op("MatMulInteger", rounded, matrix, graph.constant("int8.zero", 128, np.uint8))
    channel_scale = graph.constant(f"{name}.weight.int8_scales", scales, np.float32)
    product = graph.op("Mul", graph.op("Mul", graph.op("Cast", sums, to=_FLOAT), token_scale), channel_scale)
    bias = graph.constant(f"{name}.bias", weights.tensors[f"{name}.bias"], np.float32)
    return graph.by_token(graph.op("Add", product, bias), width)


def _float_linear(graph: _Graph, weights: BertWeights, name: str, hidden: str) -> str:
    half = graph.constant(f"{name}.weight.float16", _in_float(weights.tensors[f"{name}.weight"]).T, np.float16)
    # ONNX Runtime unpacks it once, when it opens the graph.
    product = graph.op("MatMul", hidden, graph.op("Cast", half, to=_FLOAT))
    return graph.op("Add", product, graph.constant(f"{name}.bias", weights.tensors[f"{name}.bias"], np.float32))


def _in_float(weight: Weight) -> np.ndarray:
    return weight.dequantise() if isinstance(weight, Q4Matrix) else np.asarray(weight, np.float32)


def _quantise(weight: Weight) -> tuple[np.ndarray, np.ndarray]:
    """(out, in) steps in -64 to 64 and (out,) scales."""
    matrix = _in_float(weight)
    scales = np.maximum(np.abs(matrix).max(axis=1) / WEIGHT_STEPS, 1e-12).astype(np.float32)
    return np.rint(matrix / scales[:, None]).astype(np.int8), scales


def _layer_norm(graph: _Graph, weights: BertWeights, name: str, hidden: str) -> str:
    scale = graph.constant(f"{name}.weight", weights.tensors[f"{name}.weight"], np.float32)
    shift = graph.constant(f"{name}.bias", weights.tensors[f"{name}.bias"], np.float32)
    epsilon = float(weights.config["layer_norm_eps"])
    return graph.op("LayerNormalization", hidden, scale, shift, axis=-1, epsilon=epsilon)


def _mean(graph: _Graph, hidden: str) -> str:
    mask = graph.op("Unsqueeze", _mask(graph), graph.constant("mask_axes", [2]))
    axis = graph.constant("token_axis", [1])
    total = graph.op("ReduceSum", graph.op("Mul", hidden, mask), axis, keepdims=0)
    return graph.op("Div", total, graph.op("ReduceSum", mask, axis, keepdims=0))


def _first_token(graph: _Graph, hidden: str) -> str:
    return graph.op("Gather", hidden, graph.constant("first_token", 0), axis=1)


def _unit_length(graph: _Graph, vectors: str) -> str:
    length = graph.op("ReduceL2", vectors, graph.constant("width_axis", [1]), keepdims=1)
    return graph.op("Div", vectors, graph.op("Max", length, graph.constant("tiny", 1e-12, np.float32)))


def with_linear_head(encoder: bytes, weight: np.ndarray, bias: np.ndarray) -> bytes:
    """Put a linear head on an encoder's `features`.

    Args:
        encoder: a serialised graph with an output `features` (batch, width).
        weight: (width, classes).
        bias: (classes,).

    Returns:
        The serialised graph with one more output, `logits` (batch, classes) float32.
    """
    from onnx import GraphProto, ModelProto, helper, numpy_helper

    head = GraphProto()
    head.initializer.extend(
        [
            numpy_helper.from_array(np.asarray(weight, np.float32), "classifier.weight"),
            numpy_helper.from_array(np.asarray(bias, np.float32), "classifier.bias"),
        ]
    )
    head.node.append(helper.make_node("Gemm", ["features", "classifier.weight", "classifier.bias"], ["logits"]))
    head.output.append(helper.make_tensor_value_info("logits", _FLOAT, ["batch", len(bias)]))
    # Messages of Protocol Buffers are merged by putting one behind the other: lists grow, nothing is parsed.
    return encoder + ModelProto(graph=head).SerializeToString(deterministic=True)


def _serialise(built: _Graph, outputs: Mapping[str, tuple[int, list[str | int]]]) -> bytes:
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        built.nodes,
        "encoder",
        [helper.make_tensor_value_info(n, _INT64, ["batch", "tokens"]) for n in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in built.initializers.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="fewtune")
    return model.SerializeToString(deterministic=True)
