"""A tuned convolutional network as a folder that timm loads: `timm.create_model("local-dir:FOLDER", pretrained=True)`.

The graph's convolutions hold their batch norms already, and int8 graphs hold steps instead of weights. Both are read
back in the order in which they are computed, into timm's network of that name, whose batch norms then do nothing. What
is written gives the bundle's answers on a picture of noise, or nothing is written.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.bundle.graph_constants import constants
from fewtune.bundle.manifest import Manifest
from fewtune.bundle.model_card import timm_card
from fewtune.errors import MissingExtraError, RecipeError
from fewtune.types import FloatArray

if TYPE_CHECKING:
    from torch import nn

_NAMES = {"efficientnet-lite0": "tf_efficientnet_lite0"}
_HOW = "Use --format onnx, which runs in any ONNX runtime."
# Largest difference of a probability on noise: of a network in float, and of one whose graph rounds activations too.
_SAME, _NEARLY = 1e-3, 0.1


def timm_files(bundle: Path, manifest: Manifest, name: str) -> dict[str, bytes]:
    """Name to content of the folder's files.

    Raises:
        MissingExtraError: timm is not installed.
        RecipeError: the network is none that timm can hold.
    """
    from safetensors.numpy import save

    if manifest.method == "head":
        raise _no_place("its head also reads what the pretrained network takes the picture for")
    architecture, arguments = _architecture(str(manifest.backbone["name"]))
    try:
        import timm
    except ImportError:
        raise MissingExtraError("train", needed_for="Writing for timm", where="--format hf") from None
    if not timm.is_model(architecture):
        raise _no_place(f"timm has no architecture {architecture!r}")
    seen = json.loads((bundle / "preprocess.json").read_text(encoding="utf-8"))
    graph = manifest.graph("classifier")
    network = timm.create_model(architecture, num_classes=len(manifest.labels), **arguments).eval()
    found = _Computed((bundle / graph.file).read_bytes())
    _fill(network, found, int(seen["size_px"]))
    most = _NEARLY if found.in_integers else _SAME
    _check_same(network, bundle / graph.file, int(seen["size_px"]), most)
    config = {
        "architecture": architecture,
        "num_classes": len(manifest.labels),
        "num_features": int(network.num_features),  # type: ignore[arg-type]
        "label_names": list(manifest.labels),
        "model_args": arguments,
        "pretrained_cfg": {
            **{key: seen[key] for key in ("interpolation", "mean", "std")},
            "crop_pct": seen["crop"],
            "input_size": [3, seen["size_px"], seen["size_px"]],
            "num_classes": len(manifest.labels),
            "license": manifest.backbone.get("licence", ""),
        },
        "fewtune_version": manifest.fewtune_version,
    }
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    return {
        "config.json": (json.dumps(config, ensure_ascii=False, indent=2) + "\n").encode(),
        "model.safetensors": save(state, metadata={"format": "pt"}),
        "README.md": timm_card(manifest, name).encode(),
    }


def _architecture(name: str) -> tuple[str, dict[str, Any]]:
    """What timm makes a network by, with which arguments: by its name, or as a folder that timm wrote says."""
    try:
        config = json.loads((Path(name).expanduser() / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _NAMES.get(name, name), {}
    arguments = {key: value for key, value in (config.get("model_args") or {}).items() if key != "num_classes"}
    return str(config.get("architecture", name)), arguments


def _no_place(why: str) -> RecipeError:
    return RecipeError(f"This bundle has no place in timm: {why}.", where="--format hf", how=_HOW)


class _Computed:
    """Weights and biases of a graph's convolutions, in the order in which they are computed, and of its head."""

    def __init__(self, graph: bytes) -> None:
        import onnx

        model = onnx.load_from_string(graph)
        values = constants(model)
        self.convolutions = [
            (values[node.input[1]], values[node.input[2]] if len(node.input) > 2 else None)
            for node in model.graph.node
            if node.op_type == "Conv" and node.input[1] in values
        ]
        self.weight, self.bias = values["classifier.weight"], values["classifier.bias"]
        self.in_integers = any(node.op_type == "DequantizeLinear" for node in model.graph.node)


def _fill(network: nn.Module, found: _Computed, size_px: int) -> None:
    """Put what was found into timm's network.

    Raises:
        RecipeError: it has other layers.
    """
    import torch

    order = _order(network, size_px)
    kinds = [type(module).__name__ for module in order if not _is_kind(module, "Conv2d", "BatchNorm2d", "Linear")]
    convolutions = [module for module in order if _is_kind(module, "Conv2d")]
    if kinds or len(convolutions) != len(found.convolutions):
        raise _no_place("only networks of convolutions with batch norm can be read back")
    behind = {id(first): second for first, second in pairwise(order)}
    with torch.no_grad():
        for module, (weight, bias) in zip(convolutions, found.convolutions, strict=True):
            norm = behind.get(id(module))
            norm = norm if norm is not None and _is_kind(norm, "BatchNorm2d") else None
            place = module.bias if norm is None else norm.bias
            if tuple(module.weight.shape) != weight.shape or (place is None) != (bias is None):
                raise _no_place("its layers are not those of timm's network")
            module.weight.copy_(torch.from_numpy(np.array(weight, np.float32)))
            if place is not None and bias is not None:
                place.copy_(torch.from_numpy(np.array(bias, np.float32)))
            if norm is not None:
                if module.bias is not None:
                    module.bias.zero_()
                norm.weight.fill_(1)
                norm.running_mean.zero_()
                norm.running_var.fill_(1 - norm.eps)
        head: Any = network.get_classifier()  # type: ignore[operator]
        head.weight.copy_(torch.from_numpy(np.array(found.weight.T, np.float32)))
        head.bias.copy_(torch.from_numpy(np.array(found.bias, np.float32)))


def _is_kind(module: nn.Module, *names: str) -> bool:
    """By a class or what it is derived from: timm has its own of each."""
    return any(kind.__name__ in names for kind in type(module).__mro__)


def _order(network: nn.Module, size_px: int) -> list[Any]:
    """The modules that hold weights, in the order in which they are computed."""
    import torch

    order: list[Any] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, _: order.append(module))
        for module in network.modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    with torch.no_grad():
        network(torch.zeros(1, 3, size_px, size_px))
    for hook in hooks:
        hook.remove()
    return order


def _check_same(network: nn.Module, graph: Path, size_px: int, most: float) -> None:
    """Raise RecipeError where the network answers otherwise than the graph."""
    import onnxruntime
    import torch

    pixels = np.random.default_rng(0).normal(size=(2, 3, size_px, size_px)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    (wanted,) = (np.asarray(some) for some in session.run(["logits"], {"pixels": pixels}))
    with torch.no_grad():
        given = network(torch.from_numpy(pixels)).numpy()
    apart = float(np.abs(_probabilities(given) - _probabilities(wanted)).max())
    if not apart <= most:
        raise _no_place(f"what timm computes with its weights differs by {apart:.2g}")


def _probabilities(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
