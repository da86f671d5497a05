"""T5 and mT5 as ONNX graphs, as Transformers computes them (Raffel et al. 2020, arXiv:1910.10683)."""

from __future__ import annotations

import math

import numpy as np

from fewtune.backbones.seq2seq_onnx import Seq2SeqBuilder, Seq2SeqWeights, Side

T5_KINDS = ("t5", "mt5")


def buckets(farthest: int, count: int, *, both_ways: bool) -> np.ndarray:
    """Rows of the table of biases by distance (arXiv:1910.10683, section 2.1).

    Args:
        farthest: all that is as far or farther shares a row.
        count: of the rows.
        both_ways: whether what comes later is seen too.

    Returns:
        (farthest + 1,) rows of what stands so many words before, or both ways (2 x farthest + 1,), from the
        farthest behind to the farthest ahead.
    """
    count = count // 2 if both_ways else count
    exact = count // 2
    distance = np.arange(farthest + 1)
    with np.errstate(divide="ignore"):
        logs = np.log(distance.astype(np.float32) / np.float32(exact)) / np.float32(math.log(farthest / exact))
    far = np.minimum(exact + np.maximum(logs * np.float32(count - exact), 0).astype(np.int64), count - 1)
    behind = np.where(distance < exact, distance, far)
    return np.concatenate([behind[::-1], count + behind[1:]]) if both_ways else behind


