"""A detector in training: views of pictures in, the loss of what it finds out. Imported only where one is tuned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fewtune.augment.picture_policy import Frame, PicturePolicy
from fewtune.augment.scene import Scene
from fewtune.backbones.detector import Detector, grid
from fewtune.data.boxes import Boxes
from fewtune.runtime.letterbox import Letterbox
from fewtune.tune.batches import Numbered
from fewtune.tune.box_assignment import Truth, detection_loss
from fewtune.tune.loop import Objective
from fewtune.tune.picture_views import drawn
from fewtune.tune.weight_mean import WeightMean
from fewtune.types import FloatArray

# (n, 3, height, width) float32 pixels to the maps of a frozen trunk.
RunTrunk = Callable[[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True, slots=True)
class Phases:
    """What is learnt when.

    Attributes:
        first: steps in which only what begins from nothing is learnt, all that was pretrained being frozen.
        share: of the learning rate that the pretrained stages get after that.
    """

    first: int
    share: float


@dataclass(frozen=True, slots=True)
class BoxViews:
    """Views of pictures on a canvas, their boxes moving along.

    Attributes:
        pictures: each about as large as the canvas, with its boxes in its pixels.
        batch_of: places in `pictures` of each batch.
        letterbox: the canvas.
        policy: makes the views.
    """

    pictures: Sequence[tuple[np.ndarray, Boxes]]
    batch_of: Numbered
    letterbox: Letterbox
    policy: PicturePolicy

    def draw(self, batch: int) -> tuple[FloatArray, list[Truth]]:
        """(n, 3, height, width) pixels of a batch, and what is to be found; drawn from torch's generator."""
        frame = Frame(self.letterbox.width_px, self.letterbox.height_px)
        views = drawn([self._scene(i) for i in self.batch_of[batch].tolist()], self.policy, frame, self._other)
        return self.letterbox.pixels([view.picture for view in views]), [_truth(view.truth) for view in views]

    def _scene(self, place: int) -> Scene:
        return Scene.of(*self.pictures[place])

    def _other(self) -> Scene:
        """Any of those that are learnt from."""
        return self._scene(int(torch.randint(len(self.pictures), ())))


class DetectionObjective(Objective):
    """Learns to find boxes; the weights that are delivered are their running mean."""

    def __init__(
        self, detector: Detector, views: BoxViews, *, phases: Phases, whole_trunk: RunTrunk, trunk: RunTrunk
    ) -> None:
        """Learn `detector`.

        Args:
            detector: is trained in place.
            views: what it learns from.
            phases: what is learnt when.
            whole_trunk: all the maps that the detector reads, by the frozen network.
            trunk: what the detector's own stages read.
        """
        super().__init__()
        self.detector = detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean = WeightMean(self.detector)
        self._views = views
        self._phases = phases
        self._whole_trunk = whole_trunk
        self._trunk = trunk

    def loss(self, batch: int) -> Tensor:
        """The loss of one batch; its views are drawn from torch's generator, which the loop seeds."""
        pixels, truths = self._views.draw(batch)
        logits, boxes, maps = self._found(pixels, frozen=batch < self._phases.first)
        places, strides = grid(maps, self.detector.strides)
        return detection_loss(logits, boxes, places, strides, truths)

    def _found(self, pixels: np.ndarray, *, frozen: bool) -> tuple[Tensor, Tensor, list[Tensor]]:
        below = [_as_tensor(some) for some in (self._whole_trunk if frozen else self._trunk)(pixels)]
        maps = below if frozen else self.detector.maps(below)
        logits, boxes = self.detector.found(maps)
        return logits, boxes, list(maps)

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """The network's stages at a share of the rate that is right for what begins from nothing."""
        new = [*self.detector.pyramid.parameters(), *self.detector.head.parameters()]
        return [(new, 1.0), (list(self.detector.stages.parameters()), self._phases.share)]

    def after_step(self) -> None:
        """Move the mean of the weights."""
        self.mean.update(self.detector)


def _as_tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).contiguous(memory_format=torch.channels_last)


def _truth(truth: Boxes) -> Truth:
    wanted = ~truth.ignored
    boxes = torch.from_numpy(truth.boxes_xyxy.astype(np.float32))
    return Truth(boxes[wanted], torch.from_numpy(truth.labels[wanted]), boxes[~wanted])
