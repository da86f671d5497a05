"""A network for pictures as stages that can be cut between, in torch. Imported only where one is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fewtune.backbones.torch_onnx import write_onnx

# Pictures of noise that tell whether the stages, one after the other, are the network.
_TRIED = 2
_TOLERANCE = 1e-4
# Transformers' names for what comes first in a network, and for the parts in a row after it.
_ENTRIES = ("embedder", "embeddings")
_ROWS = ("stages", "layers", "encoder.stages", "encoder.layers", "encoder.layer")
# Of a config, what says nothing of the network.
_OF_THE_CHECKPOINT = ("id2label", "label2id", "dtype", "torch_dtype", "transformers_version", "_name_or_path")


class PictureNetwork(nn.Module):
    """Pixels in, one vector a picture out.

    Attributes:
        stages: run one after the other; the trunk cache cuts between them.
        pool: what the last stage gives, to (n, width).
        classifier: the pretrained network's own (n, width) to (n, its classes) logits; None where it has none.
        config: what Transformers makes the network by; None where it is not of Transformers'.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        pool: nn.Module,
        classifier: nn.Linear | None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Put the parts together; they are in evaluation mode from here on."""
        super().__init__()
        self.config = config
        self.stages = nn.ModuleList(stages)
        self.pool = pool
        self.classifier = classifier
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, size, size) to (n, width)."""
        for stage in self.stages:
            x = stage(x)
        return self.pool(x)


class Trunk(nn.Module):
    """The first stages of a network."""

    def __init__(self, network: PictureNetwork, count: int) -> None:
        """Take `count` stages."""
        super().__init__()
        self.stages = network.stages[:count]

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, size, size) to (n, channels, height, width) maps at the cut."""
        for stage in self.stages:
            x = stage(x)
        return x


class FrozenFeatures(nn.Module):
    """What a head on a frozen network reads.

    The pooled vector at unit length; behind it, where the network has a classifier, the square roots of its
    probabilities, which are of unit length by themselves (Hellinger's distance; as RootSIFT does with
    histograms, Arandjelovic & Zisserman 2012).
    """

    def __init__(self, network: PictureNetwork) -> None:
        """Read `network`."""
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, size, size) to (n, width + classes)."""
        pooled = self.network(x)
        unit = nn.functional.normalize(pooled, dim=1)
        if self.network.classifier is None:
            return unit
        return torch.cat([unit, self.network.classifier(pooled).softmax(dim=1).sqrt()], dim=1)


def export_onnx(module: nn.Module, size_px: int, output: str) -> bytes:
    """A serialised ONNX model: `pixels` (batch, 3, size, size) float32 in, `output` out.

    Batch norm is folded into the convolutions before it.
    """
    return write_onnx(module.eval(), (1, 3, size_px, size_px), {name: {0: "batch"} for name in ("pixels", output)})


def from_timm(model: Any, size_px: int) -> PictureNetwork:
    """A network of timm's; one whose forward pass is more than its parts in a row becomes a single stage."""
    model.eval()
    _make_padding_explicit(model, size_px)
    classifier = model.get_classifier()
    classifier = classifier if isinstance(classifier, nn.Linear) else None
    pool = _Head(model)
    stages = _timm_stages(model)
    if len(stages) > 1:
        network = PictureNetwork(stages, pool, classifier)
        if _same(network, lambda x: pool(model.forward_features(x)), size_px):
            _freeze_others(model, network.stages)
            return network
    return PictureNetwork([_Features(model)], pool, classifier)


def _freeze_others(model: nn.Module, stages: nn.Module) -> None:
    """Keep what is not in the stages as it is, for good: a norm between pooling and classifier, say."""
    learns = {id(some) for some in stages.parameters()}
    for some in model.parameters():
        some.requires_grad_(id(some) in learns and some.requires_grad)


def from_transformers(model: Any, size_px: int, *, classifies: bool = True) -> PictureNetwork:
    """A network that Transformers classifies pictures with.

    Cut where Transformers lists its parts; where more is computed than these in a row, a single stage.

    Args:
        model: for image classification.
        size_px: sides of pictures that it takes.
        classifies: whether its classifier was pretrained too.
    """
    model.eval()
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    whole, pool = _Pooled(model.base_model), _TransformersPool(model.base_model)
    with torch.no_grad():
        width = whole(torch.zeros(1, 3, size_px, size_px)).shape[1]
    # DINOv2's classifier reads the mean of the patches too, and so more than what is pooled.
    known = classifies and bool(linear) and linear[-1].weight.shape == (model.config.num_labels, width)
    classifier = linear[-1] if known else None
    stages = transformers_stages(model.base_model)
    if len(stages) > 1:
        network = PictureNetwork(stages, pool, classifier, config_of(model))
        if _same(network, whole, size_px):
            pool.freeze()
            return network
    return PictureNetwork([whole], nn.Identity(), classifier, config_of(model))


def config_of(model: Any) -> dict[str, Any]:
    """What Transformers makes a model by, but for its labels, its precision and where it came from."""
    config = json.loads(model.config.to_json_string())
    return {name: value for name, value in config.items() if name not in _OF_THE_CHECKPOINT}


