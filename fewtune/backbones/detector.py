"""A light detector on the maps of a network for pictures, in torch. Imported only where one is made.

One stage and without anchors, as FCOS (Tian et al. 2019, arXiv:1904.01355): every place of every map says what is
there, and how far away the four sides of its box are. The maps are those of a feature pyramid (Lin et al. 2017,
arXiv:1612.03144). There is no branch for centredness: scores are taught to be the boxes' quality themselves
(tune/box_assignment.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewtune.backbones.folded_norm import settled
from fewtune.backbones.picture_network import PictureNetwork
from fewtune.backbones.torch_onnx import write_onnx

_GROUPS = 16
# Share of the places that are taken to hold something before anything is learnt (Lin et al. 2017, arXiv:1708.02002).
_PRIOR = 0.01
# Natural logarithm of the farthest that a side is away, in strides: beyond, gradients would explode.
_FARTHEST = 5.0
_PROBE_PX = 128


class Trunk(nn.Module):
    """The first stages of a network, with all the maps on the way that a detector reads."""

    def __init__(self, network: PictureNetwork, cut: int, read: Sequence[int]) -> None:
        """Take `cut` stages; those of the stages `read` that are among them are given back, and the last one."""
        super().__init__()
        self.stages = network.stages[:cut]
        self._read = frozenset(read)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(n, 3, height, width) to maps, largest first."""
        return run_stages(self.stages, pixels, 0, self._read)


def run_stages(stages: nn.ModuleList, x: Tensor, first: int, read: frozenset[int]) -> tuple[Tensor, ...]:
    """The maps after the stages that are read, and after the last one; `first` is the number of the first stage."""
    maps = []
    for number, stage in enumerate(stages, first):
        x = stage(x)
        if number in read or number == first + len(stages) - 1:
            maps.append(x)
    return tuple(maps)


