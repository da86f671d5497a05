"""The layers that are tuned, in torch: hidden states at the cut in, one vector a text out.

Texts of unlike length are packed side by side into rows, each token attending to its own text
alone, so that next to nothing is computed for padding (Krell et al. 2021, arXiv:2107.02027). On a
processor this halves the time of a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEmbeddings, BertEncoder

from fewtune.backbones.bert_onnx import Q4Matrix
from fewtune.backbones.text_encoder import EncoderParts
from fewtune.types import FloatArray, IntArray

# Short texts are packed up to this many tokens a row: attention costs the square of it.
_ROW_TOKENS = 48
# Tokens that go through the layers at once where nothing is learnt.
_TOKENS_PER_PASS = 2048


@dataclass(frozen=True, slots=True)
class Packed:
    """n texts packed into rows.

    Attributes:
        tokens: (rows, columns, width) float32 hidden states at the cut, or (rows, columns) int64 token ids.
        positions: (rows, columns) position of each token in its own text.
        mask: (rows, 1, columns, columns), 0 where a token may attend to another, very negative elsewhere.
        pool: (n, rows x columns): each text's vector as weights over all tokens.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    pool: Tensor


def pack(texts: Sequence[FloatArray | IntArray], *, pooling: str, together: bool = True) -> Packed:
    """Pack texts, longest first, each into the first row that has room.

    Args:
        texts: n arrays, each (tokens, width) hidden states or (tokens,) ids.
        pooling: "mean" over a text's tokens, or "cls" for its first.
        together: whether several share a row; else row i is text i.
    """
    rows = _place([len(text) for text in texts]) if together else [[i] for i in range(len(texts))]
    columns = max(sum(len(texts[i]) for i in row) for row in rows)
    first = np.asarray(texts[0])
    kind = np.int64 if first.ndim == 1 else np.float32
    tokens = np.zeros((len(rows), columns, *first.shape[1:]), kind)
    positions = np.zeros((len(rows), columns), np.int64)
    owner = np.full((len(rows), columns), -1)
    pool = np.zeros((len(texts), len(rows), columns), np.float32)
    for row, members in enumerate(rows):
        start = 0
        for i in members:
            length = len(texts[i])
            end = start + length
            tokens[row, start:end] = texts[i]
            positions[row, start:end] = np.arange(length)
            owner[row, start:end] = i
            pool[i, row, start : end if pooling == "mean" else start + 1] = 1 / length if pooling == "mean" else 1
            start = end
    mask = np.where(owner[:, None, :, None] == owner[:, None, None, :], np.float32(0), np.float32(-1e9))
    arrays = (tokens, positions, mask, pool.reshape(len(texts), -1))
    return Packed(*(torch.from_numpy(array) for array in arrays))


def _place(lengths: Sequence[int]) -> list[list[int]]:
    """First-fit decreasing: indices of the texts of each row."""
    room = max(_ROW_TOKENS, *lengths)
    rows: list[list[int]] = []
    free: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        row = next((row for row, left in enumerate(free) if left >= lengths[i]), len(rows))
        if row == len(rows):
            rows.append([])
            free.append(room)
        rows[row].append(i)
        free[row] -= lengths[i]
    return rows


@cache
def computes_in_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 faster than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def precision() -> torch.autocast:
    """The context that layers are computed in: bfloat16 products where the processor has them, float32 sums."""
    return torch.autocast("cpu", torch.bfloat16, enabled=computes_in_bfloat16())


