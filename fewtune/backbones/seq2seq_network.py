"""A Marian student in plain PyTorch, to be tuned; the equations are those of backbones/marian_onnx.py."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fewtune.backbones.marian_onnx import MarianWeights, position_rates
from fewtune.backbones.translation_network import TranslationNetwork, copied, keep_share
from fewtune.types import FloatArray, IntArray

_EPSILON = 1e-6
_LOW_RANK_SCALE = 2.0


class Seq2SeqNetwork(TranslationNetwork):
    """The student; its parameters carry Marian's names."""

    def __init__(self, weights: MarianWeights) -> None:
        """Copy the weights."""
        super().__init__()
        self._given = weights
        self._parts = nn.ParameterDict({name: _parameter(values) for name, values in weights.tensors.items()})
        # For each matrix of a layer two thin ones, while they are learnt.
        self._thin = nn.ParameterDict()
        self._rounded: frozenset[str] = frozenset()
        self.register_buffer("_rates", torch.from_numpy(position_rates(weights.width)), persistent=False)

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights as they are now, under Marian's names."""
        return {name: copied(part) for name, part in self._parts.items()}

    def keep_tuned(self, share: float) -> None:
        """Keep so much of every change since the weights were given: 1 is all of it."""
        self.merge_low_rank()
        for name, part in self._parts.items():
            keep_share(part, self._given.tensors[name], share)

    def round_to_int8(self, names: Iterable[str]) -> None:
        """From now on compute with these matrices as a model file holds them in 8-bit integers.

        What is learnt passes the rounding as if it were not there (Bengio et al. 2013, arXiv:1308.3432; Jacob et al.
        2018, arXiv:1712.05877).
        """
        self._rounded = frozenset(names)

    def _used(self, name: str) -> Tensor:
        """A matrix as it is computed with."""
        part = self._parts[name]
        if name not in self._rounded:
            return part
        values = part.detach()
        scale = 127 / values.abs().max().clamp_min(1e-12)
        return part + ((values * scale).round_().clamp_(-127, 127) / scale - values)

    def add_low_rank(self, rank: int) -> None:
        """Thin matrices beside those of all layers, the recurrent ones too."""
        self.requires_grad_(False)
        for name, part in self._parts.items():
            if part.ndim == 2 and not name.endswith("Wemb"):
                inner, outer = part.shape
                self._thin[f"{name}_down"] = nn.Parameter(torch.randn(inner, rank) * inner**-0.5)
                self._thin[f"{name}_up"] = nn.Parameter(torch.zeros(rank, outer))

    @torch.no_grad()
    def merge_low_rank(self) -> None:
        """Add what the thin matrices learnt to the layers' own."""
        for name in self._parts:
            if f"{name}_down" in self._thin:
                self._parts[name] += _LOW_RANK_SCALE * (self._thin[f"{name}_down"] @ self._thin[f"{name}_up"])
        self._thin = nn.ParameterDict()

    def steps(self) -> NetworkSteps:
        """The network for decoding, as it is now."""
        return NetworkSteps(self)

    @property
    def source_table(self) -> Tensor:
        """(source words, width)."""
        return self._used("Wemb" if "Wemb" in self._parts else "encoder_Wemb")

    @property
    def target_table(self) -> Tensor:
        """(target words, width)."""
        return self._used("Wemb" if "Wemb" in self._parts else "decoder_Wemb")

    @property
    def output_bias(self) -> Tensor:
        """(target words,)."""
        return self._parts["decoder_ff_logit_out_b"].reshape(-1)

    def encode(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """(batch, source, width) of sources (batch, source); mask is True where there is a word."""
        hidden = self._placed(functional.embedding(input_ids, self.source_table), 0)
        for layer in range(1, self._given.encoder_layers + 1):
            attended = self._attention(f"encoder_l{layer}_self_", hidden, *self._memory(layer, hidden, False), mask)
            hidden = self._feed_forward(f"encoder_l{layer}", attended)
        return hidden

    def memory(self, encoded: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of each of the decoder's layers, (batch, heads, source, head width)."""
        return [self._memory(layer, encoded, True) for layer in range(1, self._given.decoder_layers + 1)]

    def _memory(self, layer: int, hidden: Tensor, of_context: bool) -> tuple[Tensor, Tensor]:
        name = f"decoder_l{layer}_context_" if of_context else f"encoder_l{layer}_self_"
        return self._split(self._linear(name, "k", hidden)), self._split(self._linear(name, "v", hidden))

    def decode(
        self, previous: Tensor, memory: list[tuple[Tensor, Tensor]], mask: Tensor, states: list[Tensor], position: int
    ) -> tuple[Tensor, list[Tensor]]:
        """Take as many steps as there are words.

        Args:
            previous: (batch, steps, width) embeddings of the words before each step's own; zeros before the first.
            memory: of the source.
            mask: (batch, source) True where there is a word.
            states: (batch, width) of each layer.
            position: of the first step.

        Returns:
            (batch, steps, width) what the output layer reads, and the states after the last step.
        """
        hidden, after = self._placed(previous, position), []
        for layer, (keys, values) in enumerate(memory, start=1):
            hidden, state = self._recurrent(f"decoder_l{layer}_rnn_", hidden, states[layer - 1])
            hidden = self._attention(f"decoder_l{layer}_context_", hidden, keys, values, mask)
            hidden = self._feed_forward(f"decoder_l{layer}", hidden)
            after.append(state)
        return hidden, after

    def forward(self, input_ids: Tensor, mask: Tensor, target_ids: Tensor) -> Tensor:
        """(batch, target, width) what the output layer reads, with the targets (batch, target) for a teacher."""
        embedded = functional.embedding(target_ids, self.target_table)
        previous = functional.pad(embedded[:, :-1], (0, 0, 1, 0))
        memory = self.memory(self.encode(input_ids, mask))
        return self.decode(previous, memory, mask, self.first_states(len(input_ids)), 0)[0]

    def first_states(self, batch: int) -> list[Tensor]:
        """Of the decoder's layers, before the first step."""
        return [torch.zeros(batch, self._given.width)] * self._given.decoder_layers

    def _placed(self, words: Tensor, position: int) -> Tensor:
        places = torch.arange(position, position + words.shape[1], dtype=torch.float32)
        angles = places[:, None] * self._rates  # type: ignore[operator]
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        return words * self._given.width**0.5 + waves

    def _linear(self, name: str, part: str, hidden: Tensor) -> Tensor:
        return self._product(f"{name}W{part}", hidden, self._parts[f"{name}b{part}"].reshape(-1))

    def _product(self, name: str, hidden: Tensor, bias: Tensor | None = None) -> Tensor:
        product = functional.linear(hidden, self._used(name).T, bias)
        if f"{name}_down" in self._thin:
            product = product + _LOW_RANK_SCALE * (hidden @ self._thin[f"{name}_down"] @ self._thin[f"{name}_up"])
        return product

    def _normed(self, name: str, hidden: Tensor) -> Tensor:
        scale, shift = (self._parts[f"{name}_ln_{part}"].reshape(-1) for part in ("scale", "bias"))
        return functional.layer_norm(hidden, (hidden.shape[-1],), scale, shift, _EPSILON)

    def _split(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (self._given.heads, -1)).transpose(1, 2)

    def _attention(self, name: str, hidden: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        query = self._split(self._linear(name, "q", hidden))
        mixed = functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask[:, None, None, :])
        joined = mixed.transpose(1, 2).flatten(2)
        return self._normed(f"{name}Wo", hidden + self._linear(name, "o", joined))

    def _feed_forward(self, layer: str, hidden: Tensor) -> Tensor:
        inner = torch.relu(self._linear(f"{layer}_ffn_", "1", hidden))
        return self._normed(f"{layer}_ffn_ffn", hidden + self._linear(f"{layer}_ffn_", "2", inner))

    def _recurrent(self, name: str, hidden: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        forget = torch.sigmoid(self._linear(name, "f", hidden))
        new = (1 - forget) * self._product(f"{name}W", hidden)
        states = []
        for f, x in zip(forget.unbind(1), new.unbind(1), strict=True):
            state = torch.addcmul(x, f, state)
            states.append(state)
        return self._normed(f"{name}ffn", hidden + torch.relu(torch.stack(states, dim=1))), state


def _parameter(values: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(values, np.float32)))


class NetworkSteps:
    """The network as a `StepNetwork`: greedy decoding in PyTorch."""

    def __init__(self, network: Seq2SeqNetwork) -> None:
        """Decode with this network as it is now."""
        self._network = network

    @torch.no_grad()
    def begin(self, input_ids: IntArray, mask: IntArray, output_ids: IntArray) -> dict[str, list[Tensor]]:
        """Read the sources."""
        network, seen = self._network, torch.from_numpy(mask).bool()
        pairs = network.memory(network.encode(torch.from_numpy(input_ids), seen))
        words = torch.from_numpy(output_ids)
        return {
            "keys": [keys for keys, _ in pairs],
            "values": [values for _, values in pairs],
            "states": network.first_states(len(input_ids)),
            "mask": [seen],
            "output": [network.target_table[words], network.output_bias[words]],
        }

    @torch.no_grad()
    def step(self, memory: dict[str, list[Tensor]], previous: IntArray, position: int) -> FloatArray:
        """(batch, words) logits of the next word."""
        rows, bias = memory["output"]
        words = torch.from_numpy(previous)
        embedded = (rows[words] * (words >= 0)[:, None])[:, None]
        pairs = list(zip(memory["keys"], memory["values"], strict=True))
        hidden, memory["states"] = self._network.decode(embedded, pairs, memory["mask"][0], memory["states"], position)
        return torch.addmm(bias, hidden[:, 0], rows.T).numpy()

    def keep(self, memory: dict[str, list[Tensor]], rows: IntArray) -> dict[str, list[Tensor]]:
        """The memory of some of the batch's sentences."""
        chosen = torch.from_numpy(rows)
        return {name: parts if name == "output" else [part[chosen] for part in parts] for name, parts in memory.items()}
