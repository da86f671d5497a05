"""Transformers' detectors and segmenters as they are learnt, in torch. Imported only where one is loaded."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from fewtune.backbones.picture_network import PictureNetwork, pooled_output, transformers_stages

# Settings of a checkpoint that hold it to pictures of one size, or train what is not used.
_FREE = {"anchor_image_size": None, "eval_size": None, "use_auxiliary_head": False}
# Share of the places that are taken to hold something before anything is learnt (Lin et al. 2017, arXiv:1708.02002).
_PRIOR = {"initializer_bias_prior_prob": 0.01}


@dataclass(frozen=True, slots=True)
class Parts:
    """A pretrained model, and what of it depends on how many classes there are.

    Attributes:
        model: of Transformers; left as it is.
        by_class: names of the weights whose shapes change with the number of classes.
    """

    model: Any
    by_class: frozenset[str]

    @classmethod
    def of(cls, model: Any) -> Parts:
        """Find out, by a model for one class more."""
        with torch.random.fork_rng(devices=[]):
            more = _built(model, model.config.num_labels + 1).state_dict()
        own = model.state_dict()
        return cls(
            model.eval(), frozenset(name for name in own if name in more and own[name].shape != more[name].shape)
        )

    def for_classes(self, count: int) -> Any:
        """A copy for so many classes; what depends on them is drawn from torch's generator."""
        fresh = _built(self.model, count)
        known = {name: some for name, some in self.model.state_dict().items() if name not in self.by_class}
        fresh.load_state_dict({name: known.get(name, some) for name, some in fresh.state_dict().items()})
        return fresh


def _built(model: Any, classes: int) -> Any:
    config = copy.deepcopy(model.config)
    config.num_labels = classes
    for name, value in {**_FREE, **_PRIOR}.items():
        if hasattr(config, name):
            setattr(config, name, value)
    return type(model)(config)


class WholeSegmenter(nn.Module):
    """Pixels in, a logit for every class and some of the pixels out; everything pretrained but the classifier.

    Batch norm keeps the statistics of its pretraining, as in `segmenter.Segmenter`.

    Attributes:
        stages: the pretrained parameters, from the pixels on; the last ones are those of the decoder.
    """

    def __init__(self, parts: Parts, classes: int, *, mirrored: bool) -> None:
        """Take a copy for so many classes; `mirrored`: it reads blue, green and red."""
        super().__init__()
        self.model = parts.for_classes(classes)
        self._mirrored = mirrored
        self._fresh, self.stages = _in_stages(self.model, parts.by_class)
        self.freeze(len(self.stages))

    def freeze(self, count: int) -> None:
        """Let the stages from `count` on learn, and none below."""
        _freeze(self.stages, count)

    def learnt(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """What learns: that which begins from nothing, and that which was pretrained."""
        return self._fresh, [some for stage in self.stages for some in stage if some.requires_grad]

    def train(self, mode: bool = True) -> WholeSegmenter:
        """Change the mode of the decoder; the network below stays as in evaluation, and so does batch norm."""
        super().train(mode)
        _trunk(self.model).eval()
        _keep_statistics(self)
        return self

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, height, width), both multiples of 32, to (n, classes, h, w) logits."""
        return self.model(pixel_values=_in_order(pixels, self._mirrored)).logits


def _in_stages(model: Any, by_class: frozenset[str]) -> tuple[list[nn.Parameter], list[list[nn.Parameter]]]:
    """What begins from nothing, and the pretrained parameters: those of each of the network's parts, then the rest."""
    fresh = [some for name, some in _learnable(model) if name in by_class]
    taken = {id(some) for some in fresh}
    stages = []
    trunk = _trunk(model)
    for part in (*transformers_stages(trunk), trunk, model):
        found = [some for _, some in _learnable(part) if id(some) not in taken]
        taken |= {id(some) for some in found}
        if found:
            stages.append(found)
    return fresh, stages


def _trunk(model: Any) -> nn.Module:
    """The network that a model stands on."""
    return model.backbone if hasattr(model, "backbone") else model.base_model


def _keep_statistics(module: nn.Module) -> None:
    """Leave batch norm in evaluation mode: the statistics of a small batch would be noise."""
    for some in module.modules():
        if isinstance(some, nn.modules.batchnorm._BatchNorm):
            some.eval()


# Parts of a detector by what their names hold, from the pixels on; the rest is its decoder.
_BACKBONE = "backbone"
_ENCODER = ("encoder", "encoder_input_proj", "input_projection", "input_proj")
# Backbone, encoder, decoder.
DETECTOR_STAGES = 3


