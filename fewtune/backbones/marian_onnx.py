"""A Marian student as two ONNX graphs, written straight from its weights, without torch.

The encoder reads the source and computes once what every step of the decoder needs: the keys and values of its
attention, and the rows of the output layer that the sentences may use. The decoder takes one step: its layers are
simple recurrent units (SSRU, Kim et al. 2019, D19-5632), so its state is one vector a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fewtune.backbones.onnx_graph import FLOAT, INT64, OnnxGraph
from fewtune.types import Graph

_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class MarianWeights:
    """A Marian student: a Transformer encoder, and a decoder of recurrent units with attention to the source.

    Attributes:
        tensors: names of Marian to float32; matrices are (in, out).
        heads: of every attention.
        encoder_layers, decoder_layers: how many there are.
    """

    tensors: Mapping[str, np.ndarray]
    heads: int
    encoder_layers: int
    decoder_layers: int

    @property
    def source_table(self) -> np.ndarray:
        """(source words, width)."""
        return self.tensors["Wemb" if "Wemb" in self.tensors else "encoder_Wemb"]

    @property
    def target_table(self) -> np.ndarray:
        """(target words, width), of the words read back and of the output layer alike."""
        return self.tensors["Wemb" if "Wemb" in self.tensors else "decoder_Wemb"]

    @property
    def width(self) -> int:
        """Of the hidden states."""
        return self.source_table.shape[1]


def position_rates(width: int) -> np.ndarray:
    """(width / 2,) by what a position is multiplied before its sine and cosine are taken."""
    half = width // 2
    return (10000.0 ** (-np.arange(half) / (half - 1))).astype(np.float32)


def encoder_graph(weights: MarianWeights) -> bytes:
    """Write the encoder.

    Returns:
        A serialised model. In: `input_ids`, `attention_mask` (batch, source) and `output_ids` (words) int64. Out:
        `keys_i` (batch, heads, head width, source) and `values_i` (batch, heads, source, head width) for every layer
        of the decoder, `attention_bias` (batch, 1, 1, source), `output_rows` (words, width), `output_bias` (words,).
    """
    graph = _Builder(weights)
    bias = graph.attention_bias("attention_mask")
    hidden = graph.embedded_source()
    for layer in range(1, weights.encoder_layers + 1):
        hidden = graph.self_attention(f"encoder_l{layer}", hidden, bias)
        hidden = graph.feed_forward(f"encoder_l{layer}", hidden)
    outputs: dict[str, tuple[int, list[str | int]]] = {}
    head_width = weights.width // weights.heads
    for layer in range(1, weights.decoder_layers + 1):
        name = f"decoder_l{layer}_context"
        graph.op("Identity", graph.split(graph.linear(f"{name}_", "k", hidden), [0, 2, 3, 1]), output=f"keys_{layer}")
        graph.op("Identity", graph.split(graph.linear(f"{name}_", "v", hidden), [0, 2, 1, 3]), output=f"values_{layer}")
        outputs[f"keys_{layer}"] = (FLOAT, ["batch", weights.heads, head_width, "source"])
        outputs[f"values_{layer}"] = (FLOAT, ["batch", weights.heads, "source", head_width])
    graph.op("Identity", bias, output="attention_bias")
    graph.op("Gather", graph.target_table(), "output_ids", output="output_rows")
    graph.op("Gather", graph.vector("decoder_ff_logit_out_b"), "output_ids", output="output_bias")
    outputs["attention_bias"] = (FLOAT, ["batch", 1, 1, "source"])
    outputs["output_rows"] = (FLOAT, ["words", weights.width])
    outputs["output_bias"] = (FLOAT, ["words"])
    inputs = {
        "input_ids": (INT64, ["batch", "source"]),
        "attention_mask": (INT64, ["batch", "source"]),
        "output_ids": (INT64, ["words"]),
    }
    return graph.serialised("encoder", inputs, outputs)


def decoder_graph(weights: MarianWeights) -> bytes:
    """Write one step of the decoder.

    Returns:
        A serialised model. In: `previous` (batch,) int64, where the last word stands in `output_ids`, -1 at the
        beginning; `position` () int64; `state_i` (batch, width), zeros at the beginning; and what the encoder gave.
        Out: `logits` (batch, words), `next_state_i` (batch, width).
    """
    graph = _Builder(weights)
    hidden = graph.embedded_previous()
    width, head_width = weights.width, weights.width // weights.heads
    inputs: dict[str, tuple[int, list[str | int]]] = {"previous": (INT64, ["batch"]), "position": (INT64, [])}
    outputs: dict[str, tuple[int, list[str | int]]] = {"logits": (FLOAT, ["batch", "words"])}
    for layer in range(1, weights.decoder_layers + 1):
        hidden = graph.recurrent(f"decoder_l{layer}", hidden, f"state_{layer}", f"next_state_{layer}")
        hidden = graph.context_attention(f"decoder_l{layer}", hidden, f"keys_{layer}", f"values_{layer}")
        hidden = graph.feed_forward(f"decoder_l{layer}", hidden)
        inputs[f"state_{layer}"] = (FLOAT, ["batch", width])
        inputs[f"keys_{layer}"] = (FLOAT, ["batch", weights.heads, head_width, "source"])
        inputs[f"values_{layer}"] = (FLOAT, ["batch", weights.heads, "source", head_width])
        outputs[f"next_state_{layer}"] = (FLOAT, ["batch", width])
    inputs["attention_bias"] = (FLOAT, ["batch", 1, 1, "source"])
    inputs["output_rows"] = (FLOAT, ["words", width])
    inputs["output_bias"] = (FLOAT, ["words"])
    graph.op("Gemm", hidden, "output_rows", "output_bias", transB=1, output="logits")
    return graph.serialised("decoder", inputs, outputs)


def student_contracts(decoder_layers: int, target_tokenizer: str) -> tuple[Graph, ...]:
    """What goes into the two graphs, and what comes out."""
    layers = range(1, decoder_layers + 1)
    memory = {
        f"{what}_{i}": f"float32, the {what} of the source for layer {i}" for i in layers for what in ("keys", "values")
    }
    memory |= {
        "attention_bias": "float32 (batch, 1, 1, source), 0 where there is a word",
        "output_rows": "float32 (words, width), the output layer's rows of the words that may be used",
        "output_bias": "float32 (words,)",
    }
    reads = {
        "input_ids": "int64 (batch, source), words of the source, the end </s> among them",
        "attention_mask": "int64 (batch, source), 1 where there is a word",
        "output_ids": "int64 (words,), ids of the target that may be used (shortlist.safetensors lists them)",
    }
    states = {f"state_{i}": "float32 (batch, width), zeros at the beginning" for i in layers}
    steps = {
        "previous": "int64 (batch,), where the last word stands in output_ids; -1 at the beginning",
        "position": "int64 (), of the step, from 0",
    }
    after = {"logits": "float32 (batch, words)", **{f"next_{name}": text for name, text in states.items()}}
    return (
        Graph("encoder", "encoder.onnx", reads, memory),
        Graph("decoder", "decoder.onnx", {**steps, **states, **memory}, after, tokenizer=target_tokenizer),
    )


class _Builder(OnnxGraph):
    """The parts of a Marian student."""

    def __init__(self, weights: MarianWeights) -> None:
        super().__init__()
        self._weights = weights
        self._head_width = weights.width // weights.heads

    def vector(self, name: str) -> str:
        return self.constant(name, self._weights.tensors[name].reshape(-1), np.float32)

    def matrix(self, name: str) -> str:
        return self.constant(name, self._weights.tensors[name], np.float32)

    def number(self, name: str, value: float) -> str:
        return self.constant(name, value, np.float32)

    def target_table(self) -> str:
        return self.matrix("Wemb" if "Wemb" in self._weights.tensors else "decoder_Wemb")

    def embedded_source(self) -> str:
        """(batch, source, width)."""
        table = self.matrix("Wemb" if "Wemb" in self._weights.tensors else "encoder_Wemb")
        length = self.op("Squeeze", self.op("Shape", "input_ids", start=1, end=2))
        places = self.op("Range", self.constant("zero", 0), length, self.constant("one", 1))
        column = self.op("Unsqueeze", self.op("Cast", places, to=FLOAT), self.constant("last", [1]))
        return self._placed(self.op("Gather", table, "input_ids"), column)

    def embedded_previous(self) -> str:
        """(batch, width); zeros, but for the position, where there is no word yet."""
        words = self.op("Gather", "output_rows", "previous")
        is_word = self.op("Cast", self.op("GreaterOrEqual", "previous", self.constant("zero", 0)), to=FLOAT)
        words = self.op("Mul", words, self.op("Unsqueeze", is_word, self.constant("last", [1])))
        return self._placed(words, self.op("Cast", "position", to=FLOAT))

    def _placed(self, words: str, places: str) -> str:
        angles = self.op("Mul", places, self.constant("rates", position_rates(self._weights.width), np.float32))
        waves = self.op("Concat", self.op("Sin", angles), self.op("Cos", angles), axis=-1)
        scaled = self.op("Mul", words, self.number("embedding_scale", self._weights.width**0.5))
        return self.op("Add", scaled, waves)

    def attention_bias(self, mask: str) -> str:
        inverted = self.op("Sub", self.number("kept", 1.0), self.op("Cast", mask, to=FLOAT))
        bias = self.op("Mul", inverted, self.number("padding_bias", -1e9))
        return self.op("Unsqueeze", bias, self.constant("bias_axes", [1, 2]))

    def linear(self, name: str, part: str, hidden: str) -> str:
        return self.op("Add", self.op("MatMul", hidden, self.matrix(f"{name}W{part}")), self.vector(f"{name}b{part}"))

    def normed(self, name: str, hidden: str) -> str:
        scale, shift = self.vector(f"{name}_ln_scale"), self.vector(f"{name}_ln_bias")
        return self.op("LayerNormalization", hidden, scale, shift, axis=-1, epsilon=_EPSILON)

    def split(self, projected: str, order: list[int]) -> str:
        shape = self.constant("split_heads", [0, -1, self._weights.heads, self._head_width])
        return self.op("Transpose", self.op("Reshape", projected, shape), perm=order)

    def _attended(self, query: str, keys: str, values: str, bias: str) -> str:
        scaled = self.op("Mul", query, self.number("attention_scale", self._head_width**-0.5))
        logits = self.op("Add", self.op("MatMul", scaled, keys), bias)
        return self.op("MatMul", self.op("Softmax", logits, axis=-1), values)

    def self_attention(self, layer: str, hidden: str, bias: str) -> str:
        name = f"{layer}_self_"
        query, key, value = (self.linear(name, part, hidden) for part in "qkv")
        mixed = self._attended(
            self.split(query, [0, 2, 1, 3]), self.split(key, [0, 2, 3, 1]), self.split(value, [0, 2, 1, 3]), bias
        )
        joined = self.op("Transpose", mixed, perm=[0, 2, 1, 3])
        joined = self.op("Reshape", joined, self.constant("join", [0, 0, self._weights.width]))
        return self.normed(f"{name}Wo", self.op("Add", hidden, self.linear(name, "o", joined)))

    def context_attention(self, layer: str, hidden: str, keys: str, values: str) -> str:
        name = f"{layer}_context_"
        query = self.split(self.linear(name, "q", hidden), [0, 2, 1, 3])
        mixed = self._attended(query, keys, values, "attention_bias")
        joined = self.op("Reshape", mixed, self.constant("join_one", [-1, self._weights.width]))
        return self.normed(f"{name}Wo", self.op("Add", hidden, self.linear(name, "o", joined)))

    def feed_forward(self, layer: str, hidden: str) -> str:
        inner = self.op("Relu", self.linear(f"{layer}_ffn_", "1", hidden))
        return self.normed(f"{layer}_ffn_ffn", self.op("Add", hidden, self.linear(f"{layer}_ffn_", "2", inner)))

    def recurrent(self, layer: str, hidden: str, state: str, next_state: str) -> str:
        name = f"{layer}_rnn_"
        forget = self.op("Sigmoid", self.linear(name, "f", hidden))
        kept = self.op("Mul", forget, state)
        new = self.op("MatMul", hidden, self.matrix(f"{name}W"))
        added = self.op("Mul", self.op("Sub", self.number("kept", 1.0), forget), new)
        self.op("Add", kept, added, output=next_state)
        return self.normed(f"{name}ffn", self.op("Add", hidden, self.op("Relu", next_state)))
