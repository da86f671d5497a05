"""The tuned stages hold what is tuned, and put the whole network together again."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from torch import nn  # noqa: E402

from fewtune.backbones.picture_network import PictureNetwork  # noqa: E402
from fewtune.tune.picture_layers import TunedStages  # noqa: E402


def network() -> PictureNetwork:
    stages = [nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5)) for _ in range(3)]
    return PictureNetwork(stages, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), None)


def test_the_frozen_stages_are_neither_saved_nor_switched() -> None:
    whole = network()
    tuned = TunedStages(whole, 2)
    tuned.train()
    assert {name.split(".")[0] for name in tuned.state_dict()} == {"stages"}
    assert tuned.stages.training
    assert not any(module.training for stage in whole.stages for module in stage.modules())


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_the_whole_is_the_network_where_nothing_was_learnt(cut: int) -> None:
    pixels = torch.randn(2, 3, 8, 8)
    whole = network()
    tuned = TunedStages(whole, cut)
    tuned.train()
    with torch.no_grad():
        assert torch.allclose(tuned.whole()(pixels), whole(pixels))
