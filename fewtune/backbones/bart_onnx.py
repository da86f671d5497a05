"""BART's family as ONNX graphs: Marian (OPUS-MT), M2M100 (NLLB) and mBART, as Transformers computes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fewtune.backbones.marian_onnx import position_rates
from fewtune.backbones.seq2seq_onnx import Seq2SeqBuilder, Seq2SeqWeights, Side

_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the members of the family differ.

    Attributes:
        norms_first: whether layers normalise what they read, and the stack its end; else what they give.
        norms_words: whether the words are normalised.
        learns_positions: whether the table of positions is one of the weights.
        offset: where the first position stands in that table.
    """

    norms_first: bool
    norms_words: bool
    learns_positions: bool
    offset: int


_KINDS = {
    "marian": _Kind(norms_first=False, norms_words=False, learns_positions=True, offset=0),
    "m2m_100": _Kind(norms_first=True, norms_words=False, learns_positions=False, offset=2),
    "mbart": _Kind(norms_first=True, norms_words=True, learns_positions=True, offset=2),
}
BART_KINDS = tuple(_KINDS)


class BartBuilder(Seq2SeqBuilder):
    """Layers with biases, layer norms, and positions that are added to the words."""

    def __init__(self, weights: Seq2SeqWeights) -> None:
        """Write graphs of these weights."""
        super().__init__(weights)
        config = weights.config
        self.width = int(config["d_model"])
        self.heads = int(config["decoder_attention_heads"])
        self.head_width = self.width // self.heads
        self.decoder_layers = int(config["decoder_layers"])
        self._kind = _KINDS[str(config["model_type"])]
        self._scale = math.sqrt(self.width) if config.get("scale_embedding") else 1.0

    def linear(self, name: str, hidden: str) -> str:
        """With its bias."""
        product = self.op("MatMul", hidden, self.matrix(f"{name}.weight"))
        return self.op("Add", product, self.vector(f"{name}.bias"))

    def cross(self, layer: int) -> tuple[str, str]:
        """Of that layer's attention to the source."""
        name = f"model.decoder.layers.{layer}.encoder_attn"
        return f"{name}.k_proj", f"{name}.v_proj"

    def encoded(self) -> str:
        """Words and positions through all layers."""
        self._with_heads("encoder")
        words = self.op("Gather", self.table("model.encoder.embed_tokens.weight"), "input_ids")
        places = self.op("Add", self.places("input_ids", 1), self.constant("first_place", self._kind.offset))
        hidden = self._placed("encoder", words, places)
        for i in range(int(self._weights.config["encoder_layers"])):
            layer = f"model.encoder.layers.{i}"
            hidden = self._around(layer, "self_attn", hidden, lambda x, name=layer: self._self_attention(name, x))
            hidden = self._feed_forward(layer, hidden)
        hidden = self._ended("encoder", hidden)
        self._with_heads("decoder")
        return hidden

    def _with_heads(self, side: Side) -> None:
        self.heads = int(self._weights.config[f"{side}_attention_heads"])
        self.head_width = self.width // self.heads

    def embedded_previous(self) -> str:
        """The last word at its position."""
        words = self.op("Gather", self.previous_rows, "previous")
        return self._placed("decoder", words, self.op("Add", "position", self.constant("first", self._kind.offset)))

    def _placed(self, side: Side, words: str, places: str) -> str:
        scaled = self.op("Mul", words, self.number("embedding_scale", self._scale))
        hidden = self.op("Add", scaled, self.op("Gather", self._positions(side), places))
        return self._normed(f"model.{side}.layernorm_embedding", hidden) if self._kind.norms_words else hidden

    def _positions(self, side: Side) -> str:
        if self._kind.learns_positions:
            return self.table(f"model.{side}.embed_positions.weight")
        count = int(self._weights.config["max_position_embeddings"]) + self._kind.offset
        angles = np.arange(count, dtype=np.float32)[:, None] * position_rates(self.width)
        return self.constant("positions", np.concatenate([np.sin(angles), np.cos(angles)], axis=1), np.float32)

    def step(self, layer: int, hidden: str) -> str:
        """Attention to the words so far and to the source, and the feed-forward layer."""
        name = f"model.decoder.layers.{layer}"
        hidden = self._around(name, "self_attn", hidden, lambda x: self._own_attention(layer, name, x))
        hidden = self._around(name, "encoder_attn", hidden, lambda x: self._source_attention(layer, name, x))
        return self._feed_forward(name, hidden)

    def read_out(self, hidden: str) -> str:
        """Normalised once more where layers normalise what they read."""
        return self._ended("decoder", hidden)

    def _ended(self, side: Side, hidden: str) -> str:
        return self._normed(f"model.{side}.layer_norm", hidden) if self._kind.norms_first else hidden

    def _normed(self, name: str, hidden: str) -> str:
        scale, shift = self.vector(f"{name}.weight"), self.vector(f"{name}.bias")
        return self.op("LayerNormalization", hidden, scale, shift, axis=-1, epsilon=_EPSILON)

    def _around(self, layer: str, part: str, hidden: str, compute: Callable[[str], str]) -> str:
        """A part of a layer, with its norm and what goes round it."""
        norm = f"{layer}.{part}_layer_norm"
        if self._kind.norms_first:
            return self.op("Add", hidden, compute(self._normed(norm, hidden)))
        return self._normed(norm, self.op("Add", hidden, compute(hidden)))

    def _query(self, name: str, hidden: str) -> str:
        scale = self.number(f"attention_scale_{self.head_width}", self.head_width**-0.5)
        return self.op("Mul", self.split(self.linear(f"{name}.q_proj", hidden), [0, 2, 1, 3]), scale)

    def _self_attention(self, layer: str, hidden: str) -> str:
        name = f"{layer}.self_attn"
        keys = self.split(self.linear(f"{name}.k_proj", hidden), [0, 2, 3, 1])
        values = self.split(self.linear(f"{name}.v_proj", hidden), [0, 2, 1, 3])
        logits = self.op("Add", self.op("MatMul", self._query(name, hidden), keys), "attention_bias")
        return self.linear(f"{name}.out_proj", self.joined(self.mixed(logits, values)))

    def _own_attention(self, layer: int, name: str, hidden: str) -> str:
        name = f"{name}.self_attn"
        hidden = self._one_step(hidden)
        keys = self.remembered(layer, "keys", self.linear(f"{name}.k_proj", hidden))
        values = self.remembered(layer, "values", self.linear(f"{name}.v_proj", hidden))
        logits = self.op("MatMul", self._query(name, hidden), self.op("Transpose", keys, perm=[0, 1, 3, 2]))
        return self._flat(self.linear(f"{name}.out_proj", self.joined(self.mixed(logits, values))))

    def _source_attention(self, layer: int, name: str, hidden: str) -> str:
        name = f"{name}.encoder_attn"
        logits = self.op("MatMul", self._query(name, self._one_step(hidden)), f"keys_{layer + 1}")
        mixed = self.mixed(self.op("Add", logits, "attention_bias"), f"values_{layer + 1}")
        return self._flat(self.linear(f"{name}.out_proj", self.joined(mixed)))

    def _one_step(self, hidden: str) -> str:
        return self.op("Unsqueeze", hidden, self.constant("step_axis", [1]))

    def _flat(self, hidden: str) -> str:
        return self.op("Squeeze", hidden, self.constant("step_axis", [1]))

    def _feed_forward(self, layer: str, hidden: str) -> str:
        kind = str(self._weights.config["activation_function"])

        def compute(read: str) -> str:
            return self.linear(f"{layer}.fc2", self.activated(kind, self.linear(f"{layer}.fc1", read)))

        return self._around(layer, "final", hidden, compute)
