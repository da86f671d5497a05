"""A plain script for masks: segmentation-models-pytorch's FPN on timm's EfficientNet-Lite0, cross-entropy, AdamW.

Views as those of torchvision's reference script: another scale, mirrored, cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from plain_network import shares_of, weights

from fewtune.data.mask import IGNORE, IndexMask, read_mask
from fewtune.data.picture import open_picture
from fewtune.types import Dataset

_SIZE_PX = 384
_CUT_PX = 256
_BATCH = 6
_NEW, _PRETRAINED = 1e-3, 1e-4


def masks_of(dataset: Dataset, paths: Sequence[str], seconds: float, seed: int, threads: int) -> list[IndexMask]:
    """Train for so many seconds, then tell the class of every pixel."""
    import segmentation_models_pytorch as smp
    import torch
    from torch.nn import functional as F
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model = smp.FPN("tu-tf_efficientnet_lite0", encoder_weights=None, classes=len(dataset.labels))
    model.encoder.model.load_state_dict(weights())
    fill: dict[Any, Any] = {tv_tensors.Image: 127, tv_tensors.Mask: IGNORE}
    view = v2.Compose(
        [
            v2.RandomResize(_SIZE_PX * 3 // 8, _SIZE_PX * 3 // 2),
            v2.RandomHorizontalFlip(),
            v2.RandomCrop(_CUT_PX, pad_if_needed=True, fill=fill),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    pictures = [
        (
            tv_tensors.Image(np.asarray(open_picture(example.input)).transpose(2, 0, 1).copy()),
            tv_tensors.Mask(read_mask(example.target).copy()),
        )
        for example in dataset
    ]
    encoder = list(model.encoder.parameters())
    new = [*model.decoder.parameters(), *model.segmentation_head.parameters()]
    optimizer = torch.optim.AdamW([{"params": new}, {"params": encoder}], _NEW, weight_decay=0.02)
    model.train()
    for _ in shares_of(seconds, optimizer, [_NEW, _PRETRAINED]):
        chosen = torch.randint(len(pictures), (_BATCH,)).tolist()
        seen, truths = zip(*(view(*pictures[i]) for i in chosen), strict=True)
        logits = model(torch.stack(seen))
        optimizer.zero_grad()
        F.cross_entropy(logits, torch.stack(truths).long(), ignore_index=IGNORE).backward()
        optimizer.step()
    model.eval()
    found = []
    with torch.no_grad():
        for path in paths:
            picture = torch.from_numpy(np.asarray(open_picture(path)).transpose(2, 0, 1).copy())[None].float() / 255
            height, width = picture.shape[-2:]
            scale = _SIZE_PX / max(height, width)
            size = [32 * max(1, round(side * scale / 32)) for side in (height, width)]
            logits = model((F.interpolate(picture, size, mode="bilinear", antialias=True) - 0.5) / 0.5)
            full = F.interpolate(logits, (height, width), mode="bilinear")
            found.append(IndexMask.from_ids(full.argmax(1)[0].numpy().astype(np.uint8)))
    return found
