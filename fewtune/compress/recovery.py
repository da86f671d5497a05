"""A smaller encoder learns from the original: the states of all tokens after every layer, the vectors, the logits.

Besides the texts themselves, halves of two of them serve, put together: the original says what is right for any input.
What is delivered computes in 8-bit integers, so the last of the steps are taken in them (`tune/rounded.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fewtune.backbones.text_encoder import EncoderParts
from fewtune.compress.structure import Encoder
from fewtune.interfaces import RunContext
from fewtune.tune.imitation import Imitation
from fewtune.tune.layers import TunedLayers
from fewtune.tune.linear_head import LinearHead
from fewtune.tune.loop import Schedule, train
from fewtune.tune.rounded import compute_in_steps
from fewtune.types import FloatArray

_BATCH = 32
_STEPS = 700
# Of them, as many in integers, at a share of the learning rate.
_IN_INTEGERS, _SLOWER = 0.15, 0.2
_LEARNING_RATE = 5e-4
# Texts of a batch that are halves of two.
_MIXED = 0.5


def recovered(
    original: Encoder, smaller: EncoderParts, teachers: Sequence[int], states: Sequence[FloatArray], run: RunContext
) -> EncoderParts:
    """The smaller encoder, tuned to give what the original gives.

    Args:
        original: what it learns from.
        smaller: where it begins.
        teachers: of each of its layers, the original's layer whose states it is to give.
        states: n texts' (tokens, width) embeddings.
        run: randomness and progress.
    """
    torch.set_num_threads(run.threads)
    teacher = TunedLayers(original.parts, count=original.parts.layers).requires_grad_(False)
    student = TunedLayers(smaller, count=smaller.layers)
    generator = run.generator("recovery")
    last = round(_IN_INTEGERS * _STEPS)
    head = LinearHead(original.weight, original.bias)
    with run.progress.step("Tune what is left to answer as the original does", total=_STEPS) as step:
        for rounded, steps, rate in ((False, _STEPS - last, _LEARNING_RATE), (True, last, _SLOWER * _LEARNING_RATE)):
            if not steps:
                continue
            if rounded:
                compute_in_steps(student)
            batches = [_batch(states, generator) for _ in range(steps)]
            train(
                Imitation(student, teacher, teachers, states, batches, head),
                Schedule(steps, rate, warmup=0.05),
                seed_of=lambda number, rounded=rounded: run.seed_of("recovery", rounded, number),
                step=step,
            )
    return smaller.tuned(student.tensors())


def _batch(states: Sequence[FloatArray], generator: np.random.Generator) -> list[tuple[int, int]]:
    """Pairs of texts whose halves make one; the same text twice is the text itself."""
    first = generator.integers(len(states), size=_BATCH)
    second = np.where(generator.random(_BATCH) < _MIXED, generator.integers(len(states), size=_BATCH), first)
    return list(zip(first.tolist(), second.tolist(), strict=True))
