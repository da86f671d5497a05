"""How much the answers to the user's texts would change without a head or a neuron, to first order.

A part's output times the gradient that comes back to it, summed over a text, is what the answer would change by if
the part gave 0 (Molchanov et al. 2019, arXiv:1906.10771; of heads Michel, Levy & Neubig 2019, arXiv:1905.10650). The
gradient is not that of a loss: a good model's is 0. It is that of the answers themselves, the logits and the vector
before them, along random directions: the mean square is then the squared length of the whole change. So no labels
are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewtune.backbones.text_encoder import EncoderParts
from fewtune.compress.structure import Encoder, Importance
from fewtune.interfaces import RunContext
from fewtune.tune.layers import TunedLayers, pack
from fewtune.types import FloatArray

_MOST_TEXTS = 256
_BATCH = 16
_DIRECTIONS = 2


def measured(encoder: Encoder, states: Sequence[FloatArray], run: RunContext) -> Importance:
    """The importance of every head and neuron.

    Args:
        encoder: the original.
        states: n texts' (tokens, width) embeddings.
        run: draws the directions.
    """
    parts = encoder.parts
    layers = TunedLayers(parts, count=parts.layers).requires_grad_(False)
    given: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Any, tuple[Tensor, ...]], None]:
        def hook(_: Any, inputs: tuple[Tensor, ...]) -> None:
            inputs[0].retain_grad()
            given[name] = inputs[0]

        return hook

    blocks: Any = layers.encoder.layer
    for number, layer in enumerate(blocks):
        layer.attention.output.dense.register_forward_pre_hook(keep(f"heads {number}"))
        layer.output.dense.register_forward_pre_hook(keep(f"neurons {number}"))
    weight = torch.from_numpy(np.array(encoder.weight))
    some = states[:: max(1, len(states) // _MOST_TEXTS)][:_MOST_TEXTS]
    totals: dict[str, Tensor] = {}
    with run.progress.step("Find what the answers depend on", total=len(some)) as step:
        for start in range(0, len(some), _BATCH):
            batch = some[start : start + _BATCH]
            packed = pack(batch, pooling=parts.pooling, together=False)
            packed.tokens.requires_grad_(True)
            features = layers(packed)
            logits = features @ weight
            answers = torch.cat([_scaled(logits - logits.mean(dim=1, keepdim=True)), _scaled(features)], dim=1)
            for number in range(_DIRECTIONS):
                draw = torch.Generator().manual_seed(run.seed_of("importance", start, number))
                direction = torch.randn(answers.shape, generator=draw)
                for tensor in given.values():
                    tensor.grad = None
                (answers * direction).sum().backward(retain_graph=number + 1 < _DIRECTIONS)
                for name, tensor in given.items():
                    assert tensor.grad is not None
                    change = (tensor.detach().float() * tensor.grad.float()).sum(dim=1)
                    totals[name] = totals.get(name, torch.zeros(())) + _of_parts(name, change, parts).square().sum(0)
            step.advance(len(batch))
    found = {name: (total / len(some)).numpy() for name, total in totals.items()}
    numbers = range(parts.layers)
    return Importance([found[f"heads {i}"] for i in numbers], [found[f"neurons {i}"] for i in numbers])


def _scaled(answers: Tensor) -> Tensor:
    """So that logits and vectors count alike."""
    return answers / answers.detach().square().sum(dim=1).mean().sqrt().clamp(min=1e-6)


def _of_parts(name: str, change: Tensor, parts: EncoderParts) -> Tensor:
    """(texts, values) to (texts, heads) or (texts, neurons)."""
    if name.startswith("neurons"):
        return change
    width = parts.width // int(parts.config["num_attention_heads"])
    return change.unflatten(1, (-1, width)).sum(dim=2)
