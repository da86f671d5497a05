"""Encoder and decoder of a Transformers sequence-to-sequence model as two ONNX graphs, written from its weights.

As with the Marian students (`backbones/marian_onnx.py`), the encoder computes once what every step needs: the keys and
values of the decoder's attention to the source, and the rows of the output layer that may be used. The decoder takes
one step, and hands its own keys and values on. What is a family's own stands in `bart_onnx.py` and `t5_onnx.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fewtune.backbones.onnx_graph import FLOAT, INT64, OnnxGraph
from fewtune.types import Graph

Side = Literal["encoder", "decoder"]
_Shapes = dict[str, tuple[int, list[str | int]]]
# A matrix of this name lies turned: (in, out).
TURNED = ".turned"


@dataclass(frozen=True, slots=True)
class Seq2SeqWeights:
    """A sequence-to-sequence model as Transformers has it.

    Attributes:
        config: of Transformers, `config.json`.
        tensors: names of Transformers to float32, each once; matrices are (out, in).
        aliases: names that stand for another one's tensor, to that name: tied tables.
    """

    config: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]
    aliases: Mapping[str, str]

    def named(self, name: str) -> str:
        """The name that a tensor is kept under."""
        return self.aliases.get(name, name)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[self.named(name)]

    def __contains__(self, name: str) -> bool:
        return self.named(name) in self.tensors


class Seq2SeqBuilder(OnnxGraph):
    """Writes the graphs; a family says how a layer computes.

    Attributes:
        heads: of the decoder's attention.
        head_width: of each of them.
        width: of the hidden states.
        decoder_layers: how many there are.
    """

    heads: int
    head_width: int
    width: int
    decoder_layers: int

    def __init__(self, weights: Seq2SeqWeights) -> None:
        """Write graphs of these weights."""
        super().__init__()
        self._weights = weights

    # What a family says.

    @abstractmethod
    def encoded(self) -> str:
        """(batch, source, width) from `input_ids` and `attention_bias`."""

    @abstractmethod
    def embedded_previous(self) -> str:
        """(batch, width) of the last word, at its position."""

    @abstractmethod
    def step(self, layer: int, hidden: str) -> str:
        """(batch, width) after a layer of the decoder, counted from 0."""

    @abstractmethod
    def read_out(self, hidden: str) -> str:
        """(batch, width) what the output layer reads."""

    @abstractmethod
    def cross(self, layer: int) -> tuple[str, str]:
        """Names of the layers that make keys and values of the source."""

    @abstractmethod
    def linear(self, name: str, hidden: str) -> str:
        """A linear layer."""

    # The two graphs.

    def encoder(self) -> bytes:
        """A serialised model. See `contracts` for what goes in and comes out."""
        inverted = self.op("Sub", self.number("kept", 1.0), self.op("Cast", "attention_mask", to=FLOAT))
        bias = self.op("Mul", inverted, self.number("padding_bias", -1e9))
        self.op("Unsqueeze", bias, self.constant("bias_axes", [1, 2]), output="attention_bias")
        hidden = self.encoded()
        outputs = self._memory()
        for i in range(self.decoder_layers):
            keys, values = self.cross(i)
            self.op("Identity", self.split(self.linear(keys, hidden), [0, 2, 3, 1]), output=f"keys_{i + 1}")
            self.op("Identity", self.split(self.linear(values, hidden), [0, 2, 1, 3]), output=f"values_{i + 1}")
        self.op("Gather", self.table("lm_head.weight"), "output_ids", output="output_rows")
        self.op("Gather", self._output_bias(), "output_ids", output="output_bias")
        if self.is_untied:
            self.op("Gather", self.table(self.previous_table), "output_ids", output="previous_rows")
        inputs: _Shapes = {
            "input_ids": (INT64, ["batch", "source"]),
            "attention_mask": (INT64, ["batch", "source"]),
            "output_ids": (INT64, ["words"]),
        }
        return self.serialised("encoder", inputs, outputs)

    def decoder(self) -> bytes:
        """A serialised model of one step. See `contracts` for what goes in and comes out."""
        hidden = self.embedded_previous()
        inputs: _Shapes = {"previous": (INT64, ["batch"]), "position": (INT64, [])}
        outputs: _Shapes = {"logits": (FLOAT, ["batch", "words"])}
        for i in range(self.decoder_layers):
            hidden = self.step(i, hidden)
            for what in ("keys", "values"):
                inputs[f"own_{what}_{i + 1}"] = (FLOAT, ["batch", self.heads, "past", self.head_width])
                outputs[f"next_own_{what}_{i + 1}"] = (FLOAT, ["batch", self.heads, "present", self.head_width])
        self.op("Gemm", self.read_out(hidden), "output_rows", "output_bias", transB=1, output="logits")
        return self.serialised("decoder", inputs | self._memory(), outputs)

    def _memory(self) -> _Shapes:
        """What the encoder gives and every step reads."""
        shapes: _Shapes = {"attention_bias": (FLOAT, ["batch", 1, 1, "source"])}
        for i in range(1, self.decoder_layers + 1):
            shapes[f"keys_{i}"] = (FLOAT, ["batch", self.heads, self.head_width, "source"])
            shapes[f"values_{i}"] = (FLOAT, ["batch", self.heads, "source", self.head_width])
        shapes["output_rows"] = (FLOAT, ["words", self.width])
        shapes["output_bias"] = (FLOAT, ["words"])
        if self.is_untied:
            shapes["previous_rows"] = (FLOAT, ["words", self.width])
        return shapes

    # What families build with.

    @property
    def previous_table(self) -> str:
        """Name of the table that the decoder's words are looked up in."""
        name = "model.decoder.embed_tokens.weight"
        return name if name in self._weights else "decoder.embed_tokens.weight"

    @property
    def is_untied(self) -> bool:
        """Whether the output layer has rows of its own."""
        return self._weights.named("lm_head.weight") != self._weights.named(self.previous_table)

    @property
    def previous_rows(self) -> str:
        """Name of the rows that the last word is looked up in."""
        return "previous_rows" if self.is_untied else "output_rows"

    def number(self, name: str, value: float) -> str:
        """A float32 constant."""
        return self.constant(name, value, np.float32)

    def table(self, name: str) -> str:
        """A table of rows, (words, width)."""
        name = self._weights.named(name)
        return self.constant(name, self._weights[name], np.float32)

    def vector(self, name: str) -> str:
        """A vector."""
        return self.constant(name, self._weights[name].reshape(-1), np.float32)

    def matrix(self, name: str) -> str:
        """The matrix of a linear layer, (in, out)."""
        return self.constant(f"{name}{TURNED}", np.ascontiguousarray(self._weights[name].T), np.float32)

    def _output_bias(self) -> str:
        if "final_logits_bias" in self._weights:
            return self.vector("final_logits_bias")
        return self.constant("no_bias", np.zeros(len(self._weights["lm_head.weight"])), np.float32)

    def split(self, projected: str, order: list[int]) -> str:
        """(batch, words, heads x head width) to four axes in this order of batch, words, heads, head width."""
        shape = self.constant(f"split_{self.heads}", [0, -1, self.heads, self.head_width])
        return self.op("Transpose", self.op("Reshape", projected, shape), perm=order)

    def joined(self, mixed: str) -> str:
        """(batch, heads, words, head width) to (batch, words, heads x head width)."""
        shape = self.constant(f"join_{self.heads}", [0, 0, self.heads * self.head_width])
        return self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), shape)

    def mixed(self, logits: str, values: str) -> str:
        """Values by the softmax of logits."""
        return self.op("MatMul", self.op("Softmax", logits, axis=-1), values)

    def remembered(self, layer: int, what: str, new: str) -> str:
        """The keys or values of the words so far, (batch, heads, present, head width); the new one is the last."""
        name = f"own_{what}_{layer + 1}"
        return self.op("Concat", name, self.split(new, [0, 2, 1, 3]), axis=2, output=f"next_{name}")

    def places(self, of: str, axis: int) -> str:
        """0, 1, ... along an axis."""
        length = self.op("Squeeze", self.op("Shape", of, start=axis, end=axis + 1))
        return self.op("Range", self.constant("zero", 0), length, self.constant("one", 1))

    def activated(self, kind: str, hidden: str) -> str:
        """An activation, by its name in Transformers."""
        if kind == "relu":
            return self.op("Relu", hidden)
        if kind in ("silu", "swish"):
            return self.op("Mul", hidden, self.op("Sigmoid", hidden))
        return self.op("Gelu", hidden, approximate="none" if kind == "gelu" else "tanh")


