"""Pictures in another light, and with a part covered; things stay where they are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from fewtune.interfaces import PictureAugmentation

if TYPE_CHECKING:
    from fewtune.augment.scene import Scene


class LightJitter(PictureAugmentation):
    """Changes brightness, contrast and saturation; no hue, which may be what tells the classes apart."""

    name = "light"
    help = "brightness, contrast and saturation changed by up to this share"
    strengths = (0.01, 1.0, 0.2)

    @cached_property
    def _jitter(self) -> Any:
        from torchvision.transforms import v2

        return v2.ColorJitter(self.strength, self.strength, self.strength)

    def change(self, scene: Scene) -> Scene:
        """The scene in another light."""
        return scene.relit(self._jitter)


class HueJitter(PictureAugmentation):
    """Changes the hue: only where colour does not matter."""

    name = "hue"
    help = "hues turned by up to this share of the circle either way"
    strengths = (0.01, 0.5, 0.05)

    @cached_property
    def _jitter(self) -> Any:
        from torchvision.transforms import v2

        return v2.ColorJitter(hue=self.strength)

    def change(self, scene: Scene) -> Scene:
        """The scene in other colours."""
        return scene.relit(self._jitter)


class RandomErasing(PictureAugmentation):
    """Covers a rectangle (Zhong et al. 2017, arXiv:1708.04896); what is covered is not asked for."""

    name = "erasing"
    help = "half of the time, a rectangle of up to this share of the picture covered"
    strengths = (0.03, 0.8, 0.2)

    def change(self, scene: Scene) -> Scene:
        """The scene, or the scene with a part of it covered."""
        import torch
        from torchvision.transforms import v2

        if float(torch.rand(())) < 0.5:
            return scene
        found = v2.RandomErasing(p=1.0, scale=(0.02, self.strength)).make_params([scene.image])
        if found["v"] is None:  # no rectangle of that size fits
            return scene
        top, left = int(found["i"]), int(found["j"])
        return scene.covered(left, top, left + int(found["w"]), top + int(found["h"]))
