"""A smaller encoder learns from the original: the states of all tokens after every layer, the vectors, the logits.

States of every token (Sun et al. 2019, arXiv:1908.09355; Jiao et al. 2020, arXiv:1909.10351) teach far more than a
label does: a few hundred texts are enough. Besides the texts themselves, halves of two of them serve, put together:
the original says what is right for any input.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fewtune.backbones.text_encoder import EncoderParts
from fewtune.compress.structure import Encoder
from fewtune.interfaces import RunContext
from fewtune.tune.layers import Packed, TunedLayers
from fewtune.tune.loop import Objective, Schedule, train
from fewtune.types import FloatArray

_BATCH = 32
_STEPS = 700
_LEARNING_RATE = 5e-4
# Texts of a batch that are halves of two.
_MIXED = 0.5
# Kullback-Leibler divergence beside the states' squared error.
_LOGITS, _FEATURES = 1.0, 1.0


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
    batches = [_batch(states, generator) for _ in range(_STEPS)]
    objective = _Imitation(student, teacher, teachers, original, states, batches)
    with run.progress.step("Tune what is left to answer as the original does", total=_STEPS) as step:
        train(
            objective,
            Schedule(_STEPS, _LEARNING_RATE, warmup=0.05),
            seed_of=lambda number: run.seed_of("recovery", number),
            step=step,
        )
    return smaller.tuned(student.tensors())


def _batch(states: Sequence[FloatArray], generator: np.random.Generator) -> list[tuple[int, int]]:
    """Pairs of texts whose halves make one; the same text twice is the text itself."""
    first = generator.integers(len(states), size=_BATCH)
    second = np.where(generator.random(_BATCH) < _MIXED, generator.integers(len(states), size=_BATCH), first)
    return list(zip(first.tolist(), second.tolist(), strict=True))


class _Imitation(Objective):
    """The squared error of all states, as a share of their variance, and the divergence of the answers."""

    def __init__(
        self,
        student: TunedLayers,
        teacher: TunedLayers,
        teachers: Sequence[int],
        original: Encoder,
        states: Sequence[FloatArray],
        batches: Sequence[Sequence[tuple[int, int]]],
    ) -> None:
        super().__init__()
        self.student = student
        # In a list, so that it is not learnt, nor kept in checkpoints.
        self._teacher = [teacher]
        # What goes into the first layer stands before what the layers give.
        self._teachers = [number + 1 for number in teachers]
        self._weight, self._bias = (torch.from_numpy(np.array(some)) for some in (original.weight, original.bias))
        self._texts, self._batches = states, batches

    def loss(self, batch: int) -> Tensor:
        """The loss of one batch."""
        (teacher,) = self._teacher
        packed = self.student.pack([_joined(self._texts[i], self._texts[j]) for i, j in self._batches[batch]])
        with torch.no_grad():
            wanted = teacher.states(packed)
            vectors = teacher.pooled(packed, wanted[-1])
        given = self.student.states(packed)
        loss = _states_loss(packed, given[1:], [wanted[number] for number in self._teachers])
        features = self.student.pooled(packed, given[-1])
        loss = loss + _FEATURES * (features - vectors).square().sum(dim=1).mean()
        before, after = (nn.functional.log_softmax(some @ self._weight + self._bias, 1) for some in (vectors, features))
        return loss + _LOGITS * nn.functional.kl_div(after, before, log_target=True, reduction="batchmean")


def _states_loss(packed: Packed, given: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """The mean over the layers of the squared error of real tokens, 1 where nothing is explained."""
    real = packed.tokens.abs().sum(dim=-1) > 0
    total = torch.zeros(())
    for one, other in zip(given, wanted, strict=True):
        mine, theirs = one[real].float(), other[real].float()
        spread = (theirs - theirs.mean(dim=0)).square().mean().clamp(min=1e-6)
        total = total + (mine - theirs).square().mean() / spread
    return total / len(given)


def _joined(first: FloatArray, second: FloatArray) -> FloatArray:
    """The first half of one text, and the second of the other."""
    if first is second:
        return first
    return np.concatenate([first[: (len(first) + 1) // 2], second[(len(second) + 1) // 2 :]])
