"""LoRA: thin matrices learnt beside the frozen ones of every layer (Hu et al. 2021, arXiv:2106.09685), by PEFT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fewtune.tune.batches import Numbered
from fewtune.tune.cross_entropy import CrossEntropyCandidate
from fewtune.tune.search import Range
from fewtune.tune.tuned import SETTINGS, TunedTuner
from fewtune.types import Dataset, IntArray

if TYPE_CHECKING:
    from fewtune.tune.layers import TunedLayers
    from fewtune.tune.objectives import TextObjective, Views


class LoraCandidate(CrossEntropyCandidate):
    """One encoder's upper layers, with adapters."""

    method = "lora"
    most_layers = 6
    learning_rate = 1e-3
    gain = (-0.1, 0.15)

    def objective(
        self, layers: TunedLayers, views: Views, targets: IntArray, classes: int, batches: Numbered
    ) -> TextObjective:
        """Cross-entropy over adapters and head."""
        from fewtune.tune.objectives import LowRank

        rank = int(self.extra_settings()["rank"])
        start = self.first_head(layers, views, targets, classes)
        return LowRank(layers, views, targets, batches, start=start, rank=rank, scale=2 * rank)

    def search_space(self, dataset: Dataset) -> dict[str, Range]:
        """The rank as well."""
        return {**super().search_space(dataset), "rank": Range(2, 32, log=True, whole=True)}

    def extra_settings(self) -> dict[str, float]:
        """The matrices' rank."""
        return {"rank": max(1, int(self._settings.get("rank", 8)))}


class LoraTuner(TunedTuner):
    """Offers LoRA."""

    name = "lora"
    needs = (*TunedTuner.needs, "peft")
    candidate = LoraCandidate
    settings = {**SETTINGS, "rank": "of the adapters' matrices"}
