"""A picture with what is marked in it, as torchvision moves it. Imports torch: imported only where one is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from fewtune.data.boxes import BoolArray, Boxes, areas, clipped
from fewtune.data.mask import IGNORE, ClassIds
from fewtune.types import FloatArray, IntArray

# What is left of a box that a view cuts or covers, at least, for it to be asked for still.
_LEAST_SEEN = 0.4
_LEAST_SIDE_PX = 2.0
_NO_BOXES = np.zeros((0, 4))


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, and what is marked in it.

    Attributes:
        image: (3, height, width) uint8.
        boxes: (m, 4) float32, left, top, right, bottom; they may reach out of the picture until they are `settled`.
        labels, ignored: (m,) of the boxes, as in `Boxes`.
        mask: (height, width) uint8 class ids; None where there is none.
        fill: RGB of what a view sees beyond the picture.
    """

    image: tv_tensors.Image
    boxes: tv_tensors.BoundingBoxes
    labels: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    ignored: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    mask: tv_tensors.Mask | None = None
    fill: tuple[int, int, int] = (127, 127, 127)

    @classmethod
    def of(
        cls,
        picture: np.ndarray,
        boxes: Boxes | None = None,
        ids: ClassIds | None = None,
        *,
        fill: tuple[int, int, int] = (127, 127, 127),
    ) -> Scene:
        """From (height, width, 3) uint8, its boxes in its pixels, and its (height, width) class ids."""
        image = tv_tensors.Image(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
        truth = boxes or Boxes()
        mask = None if ids is None else tv_tensors.Mask(torch.from_numpy(np.array(ids)))
        marked = _as_boxes(truth.boxes_xyxy, (picture.shape[0], picture.shape[1]))
        return cls(image, marked, truth.labels, truth.ignored, mask, fill)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self.image.shape[-2:]
        return int(width), int(height)

    @property
    def picture(self) -> np.ndarray:
        """(height, width, 3) uint8."""
        return np.ascontiguousarray(self.image.as_subclass(torch.Tensor).permute(1, 2, 0).numpy())

    @property
    def truth(self) -> Boxes:
        """The boxes."""
        return Boxes(self._boxes_xyxy, self.labels, self.ignored)

    @property
    def ids(self) -> ClassIds:
        """(height, width) class ids. The scene has a mask."""
        assert self.mask is not None
        return self.mask.as_subclass(torch.Tensor).numpy()

    @property
    def _boxes_xyxy(self) -> FloatArray:
        return self.boxes.as_subclass(torch.Tensor).numpy().astype(np.float64)

    @property
    def _has_boxes(self) -> bool:
        return len(self.labels) > 0

    def changed(self, change: Callable[[Any], Any]) -> Scene:
        """What one of torchvision's transforms makes of picture, boxes and mask together."""
        return self._with(change(self._marked))

    def moved(self, move: Callable[[Any], Any]) -> Scene:
        """What one of torchvision's functions makes of the picture, and of the boxes and the mask likewise."""
        return self._with({name: move(some) for name, some in self._marked.items()})

    @property
    def _marked(self) -> dict[str, Any]:
        """What there is to move; most pictures have no boxes, and moving none takes time, too."""
        marked = {"image": self.image, "boxes": self.boxes if self._has_boxes else None, "mask": self.mask}
        return {name: some for name, some in marked.items() if some is not None}

    def _with(self, done: dict[str, Any]) -> Scene:
        boxes = done["boxes"] if self._has_boxes else _as_boxes(_NO_BOXES, done["image"].shape[-2:])
        return replace(self, image=done["image"], boxes=boxes, mask=done.get("mask"))

    def relit(self, change: Callable[[Any], Any]) -> Scene:
        """What a transform makes of the picture's pixels, which stay where they are."""
        return replace(self, image=change(self.image))

    def transposed(self) -> Scene:
        """Rows and columns exchanged."""
        mask = None if self.mask is None else tv_tensors.Mask(self.mask.as_subclass(torch.Tensor).mT)
        image = tv_tensors.Image(self.image.as_subclass(torch.Tensor).mT)
        return replace(self, image=image, boxes=_as_boxes(self._boxes_xyxy[:, [1, 0, 3, 2]], self.size), mask=mask)

    @property
    def fills(self) -> dict[type | str, Any]:
        """What transforms put where there is nothing of the picture: of a mask, what is passed over."""
        return {tv_tensors.Image: list(self.fill), tv_tensors.Mask: IGNORE, tv_tensors.BoundingBoxes: 0}

    def cut(self, left: int, top: int, right: int, bottom: int, factor: float, canvas: tuple[int, int]) -> Scene:
        """A part of the picture, scaled, on a canvas.

        Args:
            left, top, right, bottom: in pixels; what lies beyond the picture is filled.
            factor: of the scale.
            canvas: width and height in pixels; about what the part has when it is scaled.
        """
        (width, height), (canvas_width, canvas_height) = self.size, canvas
        x, y = _Span.of(left, right, width, factor, canvas_width), _Span.of(top, bottom, height, factor, canvas_height)
        around = [x.start, y.start, canvas_width - x.start - x.length, canvas_height - y.start - y.length]

        def of(seen: Any) -> Any:
            some = F.crop(seen, y.low, x.low, y.high - y.low, x.high - x.low)
            some = F.resize(some, [y.length, x.length], antialias=True)
            return F.pad(some, around, fill=self.fills[type(seen)]) if any(around) else some

        mask = None if self.mask is None else of(self.mask)
        boxes = of(self.boxes) if self._has_boxes else _as_boxes(_NO_BOXES, (canvas[1], canvas[0]))
        return replace(self, image=of(self.image), boxes=boxes, mask=mask)

    def settled(self) -> Scene:
        """Boxes cut at the picture's edges; one of which little is left is ignored, one that is gone is gone."""
        if not self._has_boxes:
            return self
        width, height = self.size
        whole = self._boxes_xyxy
        inside = clipped(whole, width, height)
        there = ((inside[:, 2:] - inside[:, :2]) >= _LEAST_SIDE_PX).all(1)
        little = areas(inside) < _LEAST_SEEN * areas(whole)
        return replace(
            self,
            boxes=_as_boxes(inside[there], (height, width)),
            labels=self.labels[there],
            ignored=(self.ignored | little)[there],
        )

    def covered(self, left: int, top: int, right: int, bottom: int) -> Scene:
        """A rectangle of the picture filled; of the mask it is passed over, and boxes of which little is seen are."""

        def fill(image: Any, value: Any) -> Any:
            return F.erase(image, top, left, bottom - top, right - left, torch.tensor(value, dtype=torch.uint8))

        own = self._boxes_xyxy
        low, high = np.maximum(own[:, :2], [left, top]), np.minimum(own[:, 2:], [right, bottom])
        hidden = np.maximum(high - low, 0).prod(axis=1)
        image = fill(self.image, [[[value]] for value in self.fill])
        mask = self.mask
        if mask is not None:
            ids = mask.as_subclass(torch.Tensor).clone()
            ids[top:bottom, left:right] = IGNORE
            mask = tv_tensors.Mask(ids)
        return replace(
            self, image=image, mask=mask, ignored=self.ignored | (areas(own) - hidden < _LEAST_SEEN * areas(own))
        )


@dataclass(frozen=True, slots=True)
class _Span:
    """One side of a cut: what of the picture is seen, and where that lies on the canvas, in pixels.

    Attributes:
        low, high: in the picture.
        start, length: on the canvas.
    """

    low: int
    high: int
    start: int
    length: int

    @classmethod
    def of(cls, first: int, last: int, side: int, factor: float, room: int) -> _Span:
        """From `first` to `last` of a side, scaled, on a canvas with so much room."""
        low, high = min(max(first, 0), side), min(max(last, 0), side)
        start = min(max(round((low - first) * factor), 0), room - 1)
        return cls(low, high, start, max(min(round((high - first) * factor), room) - start, 1))


def beside(scenes: list[tuple[Scene, tuple[int, int]]], canvas: tuple[int, int]) -> Scene:
    """Scenes on one canvas, each at its place (left, top); together they cover it."""
    width, height = canvas
    image = torch.empty((3, height, width), dtype=torch.uint8)
    boxes, first = [], scenes[0][0]
    for scene, (left, top) in scenes:
        own_width, own_height = scene.size
        image[:, top : top + own_height, left : left + own_width] = scene.image
        boxes.append(scene._boxes_xyxy + np.array([left, top, left, top]))
    return Scene(
        tv_tensors.Image(image),
        _as_boxes(np.concatenate(boxes), (height, width)),
        np.concatenate([scene.labels for scene, _ in scenes]),
        np.concatenate([scene.ignored for scene, _ in scenes]),
        fill=first.fill,
    )


def _as_boxes(boxes_xyxy: FloatArray, size: tuple[int, int]) -> tv_tensors.BoundingBoxes:
    """Boxes that torchvision does not cut: how much of each a view sees is counted at the end."""
    return tv_tensors.BoundingBoxes(
        torch.from_numpy(np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)),
        format=tv_tensors.BoundingBoxFormat.XYXY,
        canvas_size=size,
        clamping_mode=None,
    )  # type: ignore[call-overload]
