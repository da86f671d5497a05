"""The stages that are tuned, in torch: maps at the cut or pixels in, one vector a picture out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fewtune.augment.picture_policy import PicturePolicy, one_thread
from fewtune.backbones.folded_norm import settled, stages_to_tune
from fewtune.backbones.picture_network import PictureNetwork
from fewtune.runtime.preprocess import Preprocess
from fewtune.tune.batches import Numbered
from fewtune.tune.linear_head import LinearHead
from fewtune.tune.loop import Objective
from fewtune.tune.picture_views import PLAIN, changed
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
        """(n, channels, height, width) maps, or (n, tokens, width), at the cut to (n, width)."""
        if x.ndim == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            x = stage(x)
        return self.pool(x)

    def whole(self) -> PictureNetwork:
        """The network with these stages in it, from the pixels on."""
        tuned = settled(self.stages).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return PictureNetwork([*self._below, *tuned], self.pool, None)


class PictureBatches:
    """What goes into the tuned stages for n pictures: maps of their views from the cache, or pixels of views."""

    def __init__(self, kept: Sequence[np.ndarray], policy: PicturePolicy, preprocess: Preprocess | None = None) -> None:
        """Take what the store keeps.

        Args:
            kept: n arrays (views, channels, height, width) of maps, or, with `preprocess`, (2, size, size, 3) squares.
            policy: made the views, or makes them.
            preprocess: makes pixels of squares.
        """
        self._kept = kept
        self._preprocess = preprocess
        self.policy = policy

    def __len__(self) -> int:
        """How many pictures."""
        return len(self._kept)

    def plain(self, chosen: Sequence[int]) -> Tensor:
        """(m, channels, height, width) float32 of some pictures as predictions see them."""
        if self._preprocess is not None:
            return torch.from_numpy(self._preprocess.pixels([self._kept[i][PLAIN] for i in chosen]))
        return torch.from_numpy(np.stack([np.asarray(self._kept[i][0], np.float32) for i in chosen]))

    def drawn(self, chosen: Sequence[int]) -> Tensor:
        """(m, channels, height, width) float32 of some pictures, each in a view drawn from torch's generator."""
        if self._preprocess is not None:
            if not self.policy.changes_pictures:
                return self.plain(chosen)
            with one_thread():
                views = [changed(self._kept[i], self.policy) for i in chosen]
            return torch.from_numpy(self._preprocess.pixels(views))
        numbers = torch.randint(0, len(self._kept[0]), (len(chosen),)).tolist()
        maps = [np.asarray(self._kept[i][number], np.float32) for i, number in zip(chosen, numbers, strict=True)]
        return torch.from_numpy(np.stack(maps))

    @torch.no_grad()
    def features(self, stages: TunedStages, chosen: IntArray, *, drawn: bool = False) -> FloatArray:
        """(m, width) of some pictures, as predictions see them or in a view that is drawn; nothing is learnt."""
        was_training = stages.training
        stages.eval()
        passes = [chosen[start : start + _PASS].tolist() for start in range(0, len(chosen), _PASS)]
        take = self.drawn if drawn else self.plain
        rows = [stages(take(some)).numpy() for some in passes]
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
        self._targets = nn.functional.one_hot(torch.from_numpy(targets), start.weight.shape[1]).float()
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
        seen = self._pictures.drawn(self._chosen[places].tolist())
        seen, targets = self._pictures.policy.mix(seen, self._targets[torch.from_numpy(places)])
        return nn.functional.cross_entropy(self.head(self.stages(seen)), targets, label_smoothing=self._smoothing)

    def learnt_head(self) -> LinearHead:
        """The head as it is now."""
        weight, bias = self.head.weight.detach().numpy(), self.head.bias.detach().numpy()
        return LinearHead(np.ascontiguousarray(weight.T), bias.copy())
