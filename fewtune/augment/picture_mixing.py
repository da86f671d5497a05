"""Several pictures made one: mixup and CutMix of classes, mosaics of boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fewtune.interfaces import PictureAugmentation

if TYPE_CHECKING:
    from torch import Tensor


class MixUp(PictureAugmentation):
    """Two pictures laid over each other, and their labels too (Zhang et al. 2018, arXiv:1710.09412).

    Where the lower stages are frozen their maps are mixed (manifold mixup, Verma et al. 2019, arXiv:1806.05236).
    """

    name = "mixup"
    tasks = ("image-classification",)
    help = "pictures and labels of a batch laid over each other; the strength is alpha of the beta distribution"
    strengths = (0.05, 4.0, 0.2)
    mixes = True

    def mix(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Each example with the one before it."""
        from torchvision.transforms import v2

        return _mixed(v2.MixUp(alpha=self.strength), inputs, targets)


class CutMix(PictureAugmentation):
    """A part of a picture in the place of another's, and their labels by area (Yun et al. 2019, arXiv:1905.04899)."""

    name = "cutmix"
    tasks = ("image-classification",)
    help = "parts of pictures put into others, labels by area; the strength is alpha of the beta distribution"
    strengths = (0.05, 4.0, 1.0)
    mixes = True

    def mix(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Each example with a part of the one before it."""
        from torchvision.transforms import v2

        return _mixed(v2.CutMix(alpha=self.strength), inputs, targets)


def _mixed(transform: Any, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    mixed, soft = transform(inputs, targets)
    return mixed, soft


class Mosaic(PictureAugmentation):
    """Four pictures on one canvas (Bochkovskiy et al. 2020, arXiv:2004.10934); see `PicturePolicy.view`."""

    name = "mosaic"
    tasks = ("object-detection",)
    help = "this share of the views made of four pictures"
    strengths = (0.05, 1.0, 0.5)

    def centre(self, canvas: tuple[int, int]) -> tuple[int, int] | None:
        """Where four pictures meet on a canvas; None where the view is of one."""
        import torch

        if float(torch.rand(())) >= self.strength:
            return None
        shares = torch.empty(2).uniform_(0.3, 0.7).tolist()
        return max(1, round(canvas[0] * shares[0])), max(1, round(canvas[1] * shares[1]))
