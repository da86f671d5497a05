"""A causal language model of Llama's family as an ONNX graph, written straight from its weights, without torch.

RMSNorm (Zhang & Sennrich 2019), rotary positions (Su et al. 2021), grouped-query attention (Ainslie et
al. 2023) and SwiGLU (Shazeer 2020). What earlier tokens left behind comes in and goes out, so that a text is
written token by token. Weights are kept in blocks of 32 that share a scale, in 8 or 4 bits, or in
float32; the initializers carry the names of Transformers' `LlamaForCausalLM` with a suffix for how they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fewtune.errors import RecipeError

if TYPE_CHECKING:
    import onnx

OPSET = 20
IR_VERSION = 9
BLOCK = 32
Bits = Literal[4, 8, 32]
_FLOAT, _INT64 = 1, 7  # of onnx.TensorProto, spelled out to keep onnx out of this module's import
FAMILIES = ("llama", "mistral", "qwen2")
_HEAD = "lm_head.weight"
_WORDS = "model.embed_tokens.weight"


@dataclass(frozen=True, slots=True)
class LlamaWeights:
    """A causal language model.

    Attributes:
        config: as Transformers' config.json has it.
        tensors: parameter name of Transformers' `LlamaForCausalLM` to float32; matrices are (out, in).
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]

    @property
    def layers(self) -> int:
        """How many there are."""
        return int(self.config["num_hidden_layers"])

    @property
    def heads(self) -> int:
        """Of attention."""
        return int(self.config["num_attention_heads"])

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values; several of attention share one."""
        return int(self.config.get("num_key_value_heads") or self.heads)

    @property
    def head_width(self) -> int:
        """Of one head."""
        return int(self.config.get("head_dim") or int(self.config["hidden_size"]) // self.heads)

    @property
    def rope_theta(self) -> float:
        """Base of the rotary wavelengths; Transformers 5 keeps it among others of its kind."""
        inner = self.config.get("rope_parameters") or {}
        return float(self.config.get("rope_theta") or inner.get("rope_theta") or 10_000.0)

    @property
    def tied(self) -> bool:
        """Whether words are read and written by the same table."""
        return _HEAD not in self.tensors

    @property
    def output_table(self) -> np.ndarray:
        """(words, width): hidden states times this are the logits of words."""
        return self.tensors[_WORDS if self.tied else _HEAD]


def check_family(config: Mapping[str, Any], *, where: str) -> None:
    """Nothing, where a graph can be written for such a model.

    Raises:
        RecipeError: it is of another architecture, or has a part that is not written here.
    """
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise RecipeError(
            f"A model of the architecture {kind!r} cannot be written as a bundle.",
            where=where,
            how=f"Use one of: {', '.join(FAMILIES)}.",
        )
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise RecipeError("The model stretches its rotary positions, which is not written here.", where=where)
    if config.get("hidden_act", "silu") != "silu":
        raise RecipeError(f"The model's activation is {config['hidden_act']!r}, not silu.", where=where)


class _Graph:
    """Collects nodes and initializers; names every intermediate value by itself."""

    def __init__(self, weights: LlamaWeights, bits: Bits) -> None:
        self.weights = weights
        self.bits = bits
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return its output's name."""
        from onnx import helper

        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def ints(self, name: str, value: Any) -> str:
        """An initializer of int64, made once."""
        self.initializers.setdefault(name, np.asarray(value, np.int64))
        return name

    def floats(self, name: str, value: Any) -> str:
        """An initializer of float32, made once."""
        self.initializers.setdefault(name, np.asarray(value, np.float32))
        return name

    def rows(self, name: str, indices: str) -> str:
        """(batch, tokens, width) float32 rows of a table."""
        table = self.weights.tensors[name]
        if self.bits == 32:
            return self.op("Gather", self.floats(name, table), indices)
        # Words are kept in 8 bits whatever the layers are in: they are read and, mostly, written by this table.
        packed, scales = self._stored(name, 8)
        steps = self.op("Cast", self.op("Gather", packed, indices), to=_FLOAT)
        centred = self.op("Sub", steps, self.floats("q8.zero", 128))
        shape = self.ints("scale_rows", [-1, table.shape[1] // BLOCK, 1])
        per_block = self.op("Gather", self.op("Reshape", scales, shape), indices)
        return self.op("Reshape", self.op("Mul", centred, per_block), self.ints("word_shape", [0, 0, -1]))

    def linear(self, name: str, hidden: str) -> str:
        """A matrix product with the weights of that name, and its bias where there is one."""
        matrix = self.weights.tensors[f"{name}.weight"]
        product = self.product(f"{name}.weight", matrix.shape, hidden)
        bias = self.weights.tensors.get(f"{name}.bias")
        return product if bias is None else self.op("Add", product, self.floats(f"{name}.bias", bias))

    def product(self, name: str, shape: tuple[int, ...], hidden: str, least: int = 0) -> str:
        """A product with an (out, in) matrix, in `least` bits at least."""
        (outer, inner), bits = shape, max(self.bits, least)
        if bits == 32 and name in self.initializers:  # the table of words, which is written with too
            turned = self.op("Transpose", name, perm=[1, 0])
            return self.op("MatMul", hidden, turned)
        if bits == 32:
            return self.op("MatMul", hidden, self.floats(f"{name}.turned", self.weights.tensors[name].T))
        packed, scales = self._stored(name, bits)
        return self.op(
            "MatMulNBits",
            hidden,
            packed,
            scales,
            domain="com.microsoft",
            K=inner,
            N=outer,
            bits=bits,
            block_size=BLOCK,
            # Activations in 8-bit integers too: in float32 it takes ten times as long (ONNX Runtime 1.32).
            accuracy_level=4,
        )

    def _stored(self, name: str, bits: int) -> tuple[str, str]:
        if f"{name}.q{bits}" not in self.initializers:
            packed, scales = quantised(self.weights.tensors[name], bits)
            self.initializers[f"{name}.q{bits}"] = packed
            self.initializers[f"{name}.q{bits}_scales"] = scales
        return f"{name}.q{bits}", f"{name}.q{bits}_scales"

    def norm(self, name: str, hidden: str) -> str:
        """Root-mean-square normalisation."""
        epsilon = self.floats("epsilon", self.weights.config.get("rms_norm_eps", 1e-6))
        mean = self.op("ReduceMean", self.op("Mul", hidden, hidden), self.ints("last_axis", [-1]), keepdims=1)
        scaled = self.op("Div", hidden, self.op("Sqrt", self.op("Add", mean, epsilon)))
        return self.op("Mul", scaled, self.floats(f"{name}.weight", self.weights.tensors[f"{name}.weight"]))


def quantised(matrix: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of 32 weights of a row with one scale, in the layout of ONNX Runtime's MatMulNBits.

    Returns:
        (out, blocks, bytes of a block) uint8 steps round the middle of their range, and (out x blocks,) float32
        scales.
    """
    middle = 1 << (bits - 1)
    blocks = np.asarray(matrix, np.float32).reshape(len(matrix), -1, BLOCK)
    if bits == 4:
        # The value of the largest size is met exactly, by -8 (as in llama.cpp's Q4_0).
        far = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[:, :, None], axis=2)
        scales = -far / middle
    else:
        scales = np.abs(blocks).max(axis=2, keepdims=True) / (middle - 1)
    scales = np.where(np.abs(scales) < 1e-12, np.float32(1e-12), scales).astype(np.float32)
    steps = np.clip(np.rint(blocks / scales) + middle, 0, 2 * middle - 1).astype(np.uint8)
    if bits == 4:
        steps = steps[:, :, 0::2] | (steps[:, :, 1::2] << 4)
    return np.ascontiguousarray(steps), scales.reshape(-1)


def decoder_graph(weights: LlamaWeights, *, bits: Bits) -> bytes:
    """Write the model.

    Args:
        weights: the model.
        bits: of a weight of the layers; the table of words is in 8 where this is 4.

    Returns:
        A serialised ONNX model. In: `input_ids` (batch, tokens) int64; `attention_mask` (batch, past + tokens)
        int64, 0 for padding, which stands on the left; `wanted` (positions,) int64, which of the tokens to answer
        for; `past.{layer}.key` and `past.{layer}.value` (batch, kv_heads, past, head_width) float32. Out:
        `logits` (batch, positions, words) float32; `hidden` (batch, tokens, width); `present.{layer}.key|value`.

    Raises:
        RecipeError: a width is no multiple of 32, so that it cannot be parted into blocks.
    """
    _check_widths(weights, bits)
    graph = _Graph(weights, bits)
    turns = _rotations(graph)
    bias = _attention_bias(graph)
    hidden = graph.rows(_WORDS, "input_ids")
    for layer in range(weights.layers):
        hidden = _layer(graph, layer, hidden, turns, bias)
    hidden = graph.op("Identity", graph.norm("model.norm", hidden), output="hidden")
    wanted = graph.op("Gather", hidden, "wanted", axis=1)
    head = _WORDS if weights.tied else _HEAD
    shape = weights.tensors[head].shape
    logits = graph.product(head, shape, wanted, least=8)
    graph.op("Identity", logits, output="logits")
    return _serialise(graph, shape[0])


def reader_graph(weights: LlamaWeights, *, bits: Bits) -> bytes:
    """Write the model as one that reads a text and answers nothing: what it has in mind at the end is its features.

    Returns:
        A serialised ONNX model: `input_ids` and `attention_mask` (batch, tokens) int64 in, padding at the end;
        `features` (batch, width) float32 out, the last token's normalised hidden state, which times the table of
        words gives the logits of the next one.

    Raises:
        RecipeError: as `decoder_graph`.
    """
    _check_widths(weights, bits)
    graph = _Graph(weights, bits)
    turns = _rotations(graph)
    bias = _attention_bias(graph)
    hidden = graph.rows(_WORDS, "input_ids")
    for layer in range(weights.layers):
        hidden = _layer(graph, layer, hidden, turns, bias, cached=False)
    # Of each text the last token alone: what stands behind it is padding, which no token before it sees.
    count = graph.op("ReduceSum", "attention_mask", graph.ints("token_axis", [1]), keepdims=1)
    place = graph.op("Sub", count, graph.ints("one", 1))
    graph.op("Identity", graph.norm("model.norm", graph.op("GatherND", hidden, place, batch_dims=1)), output="features")
    return _serialised(
        graph,
        "reader",
        {name: (_INT64, ["batch", "tokens"]) for name in ("input_ids", "attention_mask")},
        {"features": (_FLOAT, ["batch", int(weights.config["hidden_size"])])},
    )


def _check_widths(weights: LlamaWeights, bits: Bits) -> None:
    widths = {name: value.shape[1] for name, value in weights.tensors.items() if value.ndim == 2}
    odd = next((name for name, width in widths.items() if width % BLOCK), None)
    if bits != 32 and odd:
        raise RecipeError(
            f"The width of {odd} ({widths[odd]}) is no multiple of {BLOCK}, so it cannot be kept in {bits} bits.",
            where="--set bits",
            how="Use --set bits=32.",
        )


def _rotations(graph: _Graph) -> tuple[str, str]:
    """Cosines and sines (batch, tokens, 1, head_width / 2) of each token's place, padding not counted."""
    half = graph.weights.head_width // 2
    frequencies = graph.weights.rope_theta ** (-np.arange(half, dtype=np.float64) / half)
    counted = graph.op("CumSum", "attention_mask", graph.ints("second_axis", 1))
    places = graph.op("Max", graph.op("Sub", counted, graph.ints("one", 1)), graph.ints("zero", 0))
    length = graph.op("Shape", "input_ids", start=1, end=2)
    end = graph.ints("end", [np.iinfo(np.int64).max])
    own = graph.op("Slice", places, graph.op("Neg", length), end, graph.ints("second_axes", [1]))
    place = graph.op("Unsqueeze", graph.op("Cast", own, to=_FLOAT), graph.ints("place_axes", [2, 3]))
    angles = graph.op("Mul", place, graph.floats("frequencies", frequencies))
    return graph.op("Cos", angles), graph.op("Sin", angles)


def _attention_bias(graph: _Graph) -> str:
    """0 where a token may look, very negative elsewhere; (batch, 1, 1, tokens, past + tokens)."""
    total = graph.op("Shape", "attention_mask", start=1, end=2)
    length = graph.op("Shape", "input_ids", start=1, end=2)
    zero, one = graph.ints("zero", 0), graph.ints("one", 1)
    scalar = graph.ints("no_axes", [0])
    ends = graph.op("Squeeze", total, scalar)
    columns = graph.op("Range", zero, ends, one)
    start = graph.op("Sub", ends, graph.op("Squeeze", length, scalar))
    rows = graph.op("Unsqueeze", graph.op("Range", start, ends, one), graph.ints("column_axis", [1]))
    later = graph.op("Greater", columns, rows)
    padding = graph.op("Equal", "attention_mask", zero)
    hidden = graph.op("Or", graph.op("Unsqueeze", padding, graph.ints("row_axis", [1])), later)
    bias = graph.op("Mul", graph.op("Cast", hidden, to=_FLOAT), graph.floats("hidden_bias", -1e9))
    return graph.op("Unsqueeze", bias, graph.ints("bias_axes", [1, 2]))


def _layer(graph: _Graph, layer: int, hidden: str, turns: tuple[str, str], bias: str, *, cached: bool = True) -> str:
    name = f"model.layers.{layer}"
    attended = _attention(graph, layer, graph.norm(f"{name}.input_layernorm", hidden), turns, bias, cached)
    hidden = graph.op("Add", hidden, attended)
    inner = graph.norm(f"{name}.post_attention_layernorm", hidden)
    gate = graph.linear(f"{name}.mlp.gate_proj", inner)
    gated = graph.op(
        "Mul", graph.op("Mul", gate, graph.op("Sigmoid", gate)), graph.linear(f"{name}.mlp.up_proj", inner)
    )
    return graph.op("Add", hidden, graph.linear(f"{name}.mlp.down_proj", gated))


def _attention(graph: _Graph, layer: int, hidden: str, turns: tuple[str, str], bias: str, cached: bool) -> str:
    weights, name = graph.weights, f"model.layers.{layer}.self_attn"
    kv, width = weights.kv_heads, weights.head_width
    groups = weights.heads // kv

    def heads_of(part: str, heads: int) -> str:
        shape = graph.ints(f"heads_{heads}", [0, 0, heads, width])
        return graph.op("Reshape", graph.linear(f"{name}.{part}", hidden), shape)

    def with_past(part: str, new: str) -> str:
        turned = graph.op("Transpose", new, perm=[0, 2, 1, 3])
        if not cached:
            return turned
        return graph.op("Concat", f"past.{layer}.{part}", turned, axis=2, output=f"present.{layer}.{part}")

    query = _rotated(graph, heads_of("q_proj", weights.heads), turns)
    key = with_past("key", _rotated(graph, heads_of("k_proj", kv), turns))
    value = with_past("value", heads_of("v_proj", kv))
    # Queries that share a key stand below each other: (batch, kv, groups x tokens, width).
    split = graph.op("Reshape", query, graph.ints("query_groups", [0, 0, kv, groups, width]))
    stacked = graph.op("Transpose", split, perm=[0, 2, 3, 1, 4])
    stacked = graph.op("Reshape", stacked, graph.ints("stacked", [0, kv, -1, width]))
    scaled = graph.op("Mul", stacked, graph.floats("attention_scale", width**-0.5))
    logits = graph.op("MatMul", scaled, graph.op("Transpose", key, perm=[0, 1, 3, 2]))
    tokens = graph.op("Shape", "input_ids", start=1, end=2)
    apart = graph.op("Concat", graph.ints("apart", [0, kv, groups]), tokens, graph.ints("rest", [-1]), axis=0)
    shares = graph.op("Softmax", graph.op("Add", graph.op("Reshape", logits, apart), bias), axis=-1)
    total = graph.op("Shape", "attention_mask", start=1, end=2)
    together = graph.op("Concat", graph.ints("together", [0, kv, -1]), total, axis=0)
    mixed = graph.op("MatMul", graph.op("Reshape", shares, together), value)
    mixed = graph.op("Reshape", mixed, graph.ints("mixed", [0, kv, groups, -1, width]))
    joined = graph.op("Transpose", mixed, perm=[0, 3, 1, 2, 4])
    joined = graph.op("Reshape", joined, graph.ints("joined", [0, 0, weights.heads * width]))
    return graph.linear(f"{name}.o_proj", joined)


def _rotated(graph: _Graph, heads: str, turns: tuple[str, str]) -> str:
    """Each half of a head's numbers turned with the other; (batch, tokens, heads, width)."""
    half = graph.weights.head_width // 2
    axis, zero = graph.ints("last_axes", [3]), graph.ints("from_zero", [0])
    middle, end = graph.ints("half", [half]), graph.ints("end", [np.iinfo(np.int64).max])
    cosine, sine = turns
    first = graph.op("Slice", heads, zero, middle, axis)
    second = graph.op("Slice", heads, middle, end, axis)
    left = graph.op("Sub", graph.op("Mul", first, cosine), graph.op("Mul", second, sine))
    right = graph.op("Add", graph.op("Mul", second, cosine), graph.op("Mul", first, sine))
    return graph.op("Concat", left, right, axis=3)


def _serialise(built: _Graph, words: int) -> bytes:
    weights = built.weights
    cache = ["batch", weights.kv_heads, "past", weights.head_width]
    grown = ["batch", weights.kv_heads, "total", weights.head_width]
    parts = [f"{layer}.{part}" for layer in range(weights.layers) for part in ("key", "value")]
    inputs = {
        "input_ids": (_INT64, ["batch", "tokens"]),
        "attention_mask": (_INT64, ["batch", "total"]),
        "wanted": (_INT64, ["positions"]),
        **{f"past.{part}": (_FLOAT, cache) for part in parts},
    }
    outputs = {
        "logits": (_FLOAT, ["batch", "positions", words]),
        "hidden": (_FLOAT, ["batch", "tokens", int(weights.config["hidden_size"])]),
        **{f"present.{part}": (_FLOAT, grown) for part in parts},
    }
    return _serialised(built, "decoder", inputs, outputs)


_Values = Mapping[str, tuple[int, list[Any]]]


def _serialised(built: _Graph, name: str, inputs: _Values, outputs: _Values) -> bytes:
    """The model with inputs and outputs of these types and shapes."""
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        built.nodes,
        name,
        [helper.make_tensor_value_info(value, kind, shape) for value, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(value, kind, shape) for value, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in built.initializers.items()],
    )
    opset = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="fewtune")
    return model.SerializeToString(deterministic=True)
