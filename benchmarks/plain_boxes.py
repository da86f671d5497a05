"""A plain script for boxes: torchvision's FCOS on the maps of timm's EfficientNet-Lite0, AdamW, mirrored pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from plain_network import shares_of, weights

from fewtune.data.boxes import Detections
from fewtune.data.picture import open_picture
from fewtune.types import Dataset

_SHORT_PX, _LONG_PX = 320, 416
_WIDTH = 128
_BATCH = 4
_NEW, _PRETRAINED = 1e-3, 1e-4


def boxes_of(dataset: Dataset, paths: Sequence[str], seconds: float, seed: int, threads: int) -> list[Detections]:
    """Train for so many seconds, then look for what is in the pictures."""
    import timm
    import torch
    from torch import Tensor, nn
    from torchvision.models.detection import FCOS
    from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7
    from torchvision.transforms.v2.functional import horizontal_flip, pil_to_tensor

    torch.set_num_threads(threads)
    torch.manual_seed(seed)

    class Maps(nn.Module):
        """A pyramid on the maps at an eighth, a sixteenth and a thirty-second of the size."""

        out_channels = _WIDTH

        def __init__(self) -> None:
            super().__init__()
            self.network: Any = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3, 4))
            self.network.load_state_dict(weights())
            channels = self.network.feature_info.channels()
            self.pyramid = FeaturePyramidNetwork(channels, _WIDTH, LastLevelP6P7(_WIDTH, _WIDTH))

        def train(self, mode: bool = True) -> Maps:
            super().train(mode)
            self.network.eval()  # batch norm stays as it was pretrained
            return self

        def forward(self, pixels: Tensor) -> dict[str, Tensor]:
            return self.pyramid({str(number): some for number, some in enumerate(self.network(pixels))})

    backbone, mean = Maps(), [0.5, 0.5, 0.5]
    model = FCOS(
        backbone,
        len(dataset.labels),
        min_size=_SHORT_PX,
        max_size=_LONG_PX,
        image_mean=mean,
        image_std=mean,
        score_thresh=0.01,
    )
    pictures = [pil_to_tensor(open_picture(example.input)).float() / 255 for example in dataset]
    pretrained = set(backbone.network.parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [parameter for parameter in model.parameters() if parameter not in pretrained]},
            {"params": list(pretrained)},
        ],
        _NEW,
        weight_decay=0.05,
    )
    model.train()
    for _ in shares_of(seconds, optimizer, [_NEW, _PRETRAINED]):
        seen, targets = [], []
        for i in torch.randperm(len(pictures))[:_BATCH].tolist():
            picture, truth = pictures[i], dataset.examples[i].target
            boxes = torch.from_numpy(truth.boxes_xyxy.astype(np.float32)).reshape(-1, 4)
            if torch.rand(()) < 0.5:
                picture = horizontal_flip(picture)
                left, top, right, bottom = boxes.unbind(1)
                boxes = torch.stack([picture.shape[2] - right, top, picture.shape[2] - left, bottom], 1)
            seen.append(picture)
            targets.append({"boxes": boxes, "labels": torch.from_numpy(truth.labels)})
        optimizer.zero_grad()
        torch.stack(list(model(seen, targets).values())).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
    model.eval()
    found = []
    with torch.no_grad():
        for path in paths:
            (some,) = model([pil_to_tensor(open_picture(path)).float() / 255])
            values = [some[name].numpy() for name in ("boxes", "labels", "scores")]
            found.append(Detections(values[0].astype(np.float64), values[1], values[2].astype(np.float64)))
    return found