ACTIVATIONS = ("relu", "silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh")


def contracts(layers: int, *, untied: bool, target_tokenizer: str) -> tuple[Graph, Graph]:
    """What goes into the two graphs, and what comes out."""
    numbers = range(1, layers + 1)
    memory = {
        f"{what}_{i}": f"float32, the {what} of the source for layer {i}"
        for i in numbers
        for what in ("keys", "values")
    }
    memory |= {
        "attention_bias": "float32 (batch, 1, 1, source), 0 where there is a word",
        "output_rows": "float32 (words, width), the output layer's rows of the words that may be used",
        "output_bias": "float32 (words,)",
    }
    if untied:
        memory["previous_rows"] = "float32 (words, width), the decoder's rows of the same words"
    reads = {
        "input_ids": "int64 (batch, source), words of the source, with what stands before and after (translation.json)",
        "attention_mask": "int64 (batch, source), 1 where there is a word",
        "output_ids": "int64 (words,), ids of the target that may be used",
    }
    own = {
        f"own_{what}_{i}": "float32 (batch, heads, past, head width), of the words before; at the beginning none"
        for i in numbers
        for what in ("keys", "values")
    }
    steps = {
        "previous": "int64 (batch,), where the last word stands in output_ids",
        "position": "int64 (), of the step, from 0",
    }
    after = {"logits": "float32 (batch, words)", **{f"next_{name}": "the same with this word" for name in own}}
    return (
        Graph("encoder", "encoder.onnx", reads, memory),
        Graph("decoder", "decoder.onnx", {**steps, **own, **memory}, after, tokenizer=target_tokenizer),
    )