class T5Builder(Seq2SeqBuilder):
    """Layers without biases, root-mean-square norms, and biases of the attention by distance."""

    def __init__(self, weights: Seq2SeqWeights) -> None:
        """Write graphs of these weights."""
        super().__init__(weights)
        config = weights.config
        self.width = int(config["d_model"])
        self.heads = int(config["num_heads"])
        self.head_width = int(config["d_kv"])
        self.decoder_layers = int(config.get("num_decoder_layers") or config["num_layers"])
        self._epsilon = float(config.get("layer_norm_epsilon", 1e-6))
        self._distances = ""

    def linear(self, name: str, hidden: str) -> str:
        """Without a bias."""
        return self.op("MatMul", hidden, self.matrix(f"{name}.weight"))

    def cross(self, layer: int) -> tuple[str, str]:
        """Of that layer's attention to the source."""
        name = f"decoder.block.{layer}.layer.1.EncDecAttention"
        return f"{name}.k", f"{name}.v"

    def encoded(self) -> str:
        """Words through all layers."""
        hidden = self.op("Gather", self.table("encoder.embed_tokens.weight"), "input_ids")
        places = self.places("input_ids", 1)
        row, column = (self.op("Unsqueeze", places, self.constant(f"axis_{i}", [i])) for i in (0, 1))
        far = int(self._weights.config.get("relative_attention_max_distance", 128))
        ahead = self.op("Clip", self.op("Sub", row, column), self.constant("behind", -far), self.constant("ahead", far))
        bias = self._bias("encoder", self.op("Add", ahead, self.constant("ahead", far)), both_ways=True)
        bias = self.op("Add", bias, "attention_bias")
        for i in range(int(self._weights.config["num_layers"])):
            block = f"encoder.block.{i}.layer"
            name, read = f"{block}.0.SelfAttention", self._normed(f"{block}.0.layer_norm", hidden)
            query, values = (self.split(self.linear(f"{name}.{part}", read), [0, 2, 1, 3]) for part in "qv")
            keys = self.split(self.linear(f"{name}.k", read), [0, 2, 3, 1])
            mixed = self.mixed(self.op("Add", self.op("MatMul", query, keys), bias), values)
            hidden = self.op("Add", hidden, self.linear(f"{name}.o", self.joined(mixed)))
            hidden = self._feed_forward(f"{block}.1", hidden)
        return self._normed("encoder.final_layer_norm", hidden)

    def _bias(self, side: Side, distances: str, *, both_ways: bool) -> str:
        """(1, heads, queries, keys) of distances (queries, keys), which are places in `buckets`."""
        config = self._weights.config
        far = int(config.get("relative_attention_max_distance", 128))
        rows = buckets(far, int(config.get("relative_attention_num_buckets", 32)), both_ways=both_ways)
        table = self.table(f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight")
        found = self.op("Gather", table, self.op("Gather", self.constant("buckets", rows), distances))
        return self.op("Unsqueeze", self.op("Transpose", found, perm=[2, 0, 1]), self.constant("axis_0", [0]))

    def embedded_previous(self) -> str:
        """The last word; its position is in the biases."""
        words = self.op("Gather", self.previous_rows, "previous")
        far = self.constant("far", int(self._weights.config.get("relative_attention_max_distance", 128)))
        after = self.op("Add", "position", self.constant("one", 1))
        places = self.op("Range", self.constant("zero", 0), after, self.constant("one", 1))
        behind = self.op("Min", self.op("Sub", "position", places), far)
        self._distances = self._bias(
            "decoder", self.op("Unsqueeze", behind, self.constant("axis_0", [0])), both_ways=False
        )
        return self.op("Unsqueeze", words, self.constant("axis_1", [1]))

    def step(self, layer: int, hidden: str) -> str:
        """Attention to the words so far and to the source, and the feed-forward layer; (batch, 1, width)."""
        block = f"decoder.block.{layer}.layer"
        name, read = f"{block}.0.SelfAttention", self._normed(f"{block}.0.layer_norm", hidden)
        keys = self.remembered(layer, "keys", self.linear(f"{name}.k", read))
        values = self.remembered(layer, "values", self.linear(f"{name}.v", read))
        query = self.split(self.linear(f"{name}.q", read), [0, 2, 1, 3])
        logits = self.op("MatMul", query, self.op("Transpose", keys, perm=[0, 1, 3, 2]))
        mixed = self.mixed(self.op("Add", logits, self._distances), values)
        hidden = self.op("Add", hidden, self.linear(f"{name}.o", self.joined(mixed)))
        name, read = f"{block}.1.EncDecAttention", self._normed(f"{block}.1.layer_norm", hidden)
        query = self.split(self.linear(f"{name}.q", read), [0, 2, 1, 3])
        logits = self.op("Add", self.op("MatMul", query, f"keys_{layer + 1}"), "attention_bias")
        mixed = self.mixed(logits, f"values_{layer + 1}")
        hidden = self.op("Add", hidden, self.linear(f"{name}.o", self.joined(mixed)))
        return self._feed_forward(f"{block}.2", hidden)

    def read_out(self, hidden: str) -> str:
        """Normalised; and made smaller where the output layer was trained as the table of words."""
        hidden = self.op("Squeeze", self._normed("decoder.final_layer_norm", hidden), self.constant("axis_1", [1]))
        if self._weights.config.get("scale_decoder_outputs"):
            hidden = self.op("Mul", hidden, self.number("output_scale", self.width**-0.5))
        return hidden

    def _normed(self, name: str, hidden: str) -> str:
        """Root-mean-square norm (Zhang & Sennrich 2019, arXiv:1910.07467)."""
        squares = self.op("Mul", hidden, hidden)
        mean = self.op("ReduceMean", squares, self.constant("last", [-1]), keepdims=1)
        root = self.op("Sqrt", self.op("Add", mean, self.number("epsilon", self._epsilon)))
        return self.op("Mul", self.op("Div", hidden, root), self.vector(f"{name}.weight"))

    def _feed_forward(self, layer: str, hidden: str) -> str:
        config, name = self._weights.config, f"{layer}.DenseReluDense"
        kind = str(config["dense_act_fn"])
        read = self._normed(f"{layer}.layer_norm", hidden)
        if config.get("is_gated_act"):
            gate = self.activated(kind, self.linear(f"{name}.wi_0", read))
            inner = self.op("Mul", gate, self.linear(f"{name}.wi_1", read))
        else:
            inner = self.activated(kind, self.linear(f"{name}.wi", read))
        return self.op("Add", hidden, self.linear(f"{name}.wo", inner))
