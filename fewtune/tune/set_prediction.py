"""A pretrained detector in training, with its own loss. Imported only where one is tuned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fewtune.backbones.whole_network import WholeDetector
from fewtune.tune.detection_objective import BoxViews, Phases
from fewtune.tune.loop import Objective
from fewtune.tune.weight_mean import WeightMean

# Of the rate that what stands on the backbone has (Zhao et al. 2023, RT-DETR, arXiv:2304.08069).
_BACKBONE_SHARE = 0.1


class SetPredictionObjective(Objective):
    """A pretrained detector with its own loss, in which each box is found by one query (Carion et al. 2020).

    arXiv:2005.12872. What depends on the classes learns alone at first. Boxes that are to be ignored are not asked for.
    """

    def __init__(self, detector: WholeDetector, views: BoxViews, *, phases: Phases, cut: int) -> None:
        """Learn `detector`.

        Args:
            detector: is trained in place.
            views: what it learns from.
            phases: what is learnt when.
            cut: stages below it stay frozen.
        """
        super().__init__()
        self.detector = detector
        self.mean = WeightMean(detector)
        self._views, self._phases, self._cut = views, phases, cut
        detector.freeze(cut)

    def loss(self, batch: int) -> Tensor:
        """The loss of one batch; its views are drawn from torch's generator, which the loop seeds."""
        self.detector.freeze(len(self.detector.stages) if batch < self._phases.first else self._cut)
        pixels, truths = self._views.draw(batch)
        return self.detector.loss(torch.from_numpy(pixels), [(some.boxes_xyxy, some.labels) for some in truths])

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """What was pretrained at a share of the rate; the backbone at a tenth of that (Zhao et al. 2023)."""
        fresh, backbone, rest = self.detector.learnt()
        share = self._phases.share
        groups = [(fresh, 1.0), (rest, share), (backbone, _BACKBONE_SHARE * share)]
        return [(some, rate) for some, rate in groups if some]

    def after_step(self) -> None:
        """Move the mean of the weights."""
        self.mean.update(self.detector)
