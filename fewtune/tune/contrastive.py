"""Contrastive tuning: texts of one class are drawn together before a linear head is put on them.

As SetFit does (Tunstall et al. 2022, arXiv:2209.11055), but by the supervised contrastive loss, which
compares all texts of a batch with each other in one pass: the cost is linear in the examples, where
pairs are quadratic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fewtune.interfaces import RunContext
from fewtune.tune.batches import Batches, Numbered, Paired
from fewtune.tune.head import NAME_WEIGHTS, HeadTuner
from fewtune.tune.linear_head import LinearHead, fit_feature_heads, heads_seconds
from fewtune.tune.search import Range
from fewtune.tune.tuned import SETTINGS, TunedCandidate, TunedTuner
from fewtune.types import Dataset, FloatArray, IntArray

if TYPE_CHECKING:
    from fewtune.tune.layers import TunedLayers
    from fewtune.tune.objectives import TextObjective, Views

# Tuned features lie closer together than frozen ones, so that weaker heads are of no use.
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)


class ContrastiveCandidate(TunedCandidate):
    """One encoder's upper layers, tuned contrastively."""

    method = "contrastive"
    gain = (-0.25, 0.35)

    def batches(self, targets: IntArray, size: int, run: RunContext, unit: str) -> Batches:
        """Pairs of one class, shuffled."""
        return Paired(targets, size, lambda epoch: run.generator(unit, "epoch", epoch))

    def objective(
        self, layers: TunedLayers, views: Views, targets: IntArray, classes: int, batches: Numbered
    ) -> TextObjective:
        """The supervised contrastive loss."""
        from fewtune.tune.objectives import SupervisedContrastive

        del classes
        return SupervisedContrastive(layers, views, targets, batches, sharpness=self.extra_settings()["sharpness"])

    def head_settings(self) -> list[dict[str, float]]:
        """Strengths of regularisation, with the label names read or not."""
        strengths = [float(self._settings["C"])] if "C" in self._settings else STRENGTHS
        weights = [float(self._settings["label_names"])] if "label_names" in self._settings else NAME_WEIGHTS
        return [{"C": strength, "label_names": weight} for weight in weights for strength in strengths]

    def heads(
        self, objective: TextObjective, features: FloatArray, targets: IntArray, names: FloatArray
    ) -> Iterator[LinearHead]:
        """Logistic regressions, as on a frozen encoder."""
        del objective
        tried = self.head_settings()
        for weight in dict.fromkeys(each["label_names"] for each in tried):
            strengths = [each["C"] for each in tried if each["label_names"] == weight]
            yield from fit_feature_heads(features, targets, len(names), strengths, names=names, name_weight=weight)

    def heads_seconds(self, dataset: Dataset, run: RunContext) -> float:
        """What fitting all heads takes."""
        return heads_seconds(dataset, self._encoder.parts.width, len(self.head_settings()), run)

    def search_space(self, dataset: Dataset) -> dict[str, Range]:
        """What cosines are divided by as well."""
        return {**super().search_space(dataset), "sharpness": Range(0.03, 0.3, log=True)}

    def extra_settings(self) -> dict[str, float]:
        """What cosines are divided by."""
        return {"sharpness": float(self._settings.get("sharpness", 0.1))}


class ContrastiveTuner(TunedTuner):
    """Offers contrastive tuning."""

    name = "contrastive"
    candidate = ContrastiveCandidate
    settings = {
        **SETTINGS,
        "C": HeadTuner.settings["C"],
        "label_names": HeadTuner.settings["label_names"],
        "sharpness": "what cosines are divided by in the contrastive loss; smaller is harder",
    }
