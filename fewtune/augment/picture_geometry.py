"""Pictures cut, mirrored, turned and rotated; boxes and masks go along."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fewtune.interfaces import PictureAugmentation

if TYPE_CHECKING:
    from fewtune.augment.scene import Scene


class RandomCrop(PictureAugmentation):
    """Sees a part of the picture, or more than it; see `Frame`, which cuts every view to the size that is wanted."""

    name = "crop"
    help = "parts of the picture at random places and sizes, up to so many times nearer or farther"
    strengths = (1.0, 4.0, 1.5)

    def factor(self, *, farther: bool) -> float:
        """A random scale: its logarithm is uniform; below 1 only where views may see beyond the picture."""
        import torch

        high = math.log(self.strength)
        return math.exp(float(torch.empty(()).uniform_(-high if farther else 0.0, high)))


class HorizontalFlip(PictureAugmentation):
    """Exchanges left and right."""

    name = "flip"
    help = "mirror images, half of the time"
    moves = True

    def change(self, scene: Scene) -> Scene:
        """The scene, or its mirror image."""
        import torch
        from torchvision.transforms.v2 import functional as F

        return scene.moved(F.horizontal_flip) if float(torch.rand(1)) < 0.5 else scene


class VerticalFlip(PictureAugmentation):
    """Exchanges top and bottom: for what has no up, such as cells and tiles."""

    name = "vertical-flip"
    help = "top and bottom exchanged, half of the time"
    moves = True

    def change(self, scene: Scene) -> Scene:
        """The scene, or the scene upside down."""
        import torch
        from torchvision.transforms.v2 import functional as F

        return scene.moved(F.vertical_flip) if float(torch.rand(1)) < 0.5 else scene


class QuarterTurn(PictureAugmentation):
    """Exchanges the two axes; with the flips, every picture in eight ways."""

    name = "turn"
    help = "rows and columns exchanged, half of the time: with the flips, quarter turns"
    moves = True

    def change(self, scene: Scene) -> Scene:
        """The scene, or the scene with its axes exchanged."""
        import torch

        return scene.transposed() if float(torch.rand(())) < 0.5 else scene


class RandomRotation(PictureAugmentation):
    """Rotates by any angle; a box becomes the one around its corners."""

    name = "rotation"
    help = "rotated by up to so many degrees either way"
    strengths = (1.0, 180.0, 15.0)
    moves = True

    def change(self, scene: Scene) -> Scene:
        """The scene, rotated; nothing of it is lost yet."""
        from torchvision.transforms import InterpolationMode, v2

        rotate = v2.RandomRotation(
            [-self.strength, self.strength], InterpolationMode.BILINEAR, expand=True, fill=scene.fills
        )
        return scene.changed(rotate)
