"""What a segmenter learns, in torch: views drawn at random, cross-entropy and Dice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewtune.augment.picture_policy import Frame, PicturePolicy
from fewtune.augment.scene import Scene
from fewtune.backbones.segmenter import Segmenter
from fewtune.backbones.whole_network import WholeSegmenter
from fewtune.data.mask import IGNORE
from fewtune.runtime.scaled import Scaled
from fewtune.tune.batches import Numbered
from fewtune.tune.loop import Objective
from fewtune.tune.mask_store import Masked
from fewtune.tune.picture_views import drawn
from fewtune.tune.weight_mean import WeightMean
from fewtune.types import IntArray

# Pixels that both counts of Dice begin with: a class of a few pixels in the batch does not rule the loss.
_SMOOTH = 1.0


@dataclass(frozen=True, slots=True)
class Views:
    """Cuts of pictures at random places, changed by a policy; the mask moves along.

    Attributes:
        crop_px: side of the square that is cut out.
        preprocess: the pictures' size, and what becomes of their pixels.
        policy: makes the views.
    """

    crop_px: int
    preprocess: Scaled
    policy: PicturePolicy

    def draw(self, pictures: Sequence[Masked]) -> tuple[Tensor, Tensor]:
        """A view of each picture, drawn from torch's generator.

        Returns:
            (m, 3, crop, crop) float32 as the network takes them, and (m, crop, crop) int64 class ids.
        """
        red, green, blue = (round(255 * value) for value in self.preprocess.mean)
        scenes = [Scene.of(some[..., :3], ids=some[..., 3], fill=(red, green, blue)) for some in pictures]
        views = drawn(scenes, self.policy, Frame(self.crop_px, self.crop_px, fits=False))
        colours = torch.stack([view.image.as_subclass(Tensor) for view in views]).float() / 255
        mean, std = (torch.tensor(some).view(1, 3, 1, 1) for some in (self.preprocess.mean, self.preprocess.std))
        ids = torch.from_numpy(np.stack([view.ids for view in views])).long()
        return (colours - mean) / std, ids


class MaskObjective(Objective):
    """Cross-entropy plus one minus Dice (Milletari et al. 2016, arXiv:1606.04797) of the classes in the batch.

    What begins from nothing learns alone at first: what its fresh weights would send back would spoil the stages below
    it (Kumar et al. 2022, arXiv:2202.10054). The weights that are delivered are their running mean.
    """

    def __init__(
        self,
        segmenter: Segmenter | WholeSegmenter,
        pictures: Sequence[Masked],
        chosen: IntArray,
        batch_of: Numbered,
        views: Views,
        *,
        cut: int,
        alone: int,
        stages_rate: float,
        dice: float,
    ) -> None:
        """Learn from the pictures `chosen`; batches hold places in `chosen`.

        Args:
            segmenter, pictures, chosen, batch_of, views: what learns, from what.
            cut: stages below it stay frozen.
            alone: steps in which what begins from nothing learns alone.
            stages_rate: the stages' share of the learning rate.
            dice: what Dice counts beside cross-entropy.
        """
        super().__init__()
        self.segmenter = segmenter
        self.mean = WeightMean(segmenter)
        self._pictures, self._chosen, self._batch_of, self._views = pictures, chosen, batch_of, views
        self._cut, self._alone, self._stages_rate, self._dice = cut, alone, stages_rate, dice
        segmenter.freeze(cut)

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """What begins from nothing at all of the learning rate, the stages at a share of it."""
        fresh, stages = self.segmenter.learnt()
        return [(fresh, 1.0), *([(stages, self._stages_rate)] if stages else [])]

    def after_step(self) -> None:
        """Move the mean of the weights."""
        self.mean.update(self.segmenter)

    def loss(self, batch: int) -> Tensor:
        """The loss of one batch; its views are drawn from torch's generator, which the loop seeds."""
        self.segmenter.freeze(len(self.segmenter.stages) if batch < self._alone else self._cut)
        pixels, ids = self._views.draw([self._pictures[i] for i in self._chosen[self._batch_of[batch]]])
        return mask_loss(self.segmenter(pixels), ids, self._dice)


def mask_loss(logits: Tensor, ids: Tensor, dice: float) -> Tensor:
    """Cross-entropy plus `dice` times one minus Dice, both from one pass over the probabilities.

    Args:
        logits: (m, k, h, w), at any resolution.
        ids: (m, height, width) int64; 255 is passed over. Without any other, the loss is 0.
        dice: of Dice.
    """
    full = F.interpolate(logits, size=ids.shape[-2:], mode="bilinear", align_corners=False)
    log_probs = F.log_softmax(full, dim=1)
    known = ids != IGNORE
    if not bool(known.any()):
        return logits.sum() * 0.0
    entropy = F.nll_loss(log_probs, ids, ignore_index=IGNORE)
    return entropy + dice * _dice_loss(log_probs, ids, known) if dice else entropy


def _dice_loss(log_probs: Tensor, ids: Tensor, known: Tensor) -> Tensor:
    classes = log_probs.shape[1]
    probs = log_probs.exp() * known[:, None]
    some = torch.where(known, ids, 0)
    right = probs.gather(1, some[:, None]).flatten()
    both = torch.zeros(classes).index_add(0, some.flatten(), right)
    truth = torch.bincount(ids[known], minlength=classes)
    overlap = (2 * both + _SMOOTH) / (probs.sum(dim=(0, 2, 3)) + truth + _SMOOTH)
    return (1 - overlap)[truth > 0].mean()