def transformers_stages(base: Any) -> list[nn.Module]:
    """What makes maps or tokens of pixels, and the parts that these go through."""
    parts: dict[str, Any] = dict(base.named_modules())
    rows = next((parts[name] for name in _ROWS if isinstance(parts.get(name), nn.ModuleList)), None)
    if rows is None:
        return []
    return [*(parts[name] for name in _ENTRIES if name in parts), *rows]


def _timm_stages(model: Any) -> list[nn.Module]:
    """Timm's own list of where the scale changes tells the cuts; what comes after the last one goes with it."""
    ends = [entry["module"] for entry in getattr(model, "feature_info", [])]
    containers = {end.partition(".")[0] for end in ends if "." in end}
    stages: list[nn.Module] = []
    current: list[nn.Module] = []
    for name, child in model.named_children():
        if name in ("global_pool", "classifier", "fc", "head"):
            break
        parts = list(child.named_children()) if name in containers else [("", child)]
        for inner, part in parts:
            current.append(part)
            if f"{name}.{inner}".rstrip(".") in ends:
                stages.append(nn.Sequential(*current))
                current = []
    if current and stages:
        stages[-1] = nn.Sequential(*stages[-1], *current)
    return stages


@torch.no_grad()
def _same(network: PictureNetwork, whole: Any, size_px: int) -> bool:
    pixels = torch.randn(_TRIED, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))
    try:
        ours, theirs = network(pixels), whole(pixels)
    except (RuntimeError, ValueError, TypeError, AttributeError):
        return False
    return ours.shape == theirs.shape and bool((ours - theirs).abs().max() <= _TOLERANCE * theirs.abs().max())


@torch.no_grad()
def _make_padding_explicit(model: nn.Module, size_px: int) -> None:
    """TensorFlow's "same" padding depends on the size of what comes in, which here is known and fixed.

    As it is, the exporter to ONNX writes it down wrongly.
    """
    from timm.layers.conv2d_same import Conv2dSame

    found = {name: module for name, module in model.named_modules() if isinstance(module, Conv2dSame)}
    sizes: dict[str, tuple[int, int]] = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, args, name=name: sizes.update({name: tuple(args[0].shape[-2:])}))
        for name, module in found.items()
    ]
    if found:
        model(torch.zeros(1, 3, size_px, size_px))
    for hook in hooks:
        hook.remove()
    for name, module in found.items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, _padded(module, sizes[name]))


def _padded(same: nn.Conv2d, size: tuple[int, int]) -> nn.Sequential:
    sides: list[int] = []
    for axis in (1, 0):  # ZeroPad2d takes left, right, top, bottom
        length, stride = size[axis], int(same.stride[axis])
        reach = (int(same.kernel_size[axis]) - 1) * int(same.dilation[axis]) + 1
        total = max((-(-length // stride) - 1) * stride + reach - length, 0)
        sides += [total // 2, total - total // 2]
    plain = nn.Conv2d(
        same.in_channels,
        same.out_channels,
        same.kernel_size,  # type: ignore[arg-type]
        same.stride,  # type: ignore[arg-type]
        dilation=same.dilation,  # type: ignore[arg-type]
        groups=same.groups,
        bias=same.bias is not None,
    )
    plain.load_state_dict(same.state_dict())
    return nn.Sequential(nn.ZeroPad2d((sides[0], sides[1], sides[2], sides[3])), plain)


class _Features(nn.Module):
    """All of a timm network up to its pooling."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward_features(x)


class _Head(nn.Module):
    """The pooling of a timm network, with what little it may have between that and its classifier."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        # Not as a child: all the rest of the network hangs on it.
        self._model = [model]

    def forward(self, x: Tensor) -> Tensor:
        return self._model[0].forward_head(x, pre_logits=True)


class _Pooled(nn.Module):
    """A Transformers backbone: its pooled output, or else the mean of its map, or its first token."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return pooled_output(self.model(x))


def pooled_output(given: Any) -> Tensor:
    """(n, width) of what a Transformers backbone gives."""
    pooled = getattr(given, "pooler_output", None)
    if pooled is not None:
        return pooled.flatten(1)
    last = given.last_hidden_state
    return last.mean((2, 3)) if last.ndim == 4 else last[:, 0]


class _TransformersPool(nn.Module):
    """What a Transformers backbone does after its last part: to a map its pooling, to tokens its norm and pooler."""

    def __init__(self, base: Any) -> None:
        super().__init__()
        norm, pooler = (getattr(base, name, None) for name in ("layernorm", "pooler"))
        # Not as children: a network that is tuned leaves them as they are.
        self._parts = (norm or nn.Identity(), pooler)

    def freeze(self) -> None:
        """Keep the norm and the pooler as they are, for good."""
        for part in self._parts:
            if part is not None:
                part.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        norm, pooler = self._parts
        if x.ndim == 4:
            return norm((pooler(x) if pooler else x.mean((2, 3))).flatten(1))
        x = norm(x)
        return pooler(x) if pooler else x[:, 0]