class WholeDetector(nn.Module):
    """Pixels in, a box and the scores of every query out; everything pretrained but what says which class it is.

    Batch norm keeps the statistics of its pretraining, as in `detector.Detector`.

    Attributes:
        stages: the pretrained parameters of backbone, encoder and decoder.
    """

    def __init__(self, parts: Parts, classes: int, *, mirrored: bool) -> None:
        """Take a copy for so many classes; `mirrored`: it reads blue, green and red."""
        super().__init__()
        self.model = parts.for_classes(classes)
        self._classes, self._mirrored = classes, mirrored
        self._fresh: list[nn.Parameter] = []
        self.stages: list[list[nn.Parameter]] = [[] for _ in range(DETECTOR_STAGES)]
        for name, parameter in _learnable(self.model):
            (self._fresh if name in parts.by_class else self.stages[self._stage(name)]).append(parameter)
        self.freeze(len(self.stages))

    def _stage(self, name: str) -> int:
        names = name.split(".")
        if _BACKBONE in names:
            return 0
        if not hasattr(self.model.base_model, _BACKBONE):  # a YOLOS is a transformer from the pixels on
            return 0 if names[0] == self.model.base_model_prefix else 2
        return 1 if any(part in _ENCODER for part in names) else 2

    def freeze(self, count: int) -> None:
        """Let the stages from `count` on learn, and none below."""
        _freeze(self.stages, count)

    def learnt(self) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
        """What learns: that which begins from nothing, the backbone, and what stands on it."""
        backbone, *rest = ([some for some in stage if some.requires_grad] for stage in self.stages)
        return self._fresh, backbone, [some for stage in rest for some in stage]

    def train(self, mode: bool = True) -> WholeDetector:
        """Change the mode of everything but batch norm."""
        super().train(mode)
        _keep_statistics(self)
        return self

    def loss(self, pixels: Tensor, truths: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """The model's own loss, not a number where what it finds is none.

        Args:
            pixels: (n, 3, height, width).
            truths: n pictures' (m, 4) boxes, left, top, right, bottom in pixels, and (m,) labels.
        """
        targets = [
            {"class_labels": labels, "boxes": box_convert(boxes, "xyxy", "cxcywh") / _sides(pixels)}
            for boxes, labels in truths
        ]
        try:
            return self.model(pixel_values=_in_order(pixels, self._mirrored), labels=targets).loss
        except ValueError:  # that is what Transformers says of boxes without numbers
            if all(bool(some.isfinite().all()) for some in self.model.parameters()):
                raise
            return pixels.new_tensor(float("nan"))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, height, width) to (n, queries, 4) boxes in pixels and (n, queries, classes) scores."""
        given = self.model(pixel_values=_in_order(pixels, self._mirrored))
        centre, half = given.pred_boxes[..., :2], given.pred_boxes[..., 2:] / 2
        # One that knows of "nothing" has it as its last class.
        nothing = given.logits.shape[-1] > self._classes
        scores = given.logits.softmax(-1)[..., :-1] if nothing else given.logits.sigmoid()
        return torch.cat([centre - half, centre + half], -1) * _sides(pixels), scores


def _in_order(pixels: Tensor, mirrored: bool) -> Tensor:
    """The colours in the order that the model was trained on."""
    return pixels.flip(1) if mirrored else pixels


def _sides(pixels: Tensor) -> Tensor:
    """(4,) width, height, and both again."""
    height, width = (float(side) for side in pixels.shape[-2:])
    return torch.tensor([width, height, width, height])


def _learnable(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that are no constants, as a D-FINE has; a DETR's backbone is one by default."""
    found = module.named_parameters()
    return [(name, some) for name, some in found if some.requires_grad or _BACKBONE in name.split(".")]


def _freeze(stages: Sequence[Sequence[nn.Parameter]], count: int) -> None:
    for number, stage in enumerate(stages):
        for parameter in stage:
            parameter.requires_grad_(number >= count)


class _Glance(nn.Module):
    """The last map, or token, of the network that a model stands on, pooled."""

    def __init__(self, trunk: Any) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Tensor) -> Tensor:
        given = self.trunk(x)
        maps = getattr(given, "feature_maps", None)
        return pooled_output(given) if maps is None else maps[-1].mean((2, 3))


def glancing(model: Any, size_px: int) -> PictureNetwork:
    """The network that a model stands on, from pictures of that size to vectors."""
    found = (some for some in model.modules() if hasattr(some, "out_feature_channels") and hasattr(some, "channels"))
    return PictureNetwork([_Glance(next(found, model.base_model))], nn.Identity(), None)
