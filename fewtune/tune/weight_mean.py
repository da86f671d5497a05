"""A running mean of the weights that are learnt, in torch: what is delivered (Polyak & Juditsky 1992)."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

# The mean forgets with a time constant of this share of the steps that were taken, and of so many at most.
_MEMORY = 0.1
_LONGEST_MEMORY = 500.0

M = TypeVar("M", bound=nn.Module)


class WeightMean(nn.Module, Generic[M]):
    """The mean of a module's parameters over its latest steps; part of a checkpoint.

    Attributes:
        module: a copy that has the mean's weights.
    """

    module: M

    def __init__(self, learning: M) -> None:
        """Begin with what `learning` has now."""
        super().__init__()
        self.module = copy.deepcopy(learning).requires_grad_(False)
        self.register_buffer("_taken", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, learning: M) -> None:
        """Move towards what `learning` has after one more step."""
        self._taken += 1  # type: ignore[operator]
        share = 1 / (1 + min(_LONGEST_MEMORY, _MEMORY * float(self._taken)))  # type: ignore[arg-type]
        torch._foreach_lerp_(list(self.module.parameters()), list(learning.parameters()), share)
