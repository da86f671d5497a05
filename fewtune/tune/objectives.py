"""What is minimised. Imported only where something is tuned."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fewtune.tune.batches import Numbered
from fewtune.tune.layers import TunedLayers
from fewtune.tune.linear_head import LinearHead
from fewtune.tune.loop import Objective
from fewtune.types import FloatArray, IntArray

Views = Sequence[FloatArray | IntArray]


class TextObjective(Objective):
    """An objective over batches of labelled texts."""

    def __init__(self, layers: TunedLayers, views: Views, targets: IntArray, batches: Numbered) -> None:
        """Learn from texts.

        Args:
            layers: what is tuned.
            views: n texts as `layers` takes them.
            targets: (n,) class indices.
            batches: which texts each batch holds.
        """
        super().__init__()
        self.layers = layers
        self._views = views
        self._targets = torch.from_numpy(targets)
        self._batches = batches

    def loss(self, batch: int) -> Tensor:
        """The loss of one batch."""
        chosen = self._batches[batch]
        features = self.layers(self.layers.pack([self._views[i] for i in chosen]))
        return self.loss_of(features, self._targets[torch.from_numpy(chosen)])

    @abstractmethod
    def loss_of(self, features: Tensor, targets: Tensor) -> Tensor:
        """The loss of (n, width) features and (n,) class indices."""

    def tensors(self) -> dict[str, np.ndarray]:
        """What the tuned weights have become, under their names in Transformers' `BertModel`."""
        return self.layers.tensors()


class SupervisedContrastive(TextObjective):
    """Texts of one class drawn together, all others pushed apart (Khosla et al. 2020, arXiv:2004.11362, L_out).

    Every text of a batch is compared with every other, so that n texts give their n^2 pairs in one pass.
    """

    def __init__(
        self, layers: TunedLayers, views: Views, targets: IntArray, batches: Numbered, *, sharpness: float
    ) -> None:
        """Learn from texts; `sharpness` is what cosines are divided by (tau in the paper)."""
        super().__init__(layers, views, targets, batches)
        self._sharpness = sharpness

    def loss_of(self, features: Tensor, targets: Tensor) -> Tensor:
        """The mean over all texts that have another of their class in the batch."""
        unit = nn.functional.normalize(features, dim=-1)
        itself = torch.eye(len(targets), dtype=torch.bool)
        cosines = (unit @ unit.T / self._sharpness).masked_fill(itself, -1e9)
        log_share = cosines - torch.logsumexp(cosines, dim=1, keepdim=True)
        kin = (targets[:, None] == targets[None]) & ~itself
        counts = kin.sum(dim=1)
        each = -(log_share * kin).sum(dim=1) / counts.clamp(min=1)
        # A batch without any pair teaches nothing, and must not divide by nothing.
        return each.sum() / (counts > 0).sum().clamp(min=1)


class CrossEntropy(TextObjective):
    """Cross-entropy of a linear head on the features, the head learnt along with the layers."""

    def __init__(
        self, layers: TunedLayers, views: Views, targets: IntArray, batches: Numbered, *, start: LinearHead
    ) -> None:
        """Learn from texts, beginning with the head `start`."""
        super().__init__(layers, views, targets, batches)
        width, classes = start.weight.shape
        self.head = nn.Linear(width, classes)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(np.ascontiguousarray(start.weight.T, np.float32)))
            self.head.bias.copy_(torch.from_numpy(np.asarray(start.bias, np.float32)))

    def loss_of(self, features: Tensor, targets: Tensor) -> Tensor:
        """The mean over the batch."""
        return nn.functional.cross_entropy(self.head(features), targets)

    def learnt_head(self) -> LinearHead:
        """The head as it is now."""
        weight, bias = self.head.weight.detach().numpy(), self.head.bias.detach().numpy()
        return LinearHead(np.ascontiguousarray(weight.T), bias.copy())


class LowRank(CrossEntropy):
    """Cross-entropy with the layers' own weights frozen, and a product of two thin matrices learnt beside each."""

    def __init__(
        self,
        layers: TunedLayers,
        views: Views,
        targets: IntArray,
        batches: Numbered,
        *,
        start: LinearHead,
        rank: int,
        scale: float,
    ) -> None:
        """Learn from texts; the matrices are of `rank`, and their product counts `scale / rank`."""
        from peft import LoraConfig, inject_adapter_in_model

        super().__init__(layers, views, targets, batches, start=start)
        config = LoraConfig(r=rank, lora_alpha=scale, target_modules=["query", "key", "value", "dense"])
        inject_adapter_in_model(config, layers.encoder)

    def tensors(self) -> dict[str, np.ndarray]:
        """The layers' weights with the products added; the layers cannot be trained on after this."""
        from peft.tuners.lora import LoraLayer

        for module in self.layers.modules():
            if isinstance(module, LoraLayer):
                module.merge()  # type: ignore[operator]
        found = self.layers.tensors()
        return {name.replace(".base_layer", ""): value for name, value in found.items() if ".lora_" not in name}