@torch.no_grad()
def stage_shapes(network: PictureNetwork) -> list[tuple[int, int]]:
    """(channels, stride) of the maps after every stage; stride 0 where a stage gives no map."""
    x, shapes = torch.zeros(1, 3, _PROBE_PX, _PROBE_PX), []
    for stage in network.stages:
        x = stage(x)
        shapes.append((int(x.shape[1]), _PROBE_PX // int(x.shape[2]) if x.ndim == 4 else 0))
    return shapes


class Pyramid(nn.Module):
    """A feature pyramid: what a map lacks in meaning comes from the one above it."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        """Read maps of so many channels, largest first; make as many maps of `width` channels."""
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps, largest first, to as many."""
        merged = [lateral(some) for lateral, some in zip(self.lateral, maps, strict=True)]
        for number in range(len(merged) - 1, 0, -1):
            merged[number - 1] = merged[number - 1] + F.interpolate(merged[number], scale_factor=2.0)
        return [smooth(some) for smooth, some in zip(self.smooth, merged, strict=True)]


class Head(nn.Module):
    """What every place of every map says; the same for all maps, but for a scale of each."""

    def __init__(self, width: int, classes: int, levels: int, depth: int) -> None:
        """Two branches of `depth` convolutions."""
        super().__init__()
        self.classes = nn.Sequential(*_branch(width, depth), nn.Conv2d(width, classes, 3, padding=1))
        self.sides = nn.Sequential(*_branch(width, depth), nn.Conv2d(width, 4, 3, padding=1))
        self.log_size = nn.Parameter(torch.zeros(levels))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.constant_(self.classes[-1].bias, -math.log((1 - _PRIOR) / _PRIOR))  # type: ignore[arg-type]

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps to (n, places, classes) logits and (n, places, 4) distances of the sides, in strides of their map."""
        logits = [_places(self.classes(some)) for some in maps]
        sides = [
            _places(self.sides(some) + self.log_size[level]).clamp(max=_FARTHEST).exp()
            for level, some in enumerate(maps)
        ]
        return torch.cat(logits, 1), torch.cat(sides, 1)


def _branch(width: int, depth: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.GroupNorm(_GROUPS, width), nn.ReLU()]
    return layers


def _places(x: Tensor) -> Tensor:
    """(n, c, height, width) to (n, height * width, c)."""
    return x.flatten(2).transpose(1, 2)


class Detector(nn.Module):
    """A network for pictures with a pyramid and a head on it.

    Attributes:
        stages: the network's, from `cut` on.
        cut: how many stages are below, frozen, and not in here.
        read: numbers of the stages whose maps the pyramid reads.
        strides: of those maps, in pixels.
    """

    def __init__(
        self,
        stages: nn.ModuleList,
        cut: int,
        read: Sequence[int],
        strides: Sequence[int],
        channels: Sequence[int],
        classes: int,
        *,
        width: int,
        depth: int,
        sizes: Sequence[float],
    ) -> None:
        """Put it together.

        Args:
            stages, cut, read, strides: as the attributes.
            channels: of the maps that are read.
            classes: how many there are.
            width: channels of the pyramid.
            depth: convolutions of each branch of the head.
            sizes: for every map, the side of a typical box in strides: where learning begins.
        """
        super().__init__()
        self.stages = stages
        self.cut = cut
        self.read = tuple(read)
        self.strides = tuple(strides)
        self.pyramid = Pyramid(channels, width)
        self.head = Head(width, classes, len(channels), depth)
        with torch.no_grad():
            self.head.log_size.copy_(torch.tensor([math.log(size / 2) for size in sizes]))

    def train(self, mode: bool = True) -> Detector:
        """Change the mode of everything but batch norm, which keeps the statistics of its pretraining.

        Those of a small batch would be noise (He et al. 2016, arXiv:1512.03385, appendix A).
        """
        super().train(mode)
        for module in self.stages.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def maps(self, below: Sequence[Tensor]) -> list[Tensor]:
        """The maps that the pyramid reads, from what the trunk gives; with a cut of 0, from the pixels."""
        if not len(self.stages):
            return list(below)
        above = run_stages(self.stages, below[-1], self.cut, frozenset(self.read))
        kept = [number for number in self.read if number < self.cut]
        return [*below[: len(kept)], *above]

    def forward(self, below: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What the trunk gives to (n, places, classes) logits and (n, places, 4) boxes in pixels of the canvas."""
        return self.found(self.maps(below))

    def found(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps that the pyramid reads to logits and boxes, as `forward`."""
        merged = self.pyramid(maps)
        logits, sides = self.head(merged)
        places, strides = grid(merged, self.strides)
        reach = sides * strides[:, None]
        return logits, torch.cat([places - reach[..., :2], places + reach[..., 2:]], -1)


def grid(maps: Sequence[Tensor], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(places, 2) x and y of every place's centre in pixels, and (places,) strides."""
    places, widths = [], []
    for some, stride in zip(maps, strides, strict=True):
        height, width = some.shape[-2:]
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        places.append(torch.stack([x.flatten(), y.flatten()], 1) * stride)
        widths.append(torch.full((height * width,), float(stride)))
    return torch.cat(places), torch.cat(widths)


class Whole(nn.Module):
    """Trunk and detector in one: what a bundle holds."""

    def __init__(self, trunk: Trunk | None, detector: Detector) -> None:
        """Run `detector` on `trunk`."""
        super().__init__()
        self.trunk = trunk
        self.detector = detector

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, height, width) to (n, places, 4) boxes in pixels of the canvas and (n, places, classes) scores."""
        below = (pixels,) if self.trunk is None else self.trunk(pixels)
        logits, boxes = self.detector(below)
        return boxes, logits.sigmoid()


def export_onnx(module: nn.Module, width_px: int, height_px: int, outputs: Sequence[str]) -> bytes:
    """A serialised ONNX model: `pixels` (batch, 3, height, width) float32 in, `outputs` out."""
    axes = {name: {0: "batch"} for name in ("pixels", *outputs)}
    return write_onnx(settled(module).eval(), (1, 3, height_px, width_px), axes)
