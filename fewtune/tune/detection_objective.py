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

# (n, 3, height, width) float32 pixels to the maps of a frozen trunk.
RunTrunk = Callable[[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True, slots=True)
class Phases:
    """What is learnt when.

    Attributes:
        first: steps in which only pyramid and head are learnt, the whole network being frozen.
        share: of the learning rate that the network's stages get after that.
    """

    first: int
    share: float


class DetectionObjective(Objective):
    """Learns to find boxes; the weights that are delivered are their running mean."""

    def __init__(
        self,
        detector: Detector,
        pictures: Sequence[tuple[np.ndarray, Boxes]],
        batch_of: Numbered,
        *,
        letterbox: Letterbox,
        policy: PicturePolicy,
        phases: Phases,
        whole_trunk: RunTrunk,
        trunk: RunTrunk,
    ) -> None:
        """Learn `detector`.

        Args:
            detector: is trained in place.
            pictures: each about as large as the canvas, with its boxes in its pixels.
            batch_of: places in `pictures` of each batch.
            letterbox: the canvas.
            policy: makes the views.
            phases: what is learnt when.
            whole_trunk: all the maps that the detector reads, by the frozen network.
            trunk: what the detector's own stages read.
        """
        super().__init__()
        self.detector = detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean = WeightMean(self.detector)
        self._pictures = pictures
        self._batch_of = batch_of
        self._letterbox = letterbox
        self._policy = policy
        self._phases = phases
        self._whole_trunk = whole_trunk
        self._trunk = trunk

    def loss(self, batch: int) -> Tensor:
        """The loss of one batch; its views are drawn from torch's generator, which the loop seeds."""
        frame = Frame(self._letterbox.width_px, self._letterbox.height_px)
        views = drawn([self._scene(i) for i in self._batch_of[batch].tolist()], self._policy, frame, self._other)
        pixels = self._letterbox.pixels([view.picture for view in views])
        logits, boxes, maps = self._found(pixels, frozen=batch < self._phases.first)
        places, strides = grid(maps, self.detector.strides)
        return detection_loss(logits, boxes, places, strides, [_truth(view.truth) for view in views])

    def _scene(self, place: int) -> Scene:
        return Scene.of(*self._pictures[place])

    def _other(self) -> Scene:
        """Any of those that are learnt from."""
        return self._scene(int(torch.randint(len(self._pictures), ())))

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
