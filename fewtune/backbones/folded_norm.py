"""Batch norm whose statistics are kept, computed as part of the convolution before it, in torch.

What is learnt, and every gradient, is the same. But a map is written and read once and not twice, forwards and
backwards: all of EfficientNet-Lite0 is tuned on a processor in about half the time.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fewtune.backbones.picture_network import PictureNetwork

M = TypeVar("M", bound=nn.Module)

_PROBE_PX = 128
_TOLERANCE = 1e-3


class FoldedNorm(nn.Module):
    """A convolution and the batch norm after it, in evaluation mode, as one convolution; both go on learning."""

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        """Take over the parameters of both."""
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.scale, self.shift = norm.weight, norm.bias
        self.register_buffer("mean", norm.running_mean)
        self.register_buffer("variance", norm.running_var)
        self._eps = norm.eps
        self._how: dict[str, Any] = {name: getattr(conv, name) for name in ("stride", "padding", "dilation", "groups")}

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution."""
        factor = self.scale * torch.rsqrt(self.variance + self._eps)  # type: ignore[operator]
        mean = self.mean if self.bias is None else self.mean - self.bias  # type: ignore[operator]
        return self.weight * factor[:, None, None, None], self.shift - mean * factor  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        """As the convolution, and then the norm."""
        weight, bias = self.folded()
        return F.conv2d(x, weight, bias, **self._how)

    @torch.no_grad()
    def settled(self) -> nn.Conv2d:
        """The one convolution, as it is now."""
        weight, bias = self.folded()
        channels = (weight.shape[1] * self._how["groups"], weight.shape[0])
        conv = nn.Conv2d(*channels, tuple(weight.shape[2:]), **self._how)  # type: ignore[arg-type]
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)  # type: ignore[union-attr]
        return conv


@torch.no_grad()
def stages_to_tune(network: PictureNetwork, first: int = 0, last: int | None = None) -> nn.ModuleList:
    """A copy of some of a network's stages, with every norm folded that directly follows a convolution.

    Where that would compute something else, what is listed one after the other being computed otherwise, nothing is
    folded.

    Args:
        network: is left as it is.
        first, last: the stages from `first` on, and before `last`.
    """
    plain = copy.deepcopy(network.stages[first:last])
    if not any(isinstance(module, nn.BatchNorm2d) for module in plain.modules()):
        return plain
    folded = copy.deepcopy(plain)
    _fold(folded)
    pixels = torch.randn(1, 3, _PROBE_PX, _PROBE_PX, generator=torch.Generator().manual_seed(0))
    try:
        below = nn.Sequential(*network.stages[:first])(pixels)
        wanted, given = nn.Sequential(*plain)(below), nn.Sequential(*folded)(below)
    except (RuntimeError, AssertionError, ValueError):  # it takes pictures of one size only
        return plain
    same = float((given - wanted).abs().max()) <= _TOLERANCE * float(wanted.abs().max())
    return folded if same else plain


def _fold(module: nn.Module) -> None:
    last: tuple[nn.Module, str] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and last is not None:
            parent, place = last
            conv = parent.get_submodule(place)
            if isinstance(conv, nn.Conv2d) and _fit(conv, child):
                setattr(parent, place, FoldedNorm(conv, child))
                # A batch norm of timm's has the activation that comes after it in it.
                setattr(module, name, nn.Sequential(*child.children()))
        last = _last_conv(module, name, child)
        if last is None:
            _fold(child)


def _last_conv(module: nn.Module, name: str, child: nn.Module) -> tuple[nn.Module, str] | None:
    """Where a convolution is kept: as a child, or behind what pads for it."""
    if isinstance(child, nn.Conv2d):
        return module, name
    if isinstance(child, nn.Sequential) and len(child) and isinstance(child[-1], nn.Conv2d):
        return child, str(len(child) - 1)
    return None


def _fit(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    return (
        conv.padding_mode == "zeros"
        and norm.weight is not None
        and norm.running_var is not None
        and conv.out_channels == norm.num_features
    )


def settled(module: M) -> M:
    """A copy in which what was folded is plain convolutions: as it is written and read elsewhere."""
    return _settle(copy.deepcopy(module))


def _settle(module: M) -> M:
    for name, child in list(module.named_children()):
        setattr(module, name, child.settled() if isinstance(child, FoldedNorm) else _settle(child))
    return module
