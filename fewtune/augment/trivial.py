"""TrivialAugment (Müller & Hutter 2021, arXiv:2103.10158) for pictures with boxes and masks too.

torchvision's own is for pictures alone. Of each view one change is made, drawn with its size from the same list.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fewtune.interfaces import PictureAugmentation

if TYPE_CHECKING:
    from fewtune.augment.scene import Scene

_SHEAR, _SHIFT_PX, _ROTATION, _FACTOR = 0.99, 32.0, 135.0, 0.99
_PLACE = ("shear-x", "shear-y", "shift-x", "shift-y", "rotate")
_LIGHT = (
    "nothing",
    "brightness",
    "saturation",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)


class TrivialAugment(PictureAugmentation):
    """One change a view, of any size."""

    name = "trivial"
    help = "one of fourteen changes of place, light or colour, drawn with its size"
    moves = True

    def change(self, scene: Scene) -> Scene:
        """The scene with one change."""
        import torch

        what = (*_PLACE, *_LIGHT)[int(torch.randint(len(_PLACE) + len(_LIGHT), ()))]
        size = float(torch.rand(()))
        signed = size if float(torch.rand(())) < 0.5 else -size
        if what in _PLACE:
            return scene.moved(_move(what, signed, scene.fills))
        return scene.relit(_relit(what, size, signed))


def _move(what: str, signed: float, fills: dict[type | str, Any]) -> Callable[[Any], Any]:
    import math

    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    shear, shift = math.degrees(math.atan(_SHEAR * signed)), round(_SHIFT_PX * signed)

    def of(some: Any) -> Any:
        return F.affine(
            some,
            angle=_ROTATION * signed if what == "rotate" else 0.0,
            translate=[shift if what == "shift-x" else 0, shift if what == "shift-y" else 0],
            scale=1.0,
            shear=[shear if what == "shear-x" else 0.0, shear if what == "shear-y" else 0.0],
            interpolation=InterpolationMode.BILINEAR,
            fill=fills[type(some)],
        )

    return of


def _relit(what: str, size: float, signed: float) -> Callable[[Any], Any]:
    from torchvision.transforms.v2 import functional as F

    factor = 1 + _FACTOR * signed
    return {
        "nothing": lambda image: image,
        "brightness": partial(F.adjust_brightness, brightness_factor=factor),
        "saturation": partial(F.adjust_saturation, saturation_factor=factor),
        "contrast": partial(F.adjust_contrast, contrast_factor=factor),
        "sharpness": partial(F.adjust_sharpness, sharpness_factor=factor),
        "posterize": partial(F.posterize, bits=round(8 - 6 * size)),
        "solarize": partial(F.solarize, threshold=255 * (1 - size)),
        "autocontrast": F.autocontrast,
        "equalize": F.equalize,
    }[what]
