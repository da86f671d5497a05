"""Layers learn from other layers: the states of all tokens after every layer, the vectors, the logits.

States of every token (Sun et al. 2019, arXiv:1908.09355; Jiao et al. 2020, arXiv:1909.10351) teach far more than a
label does: a few hundred texts are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fewtune.tune.layers import Packed, TunedLayers
from fewtune.tune.linear_head import LinearHead
from fewtune.tune.loop import Objective
from fewtune.tune.objectives import Views

# Squared error of the vectors, and Kullback-Leibler divergence of the answers, beside the states' squared error.
_FEATURES, _LOGITS = 1.0, 1.0


class Imitation(Objective):
    """The squared error of all states, as a share of their variance, of the vectors, and the answers' divergence."""

    def __init__(
        self,
        student: TunedLayers,
        teacher: TunedLayers,
        teachers: Sequence[int],
        views: Views,
        batches: Sequence[Sequence[tuple[int, int]]],
        head: LinearHead | None = None,
    ) -> None:
        """Learn from a teacher.

        Args:
            student: what is tuned.
            teacher: what it learns from; takes the same views.
            teachers: of each of the student's layers, the teacher's whose states it is to give.
            views: n texts as both take them.
            batches: pairs of texts whose halves make one; the same text twice is the text itself.
            head: what answers; None: the vectors are all there is.
        """
        super().__init__()
        self.student = student
        # In a list, so that it is not learnt, nor kept in checkpoints.
        self._teacher = [teacher]
        # What goes into the first layer stands before what the layers give.
        self._teachers = [number + 1 for number in teachers]
        numbers = () if head is None else (head.weight, head.bias)
        self._head = [torch.from_numpy(np.array(some, np.float32)) for some in numbers]
        self._views, self._batches = views, batches

    def loss(self, batch: int) -> Tensor:
        """The loss of one batch."""
        (teacher,) = self._teacher
        packed = self.student.pack([_joined(self._views[i], self._views[j]) for i, j in self._batches[batch]])
        with torch.no_grad():
            wanted = teacher.states(packed)
            vectors = teacher.pooled(packed, wanted[-1])
        given = self.student.states(packed)
        loss = _states_loss(packed, given[1:], [wanted[number] for number in self._teachers])
        features = self.student.pooled(packed, given[-1])
        loss = loss + _FEATURES * (features - vectors).square().sum(dim=1).mean()
        if not self._head:
            return loss
        weight, bias = self._head
        before, after = (nn.functional.log_softmax(some @ weight + bias, 1) for some in (vectors, features))
        return loss + _LOGITS * nn.functional.kl_div(after, before, log_target=True, reduction="batchmean")


def _states_loss(packed: Packed, given: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """The mean over the layers of the squared error of real tokens, 1 where nothing is explained."""
    real = packed.tokens > 0 if packed.tokens.ndim == 2 else packed.tokens.abs().sum(dim=-1) > 0
    total = torch.zeros(())
    for one, other in zip(given, wanted, strict=True):
        mine, theirs = one[real].float(), other[real].float()
        spread = (theirs - theirs.mean(dim=0)).square().mean().clamp(min=1e-6)
        total = total + (mine - theirs).square().mean() / spread
    return total / len(given)


def _joined(first: Any, second: Any) -> Any:
    """The first half of one text, and the second of the other."""
    if first is second:
        return first
    return np.concatenate([first[: (len(first) + 1) // 2], second[(len(second) + 1) // 2 :]])
