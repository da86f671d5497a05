"""Which augmentations of pictures are used, in what order, and what a view of a picture is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from fewtune.augment.picture_geometry import RandomCrop
from fewtune.augment.picture_mixing import Mosaic
from fewtune.augment.policy import AUTO, NONE
from fewtune.errors import RecipeError, nearest
from fewtune.interfaces import PictureAugmentation
from fewtune.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from fewtune.augment.scene import Scene

PICTURE_AUGMENT_HELP = "augmentations of the pictures that are learnt from, with commas between them; none: no views"
# What is right nearly everywhere. Top and bottom, quarter turns and hues are no part of it: streets have an up, and
# traffic lights differ by their colour.
PRESETS: Mapping[str, str] = {
    "image-classification": "crop,flip",
    "object-detection": "crop,light",
    "segmentation": "crop:1.7,flip,light:0.3",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What a network sees of a picture.

    Attributes:
        width_px, height_px: of the view.
        fits: whether a picture is scaled to fit in it; if not, it is seen at the scale that it has.
        farther: whether a view may see beyond the picture.
    """

    width_px: int
    height_px: int
    fits: bool = True
    farther: bool = True

    def cut(self, scene: Scene, crop: RandomCrop | None) -> Scene:
        """A part of a scene, by `crop` nearer or farther, at a random place."""
        width, height = scene.size
        factor = min(self.width_px / width, self.height_px / height) if self.fits else 1.0
        factor *= crop.factor(farther=self.farther) if crop else 1.0
        seen = self.width_px / factor, self.height_px / factor
        left, top = _offset(width, seen[0]), _offset(height, seen[1])
        if (left, top, *seen) == (0, 0, width, height) and factor == 1.0:
            return scene
        right, bottom = left + math.ceil(seen[0]), top + math.ceil(seen[1])
        return scene.cut(left, top, right, bottom, factor, (self.width_px, self.height_px))


def _offset(side: float, seen: float) -> int:
    """Where the view begins: within the picture, or, where it is wider than that, so that all of it is seen."""
    import torch

    return round(float(torch.empty(()).uniform_(min(0.0, side - seen), max(0.0, side - seen))))


@dataclass(frozen=True)
class PicturePolicy:
    """Augmentations that are made one after the other.

    Attributes:
        augmentations: none at all leaves pictures as they are.
    """

    augmentations: tuple[PictureAugmentation, ...] = ()

    @property
    def name(self) -> str:
        """As `--augment` takes it."""
        return ",".join(some.name for some in self.augmentations) or NONE

    @property
    def full_name(self) -> str:
        """As a recipe keeps it, with every strength."""
        return ",".join(some.full_name for some in self.augmentations) or NONE

    @cached_property
    def crops(self) -> RandomCrop | None:
        """What says how near views are."""
        return next((some for some in self.augmentations if isinstance(some, RandomCrop)), None)

    @cached_property
    def _mosaic(self) -> Mosaic | None:
        return next((some for some in self.augmentations if isinstance(some, Mosaic)), None)

    @cached_property
    def mixing(self) -> tuple[PictureAugmentation, ...]:
        """What works on a batch."""
        return tuple(some for some in self.augmentations if some.mixes)

    @cached_property
    def changes_pictures(self) -> bool:
        """Whether it makes views of a picture by itself."""
        return len(self.mixing) < len(self.augmentations)

    def view(self, scene: Scene, frame: Frame, other: Callable[[], Scene] | None = None) -> Scene:
        """A view, drawn from torch's generator: moved, cut, then lit.

        Args:
            scene: a picture with what is marked in it.
            frame: what is seen of it.
            other: draws another picture that may be learnt from, for mosaics.
        """
        centre = self._mosaic.centre((frame.width_px, frame.height_px)) if self._mosaic and other else None
        if centre and other:
            view = self._four([scene, *(other() for _ in range(3))], frame, centre)
        else:
            view = self._cut(scene, frame)
        for some in self.augmentations:
            if not some.moves:
                view = some.change(view)
        return view

    def _cut(self, scene: Scene, frame: Frame) -> Scene:
        for some in self.augmentations:
            if some.moves:
                scene = some.change(scene)
        return frame.cut(scene, self.crops).settled()

    def _four(self, scenes: Sequence[Scene], frame: Frame, centre: tuple[int, int]) -> Scene:
        from fewtune.augment.scene import beside

        x, y = centre
        width, height = frame.width_px, frame.height_px
        corners = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
        parts = []
        for scene, (left, top, right, bottom) in zip(scenes, corners, strict=True):
            part = replace(frame, width_px=right - left, height_px=bottom - top)
            parts.append((self._cut(scene, part), (left, top)))
        return beside(parts, (width, height))

    def mix(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A batch mixed by one of those that mix, drawn at random; targets are (n, classes) probabilities."""
        if not self.mixing:
            return inputs, targets
        import torch

        return self.mixing[int(torch.randint(len(self.mixing), ()))].mix(inputs, targets)


class PicturePolicies:
    """The augmentations of pictures that are known, and the policies that a recipe asks for."""

    def __init__(self, known: Mapping[str, type[PictureAugmentation]]) -> None:
        """Choose among `known`."""
        self._known = known

    def asked(self, recipe: Recipe, task: str) -> PicturePolicy | None:
        """What a recipe names: a policy, an empty one for "none"; None where it says "auto".

        Raises:
            RecipeError: an augmentation is not known, or not for this task.
        """
        wanted = str(recipe.settings.get("augment", recipe.augment))
        return None if wanted == AUTO else self.named(wanted, task)

    def preset(self, task: str, *more: str) -> PicturePolicy:
        """What is right for nearly all pictures of a task, and more that is known to be right for these."""
        return self.named(",".join((PRESETS[task], *more)), task)

    def named(self, names: str, task: str, *, where: str = "--augment") -> PicturePolicy:
        """The policy of some names with commas between them, each with its strength after a colon or without.

        Raises:
            RecipeError: one is not known, not for this task, or its strength is out of range.
        """
        wanted = [name.strip() for name in names.split(",") if name.strip()]
        if wanted == [NONE]:
            return PicturePolicy()
        if not wanted:
            raise RecipeError("No augmentation was named.", where=where, how=f"Known: {', '.join(self.of(task))}.")
        made = [self._made(name, task, where) for name in wanted]
        twice = [some.name for some in made if [other.name for other in made].count(some.name) > 1]
        if twice:
            raise RecipeError(f"The augmentation {twice[0]} is named twice.", where=where, how="Name it once.")
        return PicturePolicy(tuple(made))

    def of(self, task: str) -> list[str]:
        """Names of those that serve a task."""
        return [name for name, some in self._known.items() if task in some.tasks]

    def _made(self, written: str, task: str, where: str) -> PictureAugmentation:
        name, colon, strength = written.partition(":")
        known = self.of(task)
        if name not in known:
            what = f"The augmentation {name!r} is not for {task}." if name in self._known else ""
            raise RecipeError(
                what or f"There is no augmentation {name!r} of pictures.", where=where, how=nearest(name, known)
            )
        try:
            return self._known[name](float(strength) if colon else None)
        except ValueError:
            raise RecipeError(
                f"{written!r} has no number after the colon.", where=where, how=f"For example: {name}:0.5"
            ) from None


@contextmanager
def one_thread() -> Iterator[None]:
    """Pictures of this size are changed faster by one thread than by several that wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
