"""A network for pictures with a decoder that gives every pixel a class, in torch. Imported only where one is made.

The decoder is segmentation-models-pytorch's feature pyramid (Kirillov et al. 2019, arXiv:1901.02446), which reads the
maps of the network's own stages; its logits have a quarter of the picture's resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fewtune.backbones.folded_norm import settled, stages_to_tune
from fewtune.backbones.picture_network import PictureNetwork
from fewtune.backbones.torch_onnx import write_onnx
from fewtune.errors import first_line

# Of a map for each scale, largest first: what the decoder reads.
STRIDES = (4, 8, 16, 32)
_PYRAMID_CHANNELS = 128
_DECODER_CHANNELS = 64
_DROPOUT = 0.1
_PROBE_PX = 128


class NoPyramidError(Exception):
    """The network has no maps at the scales that the decoder reads."""


@dataclass(frozen=True, slots=True)
class Scales:
    """Where in a network the decoder reads.

    Attributes:
        stages: index of the stage whose map is read, for each of `STRIDES`.
        channels: of those maps.
    """

    stages: tuple[int, ...]
    channels: tuple[int, ...]


@torch.no_grad()
def find_scales(network: PictureNetwork) -> Scales:
    """The last stage of each scale.

    Raises:
        NoPyramidError: the network does not go through all of the scales.
    """
    x, found = torch.zeros(1, 3, _PROBE_PX, _PROBE_PX), {}
    for number, stage in enumerate(network.stages):
        try:
            x = stage(x)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise NoPyramidError(f"it takes pictures of one size only ({first_line(error)})") from None
        if x.ndim == 4:
            found[_PROBE_PX // int(x.shape[2])] = (number, int(x.shape[1]))
    missing = [str(stride) for stride in STRIDES if stride not in found]
    if missing:
        raise NoPyramidError(f"it has no maps at 1/{', 1/'.join(missing)} of a picture's size")
    stages, channels = zip(*(found[stride] for stride in STRIDES), strict=True)
    return Scales(stages, channels)


class Segmenter(nn.Module):
    """Pixels in, a logit for every class and every fourth pixel out.

    Batch norm keeps the statistics of its pretraining: those of a small batch would be noise (as when detectors are
    tuned, He et al. 2016, arXiv:1512.03385, appendix A). The decoder normalises by groups (Wu & He 2018,
    arXiv:1803.08494), which does not depend on the batch.

    Attributes:
        stages: the network's own, copied; those below `frozen` do not learn.
        frozen: how many of the stages are frozen, from the pixels on.
        decoder: maps of the stages to one map.
        classify: that map to logits.
    """

    def __init__(self, network: PictureNetwork, classes: int) -> None:
        """Put a fresh decoder for so many classes on a copy of the network.

        Raises:
            NoPyramidError: the network does not go through all of the scales.
        """
        from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder

        super().__init__()
        scales = find_scales(network)
        self._read = frozenset(scales.stages)
        self.stages = stages_to_tune(network, 0, scales.stages[-1] + 1)
        self.decoder = FPNDecoder(
            (*[0] * 2, *scales.channels), 5, _PYRAMID_CHANNELS, _DECODER_CHANNELS, dropout=_DROPOUT
        )
        self.classify = nn.Conv2d(_DECODER_CHANNELS, classes, 1)
        self.frozen = 0
        self.freeze(len(self.stages))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def freeze(self, count: int) -> None:
        """Let the stages from `count` on learn, and none below."""
        self.frozen = count
        for number, stage in enumerate(self.stages):
            stage.requires_grad_(number >= count)

    def learnt(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """What learns: that which begins from nothing, and that which was pretrained."""
        return _learnt(self.decoder, self.classify), _learnt(self.stages)

    def train(self, mode: bool = True) -> Segmenter:
        """Change the mode of the decoder; the stages stay as in evaluation."""
        super().train(mode)
        self.stages.eval()
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, height, width), both multiples of 32, to (n, classes, height / 4, width / 4) logits."""
        return self.classify(self.decoder(self._maps(pixels)))

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        x, maps = pixels.contiguous(memory_format=torch.channels_last), []
        for number, stage in enumerate(self.stages):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= self.frozen):
                x = stage(x)
            if number in self._read:
                maps.append(x)
        return maps


def export_segmenter(segmenter: nn.Module, size_px: int) -> bytes:
    """A serialised ONNX model: `pixels` (batch, 3, height, width) float32 in, `logits` out; any multiples of 32."""
    plain = settled(segmenter).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    axes = {
        "pixels": {0: "batch", 2: "height", 3: "width"},
        "logits": {0: "batch", 2: "logits_height", 3: "logits_width"},
    }
    return write_onnx(plain, (1, 3, size_px, size_px), axes)


def _learnt(*modules: nn.Module) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
