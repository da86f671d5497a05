"""What the rungs share that are tuned by cross-entropy with a head that is learnt along."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.interfaces import RunContext
from fewtune.tune.batches import Batches, Numbered, Shuffled
from fewtune.tune.linear_head import LinearHead, fit_feature_heads
from fewtune.tune.tuned import TunedCandidate
from fewtune.types import FloatArray, IntArray

if TYPE_CHECKING:
    from fewtune.tune.layers import TunedLayers
    from fewtune.tune.objectives import TextObjective, Views

# Of the head that training begins with: a logistic regression on the frozen features.
_START_STRENGTH = 10.0
_MOST_START_TEXTS = 2_000
# The head is learnt in the training: texts are read after it for the means of the classes alone.
_MOST_MEAN_TEXTS = 500


class CrossEntropyCandidate(TunedCandidate):
    """Layers and head learnt together, by cross-entropy.

    The head is fitted to the frozen features first: a random one would send gradients through the
    layers that spoil them before it has learnt anything (Kumar et al. 2022, arXiv:2202.10054, LP-FT).
    """

    most_read_texts = _MOST_MEAN_TEXTS
    most_start_texts = _MOST_START_TEXTS

    def batches(self, targets: IntArray, size: int, run: RunContext, unit: str) -> Batches:
        """Every example once an epoch, shuffled."""
        return Shuffled(targets, size, lambda epoch: run.generator(unit, "epoch", epoch))

    def objective(
        self, layers: TunedLayers, views: Views, targets: IntArray, classes: int, batches: Numbered
    ) -> TextObjective:
        """Cross-entropy, beginning with a head on the features as they are."""
        from fewtune.tune.objectives import CrossEntropy

        return CrossEntropy(layers, views, targets, batches, start=self.first_head(layers, views, targets, classes))

    @staticmethod
    def first_head(layers: TunedLayers, views: Views, targets: IntArray, classes: int) -> LinearHead:
        """The head that training begins with."""
        some = np.unique(np.linspace(0, len(views) - 1, min(len(views), _MOST_START_TEXTS)).round().astype(int))
        features = layers.features([views[i] for i in some])
        (head,) = fit_feature_heads(features, targets[some], classes, [_START_STRENGTH])
        return head

    def head_settings(self) -> list[dict[str, float]]:
        """The head is the one that was learnt: nothing is tried."""
        return [{}]

    def heads(self, objective: Any, features: FloatArray, targets: IntArray, names: FloatArray) -> Iterator[LinearHead]:
        """The head that was learnt."""
        del features, targets, names
        yield objective.learnt_head()
