"""Cross-entropy of translations over the words that the sentences call for, and some more."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fewtune.backbones.translation_network import TranslationNetwork
from fewtune.tune.loop import Objective
from fewtune.tune.translation_data import TranslationBatches


class TranslationObjective(Objective):
    """Every word of a translation after those before it.

    The softmax is taken over the shortlists of the batch's sentences, their translations and a thousand words
    drawn at random (sampled softmax, Jean et al. 2015, arXiv:1412.2007, without its correction: the words that
    matter are always among them).
    """

    def __init__(self, network: TranslationNetwork, batches: TranslationBatches) -> None:
        """Learn `network` from `batches`."""
        super().__init__()
        self.network = network
        self._batches = batches

    def loss(self, batch: int) -> Tensor:
        """Mean over the words of the batch's translations."""
        made = self._batches[batch]
        sources, targets = torch.from_numpy(made.sources), torch.from_numpy(made.targets)
        mask = torch.arange(sources.shape[1]) < torch.from_numpy(made.source_lengths)[:, None]
        counted = torch.arange(targets.shape[1]) < torch.from_numpy(made.target_lengths)[:, None]
        hidden = self.network(sources, mask, targets)[counted]
        output_ids = torch.from_numpy(made.output_ids)
        rows = functional.embedding(output_ids, self.network.target_table)
        logits = torch.addmm(self.network.output_bias[output_ids], hidden, rows.T)
        return functional.cross_entropy(logits, torch.searchsorted(output_ids, targets[counted]))
