"""Folded batch norms compute and learn the same as the norms that they come from."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from fewtune.backbones.folded_norm import FoldedNorm, settled, stages_to_tune  # noqa: E402
from fewtune.backbones.picture_network import PictureNetwork  # noqa: E402


def network(*stages: nn.Module) -> PictureNetwork:
    torch.manual_seed(0)
    for stage in stages:
        for module in stage.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.bias)
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return PictureNetwork(stages, nn.Identity(), None)


def padded(*channels: int, **how: int) -> nn.Sequential:
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(*channels, 3, **how))


def small() -> PictureNetwork:
    first = nn.Sequential(padded(3, 8, stride=2), nn.BatchNorm2d(8, eps=0.1), nn.ReLU())
    second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(8), nn.SiLU())
    return network(first, second)


def test_folded_stages_compute_and_learn_the_same() -> None:
    plain, pixels = small(), torch.randn(2, 3, 16, 16)
    stages = stages_to_tune(plain)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in stages.modules())
    ours, theirs = nn.Sequential(*stages)(pixels), nn.Sequential(*plain.stages)(pixels)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    conv, norm = plain.stages[0][0][1], plain.stages[0][1]
    folded = next(module for module in stages.modules() if isinstance(module, FoldedNorm))
    for mine, its in ((folded.weight, conv.weight), (folded.bias, conv.bias), (folded.scale, norm.weight)):
        torch.testing.assert_close(mine.grad, its.grad, rtol=1e-3, atol=1e-3)


def test_what_was_folded_settles_into_plain_convolutions() -> None:
    plain, pixels = small(), torch.randn(2, 3, 16, 16)
    done = settled(stages_to_tune(plain))
    assert not any(isinstance(module, FoldedNorm | nn.BatchNorm2d) for module in done.modules())
    torch.testing.assert_close(nn.Sequential(*done)(pixels), nn.Sequential(*plain.stages)(pixels), rtol=1e-4, atol=1e-5)


def test_only_the_stages_asked_for_are_copied() -> None:
    plain = small()
    (stage,) = stages_to_tune(plain, 1)
    assert any(isinstance(module, FoldedNorm) for module in stage.modules())
    assert isinstance(plain.stages[1][1], nn.BatchNorm2d)
    assert len(stages_to_tune(plain, 0, 1)) == 1


class _NormFirst(nn.Module):
    """Its parts are listed in another order than they are computed in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x).relu())


def test_a_norm_that_comes_before_its_convolution_is_left_alone() -> None:
    plain, pixels = network(_NormFirst()), torch.randn(2, 3, 16, 16)
    stages = stages_to_tune(plain)
    torch.testing.assert_close(stages[0](pixels), plain.stages[0](pixels))