class TunedLayers(nn.Module):
    """The layers above the cut of a BERT; with `embeddings`, all of it."""

    def __init__(self, parts: EncoderParts, *, count: int, embeddings: bool = False, dropout: float = 0.0) -> None:
        """Take the last `count` layers of the pretrained weights.

        Args:
            parts: the encoder.
            count: how many layers, from the top.
            embeddings: whether token ids come in, and the embeddings are tuned too (then `count` must be all).
            dropout: on attention and hidden states while training.
        """
        super().__init__()
        self.count = count
        self._below = parts.layers - count
        self._pooling = parts.pooling
        self._normalised = parts.normalised
        config = BertConfig(**parts.config)
        config.update({"num_hidden_layers": count, "hidden_dropout_prob": dropout})
        config.update({"attention_probs_dropout_prob": dropout})
        # Plain matrix products: on a processor they are faster here than the fused attention, twice so backwards.
        config._attn_implementation = "eager"
        with torch.device("meta"):
            self.encoder = BertEncoder(config)
            for number, layer in enumerate(self.encoder.layer):
                _shape(layer, parts.weights.tensors, f"encoder.layer.{number + self._below}")
            self.embeddings = BertEmbeddings(config) if embeddings else None
        state = {name: _tensor(parts.weights.tensors[self._name_of(name)]) for name, _ in self.named_parameters()}
        self.load_state_dict(state, strict=False, assign=True)
        if self.embeddings is not None:
            positions = int(config.max_position_embeddings)
            self.embeddings.register_buffer("position_ids", torch.arange(positions)[None], persistent=False)
            self.embeddings.register_buffer("token_type_ids", torch.zeros(1, positions).long(), persistent=False)
        self.eval()

    def _name_of(self, parameter: str) -> str:
        """Name in Transformers' `BertModel` of a parameter of this module."""
        if not parameter.startswith("encoder.layer."):
            return parameter
        number, rest = parameter.removeprefix("encoder.layer.").split(".", 1)
        return f"encoder.layer.{int(number) + self._below}.{rest}"

    def forward(self, packed: Packed) -> Tensor:
        """(n, width) features of the packed texts, float32."""
        return self.pooled(packed, self.states(packed)[-1])

    def states(self, packed: Packed) -> list[Tensor]:
        """What goes into the layers, and what each of them gives: (rows, columns, width) each."""
        hidden = packed.tokens
        found: list[Tensor] = []
        with precision():
            if self.embeddings is not None:
                hidden = self.embeddings(input_ids=hidden, position_ids=packed.positions)
            mask = packed.mask.bfloat16() if computes_in_bfloat16() else packed.mask
            found.append(hidden)
            for layer in self.encoder.layer:
                hidden = layer(hidden, mask)
                if isinstance(hidden, tuple):  # Transformers 4
                    hidden = hidden[0]
                found.append(hidden)
        return found

    def pooled(self, packed: Packed, hidden: Tensor) -> Tensor:
        """(n, width) features of the packed texts, from what the last layer gives."""
        pooled = packed.pool @ hidden.float().flatten(0, 1)
        return nn.functional.normalize(pooled, dim=-1) if self._normalised else pooled

    def pack(self, texts: Sequence[FloatArray | IntArray]) -> Packed:
        """Pack texts for this module's pooling."""
        return pack(texts, pooling=self._pooling)

    @torch.no_grad()
    def features(self, texts: Sequence[FloatArray | IntArray]) -> FloatArray:
        """(n, width) features of n texts, nothing learnt; in the order of `texts`."""
        was_training = self.training
        self.eval()
        rows = [np.zeros(0, np.float32)] * len(texts)
        for some in _passes([len(text) for text in texts]):
            computed = self(self.pack([texts[i] for i in some])).numpy()
            for i, row in zip(some, computed, strict=True):
                rows[i] = row
        self.train(was_training)
        return np.stack(rows)

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights as they are now, under their names in Transformers' `BertModel`."""
        return {self._name_of(name): value.detach().float().numpy() for name, value in self.named_parameters()}


def _shape(layer: Any, tensors: Mapping[str, np.ndarray | Q4Matrix], name: str) -> None:
    """Give a layer of Transformers' the heads and neurons that its weights have."""
    attention = layer.attention.self
    width, hidden = tensors[f"{name}.attention.self.query.weight"].shape
    neurons = tensors[f"{name}.intermediate.dense.weight"].shape[0]
    if width != attention.all_head_size:
        attention.num_attention_heads, attention.all_head_size = width // attention.attention_head_size, width
        attention.query, attention.key, attention.value = (nn.Linear(hidden, width) for _ in range(3))
        layer.attention.output.dense = nn.Linear(width, hidden)
    if neurons != layer.intermediate.dense.out_features:
        layer.intermediate.dense, layer.output.dense = nn.Linear(hidden, neurons), nn.Linear(neurons, hidden)


def _tensor(weight: np.ndarray | Q4Matrix) -> Tensor:
    values = weight.dequantise() if isinstance(weight, Q4Matrix) else np.array(weight, np.float32)
    return torch.from_numpy(np.ascontiguousarray(values))


def _passes(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of texts of like length, at most `_TOKENS_PER_PASS` tokens together."""
    passes: list[list[int]] = []
    room = 0
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not passes or room < lengths[i]:
            passes.append([])
            room = _TOKENS_PER_PASS
        passes[-1].append(i)
        room -= lengths[i]
    return passes
