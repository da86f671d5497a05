"""What every translation network in PyTorch can do. Imported only where one is tuned."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from fewtune.runtime.greedy import StepNetwork


class TranslationNetwork(nn.Module, ABC):
    """A network from sentences to sentences, its output layer apart."""

    @abstractmethod
    def forward(self, input_ids: Tensor, mask: Tensor, target_ids: Tensor) -> Tensor:
        """(batch, target, width) what the output layer reads.

        Args:
            input_ids: (batch, source) words of the sources.
            mask: (batch, source) True where there is a word.
            target_ids: (batch, target) the translations, for a teacher.
        """

    @property
    @abstractmethod
    def target_table(self) -> Tensor:
        """(target words, width) of the output layer."""

    @property
    @abstractmethod
    def output_bias(self) -> Tensor:
        """(target words,)."""

    @abstractmethod
    def add_low_rank(self, rank: int) -> None:
        """Learn thin matrices beside those of the layers, and nothing else (Hu et al. 2021, arXiv:2106.09685).

        What they give is weighted with twice their rank by their rank, as everywhere in fewtune.
        """

    @abstractmethod
    def merge_low_rank(self) -> None:
        """Add what the thin matrices learnt to the layers' own; nothing happens where there are none."""

    def learn_biases(self) -> None:
        """Learn biases and norms, and nothing else (BitFit, Ben Zaken et al. 2022, arXiv:2106.10199)."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(parameter.ndim == 1 or "relative_attention_bias" in name)

    @abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """The weights as they are now."""

    @abstractmethod
    def keep_tuned(self, share: float) -> None:
        """Keep so much of every change since the weights were given: 1 is all of it."""

    @abstractmethod
    def steps(self) -> StepNetwork:
        """The network for decoding, as it is now."""


def copied(values: Tensor) -> np.ndarray:
    """In numpy, float32."""
    return values.detach().float().numpy().copy()


@torch.no_grad()
def keep_share(part: Tensor, given: np.ndarray, share: float) -> None:
    """Move a tensor back towards what was given."""
    before = torch.from_numpy(np.array(given, np.float32)).reshape(part.shape)
    part.copy_(torch.lerp(before, part, share))
