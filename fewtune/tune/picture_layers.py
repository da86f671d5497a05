"""The stages that are tuned, in torch: maps at the cut or pixels in, one vector a picture out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fewtune.backbones.folded_norm import settled, stages_to_tune
from fewtune.backbones.picture_network import PictureNetwork
from fewtune.runtime.preprocess import Preprocess
from fewtune.tune.batches import Numbered
from fewtune.tune.linear_head import LinearHead
from fewtune.tune.loop import Objective
from fewtune.tune.picture_store import VIEWS, seen
from fewtune.types import FloatArray, IntArray

# Pictures that go through the stages at once where nothing is learnt.
_PASS = 32


class TunedStages(nn.Module):
    """The stages of a network from a cut on.

    Batch norm keeps the statistics of its pretraining: those of a small batch would be noise (as when
    detectors are tuned, He et al. 2016, arXiv:1512.03385, appendix A).
    """

    def __init__(self, network: PictureNetwork, cut: int) -> None:
        """Copy the stages above `cut`; with 0, all of them."""
        super().__init__()
        self.stages = stages_to_tune(network, cut).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.pool = network.pool
        # Not as children: the frozen stages are no part of a checkpoint, and stay in evaluation mode.
        self._below = tuple(network.stages[:cut])
        self.eval()

    def train(self, mode: bool = True) -> TunedStages:
        """Change the mode of everything but batch norm."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, height, width) maps at the cut to (n, width)."""
        x = x.contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            x = stage(x)
        return self.pool(x)

    def whole(self) -> PictureNetwork:
        """The network with these stages in it, from the pixels on."""
        tuned = settled(self.stages).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return PictureNetwork([*self._below, *tuned], self.pool, None)


class PictureBatches:
    """What goes into the tuned stages for n pictures, view by view: maps from the cache, or pixels."""

    def __init__(self, kept: Sequence[np.ndarray], preprocess: Preprocess | None) -> None:
        """Take what the store keeps.

        Args:
            kept: n arrays (views, channels, height, width) of maps, or, with `preprocess`, (2, size, size, 3) squares.
            preprocess: makes pixels of squares.
        """
        self._kept = kept
        self._preprocess = preprocess

    def __len__(self) -> int:
        """How many pictures."""
        return len(self._kept)

    def take(self, chosen: Sequence[int], views: Sequence[int]) -> Tensor:
        """(m, channels, height, width) float32 of some pictures, each in the view named for it."""
        if self._preprocess is not None:
            squares = [seen(self._kept[i], view) for i, view in zip(chosen, views, strict=True)]
            return torch.from_numpy(self._preprocess.pixels(squares))
        maps = [np.asarray(self._kept[i][view], np.float32) for i, view in zip(chosen, views, strict=True)]
        return torch.from_numpy(np.stack(maps))

    @torch.no_grad()
    def features(self, stages: TunedStages, chosen: IntArray, view: int = 0) -> FloatArray:
        """(m, width) of some pictures in one view, nothing learnt."""
        was_training = stages.training
        stages.eval()
        passes = [chosen[start : start + _PASS].tolist() for start in range(0, len(chosen), _PASS)]
        rows = [stages(self.take(some, [view] * len(some))).numpy() for some in passes]
        stages.train(was_training)
        return np.concatenate(rows)


class PictureObjective(Objective):
    """Cross-entropy with smoothed labels (Szegedy et al. 2016, arXiv:1512.00567).

    Each picture is seen in a view drawn at random.
    """

    def __init__(
        self,
        stages: TunedStages,
        pictures: PictureBatches,
        chosen: IntArray,
        targets: IntArray,
        batch_of: Numbered,
        *,
        start: LinearHead,
        smoothing: float,
    ) -> None:
        """Learn from the pictures `chosen`, beginning with the head `start`; batches hold places in `chosen`."""
        super().__init__()
        self.stages = stages
        self._pictures = pictures
        self._chosen = chosen
        self._targets = torch.from_numpy(targets)
        self._batch_of = batch_of
        self._smoothing = smoothing
        width, classes = start.weight.shape
        self.head = nn.Linear(width, classes)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(np.ascontiguousarray(start.weight.T, np.float32)))
            self.head.bias.copy_(torch.from_numpy(np.asarray(start.bias, np.float32)))

    def loss(self, batch: int) -> Tensor:
        """The loss of one batch; its views are drawn from torch's generator, which the loop seeds."""
        places = self._batch_of[batch]
        views = torch.randint(0, len(VIEWS), (len(places),)).tolist()
        features = self.stages(self._pictures.take(self._chosen[places].tolist(), views))
        targets = self._targets[torch.from_numpy(places)]
        return nn.functional.cross_entropy(self.head(features), targets, label_smoothing=self._smoothing)

    def learnt_head(self) -> LinearHead:
        """The head as it is now."""
        weight, bias = self.head.weight.detach().numpy(), self.head.bias.detach().numpy()
        return LinearHead(np.ascontiguousarray(weight.T), bias.copy())
