"""A tuned network of Transformers' that reads pictures, as the folder that Transformers loads.

Nothing but its bundle is needed: what Transformers makes the network by is kept there, and the weights are read back
from the graph. What is written answers on a picture of noise as the bundle does, or nothing is written.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.bundle.graph_constants import constants
from fewtune.bundle.manifest import Manifest
from fewtune.bundle.model_card import network_card
from fewtune.errors import MissingExtraError, RecipeError
from fewtune.runtime.letterbox import letterbox_from_json
from fewtune.runtime.preprocess import preprocess_from_json
from fewtune.runtime.scaled import scaled_from_json
from fewtune.runtime.session import open_session
from fewtune.types import FloatArray

if TYPE_CHECKING:
    from torch import Tensor, nn

_HOW = "Use --format onnx, which runs in any ONNX runtime."
# For each task, how the names of Transformers' classes for it end.
_ENDINGS = {
    "image-classification": "ForImageClassification",
    "object-detection": "ForObjectDetection",
    "segmentation": "ForSemanticSegmentation",
}
# Scales the shorter side and cuts out the middle, as classifiers here are taught to see.
_CROPPING = "CLIPImageProcessor"
# Largest difference of a probability, or share of a picture's side, on noise: of a graph in float, and of one that
# rounds what it computes too. Of two places that are as good as each other a detector may choose the other.
_SAME, _NEARLY = 1e-3, 0.1
_LEAST_ALIKE = 0.9
# To a side, of that picture of noise, and how far apart their colours are.
_PATCHES, _CONTRAST = 7, 0.25


@dataclass(frozen=True, slots=True)
class _Made:
    """The network of a bundle, made anew.

    Attributes:
        model: of Transformers, for the bundle's labels.
        body: what of it is in the graph under the head that fewtune puts on a classifier, or all of it.
        fixed: identities of parameters that follow from the settings.
        head: what names the classes of a picture; None where that is in the graph like all the rest.
        forward: (n, 3, height, width) pixels to what the graph puts out.
        write: the graph that a bundle of it holds, but for such a head.
        outputs: their names.
        pixels: (1, 3, height, width) of a picture that it reads.
        processor: what Transformers prepares pictures by.
    """

    model: Any
    body: Any
    fixed: frozenset[int]
    head: nn.Linear | None
    forward: Callable[[Tensor], tuple[Tensor, ...]]
    write: Callable[[], bytes]
    outputs: tuple[str, ...]
    pixels: tuple[int, int, int, int]
    processor: Mapping[str, Any]


def is_network(manifest: Manifest) -> bool:
    """Whether a bundle holds a network of Transformers' that reads pictures, and nothing of ours but a classifier."""
    return manifest.task in _ENDINGS and "config" in manifest.backbone


def network_files(bundle: Path, manifest: Manifest, name: str) -> dict[str, bytes]:
    """Name to content of the folder's files.

    Raises:
        MissingExtraError: Transformers is not installed.
        RecipeError: the bundle computes what the network has no place for.
    """
    if manifest.task == "image-classification" and manifest.method == "head":
        raise _no_place(
            "its head reads features at unit length, and what the pretrained network takes the picture for",
            how=f"{_HOW} Or fit with --method partial or full.",
        )
    try:
        from fewtune.backbones.numbered_weights import OtherLayersError, restore_weights
    except ImportError:
        raise MissingExtraError("train", needed_for="Writing for Transformers", where="--format hf") from None
    graph = (bundle / manifest.graphs[0].file).read_bytes()
    made = _made(bundle, manifest)
    try:
        found = restore_weights(made.body, made.fixed, made.write, graph)
    except OtherLayersError as error:
        raise _no_place(f"the network that Transformers makes here has other layers: {error}") from None
    if made.head is not None:
        _fill_head(made.head, graph)
    _check_same(made, graph, _NEARLY if found.in_integers else _SAME)
    return {
        **_saved(made.model, manifest),
        "preprocessor_config.json": _json(made.processor),
        "README.md": network_card(manifest, name, found.untouched).encode(),
    }


def _no_place(why: str, how: str = _HOW) -> RecipeError:
    return RecipeError(f"This bundle has no place in Transformers: {why}.", where="--format hf", how=how)


def _made(bundle: Path, manifest: Manifest) -> _Made:
    import torch
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    labels = {
        "id2label": dict(enumerate(manifest.labels)),
        "label2id": {label: number for number, label in enumerate(manifest.labels)},
    }
    auto = getattr(transformers, f"AutoModel{_ENDINGS[manifest.task]}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(**manifest.backbone["config"], **labels)
        model = auto.from_config(config, dtype=torch.float32).eval()
        make = {
            "image-classification": _classifier,
            "object-detection": _detector,
            "segmentation": _segmenter,
        }[manifest.task]
        return make(model, (bundle / "preprocess.json").read_bytes(), manifest)


def _classifier(model: Any, seen: bytes, manifest: Manifest) -> _Made:
    from torch import nn

    from fewtune.backbones.picture_network import export_onnx, from_transformers

    preprocess = preprocess_from_json(seen, where="preprocess.json")
    size_px = preprocess.size_px
    network = from_transformers(model, size_px)
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not linear or linear[-1].out_features != len(manifest.labels):
        raise _no_place("its classifier is more than a linear layer")
    return _Made(
        model=model,
        body=model.base_model,
        fixed=frozenset(),
        head=linear[-1],
        forward=lambda pixels: (model(pixel_values=pixels).logits,),
        write=lambda: export_onnx(network, size_px, "features"),
        outputs=("logits",),
        pixels=(1, 3, size_px, size_px),
        processor={
            **_scale(_CROPPING, preprocess.interpolation, preprocess.mean, preprocess.std),
            "size": {"shortest_edge": round(size_px / preprocess.crop)},
            "do_center_crop": True,
            "crop_size": {"height": size_px, "width": size_px},
        },
    )


def _detector(model: Any, seen: bytes, manifest: Manifest) -> _Made:
    from fewtune.backbones.detector import export_onnx
    from fewtune.backbones.whole_network import Parts, WholeDetector

    letterbox, backbone = letterbox_from_json(seen, where="preprocess.json"), manifest.backbone
    width, height = letterbox.width_px, letterbox.height_px
    detector = WholeDetector(Parts(model, frozenset()), len(manifest.labels), mirrored=backbone["mirrored"]).eval()
    detector.freeze(0)
    learnt = [some for part in detector.learnt() for some in part]
    return _Made(
        model=detector.model,
        body=detector.model,
        fixed=frozenset(map(id, detector.model.parameters())) - frozenset(map(id, learnt)),
        head=None,
        forward=detector,
        write=lambda: export_onnx(detector, width, height, ["boxes", "scores"]),
        outputs=("boxes", "scores"),
        pixels=(1, 3, height, width),
        processor={
            **_scale(backbone["processor"], letterbox.interpolation, letterbox.mean, letterbox.std),
            "size": {"height": height, "width": width},
            "do_pad": False,
            "do_flip_channel_order": backbone["mirrored"],
        },
    )


def _segmenter(model: Any, seen: bytes, manifest: Manifest) -> _Made:
    from fewtune.backbones.segmenter import export_segmenter
    from fewtune.backbones.whole_network import Parts, WholeSegmenter

    scaled, backbone = scaled_from_json(seen, where="preprocess.json"), manifest.backbone
    size_px = 2 * scaled.stride
    segmenter = WholeSegmenter(Parts(model, frozenset()), len(manifest.labels), mirrored=backbone["mirrored"]).eval()
    return _Made(
        model=segmenter.model,
        body=segmenter.model,
        fixed=frozenset(),
        head=None,
        forward=lambda pixels: (segmenter(pixels),),
        write=lambda: export_segmenter(segmenter, size_px),
        outputs=("logits",),
        pixels=(1, 3, size_px, size_px),
        processor={
            **_scale(backbone["processor"], "bilinear", scaled.mean, scaled.std),
            "size": {"height": scaled.size_px, "width": scaled.size_px},
            "do_center_crop": False,
            "do_flip_channel_order": backbone["mirrored"],
        },
    )


def _scale(kind: str, interpolation: str, mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    """Of an image processor, what does not depend on the task."""
    from PIL import Image

    return {
        "image_processor_type": kind,
        "do_convert_rgb": True,
        "do_resize": True,
        "resample": int(Image.Resampling[interpolation.upper()]),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }


def _fill_head(head: nn.Linear, graph: bytes) -> None:
    """Put the bundle's head on the network; what it reads beside the pooled features, it then takes no notice of."""
    import onnx
    import torch

    known = constants(onnx.load_from_string(graph))
    weight, bias = (np.array(known[f"classifier.{part}"], np.float32) for part in ("weight", "bias"))
    if head.in_features < len(weight) or head.bias is None:
        raise _no_place("its head reads more than the network's own classifier does")
    with torch.no_grad():
        head.weight.zero_()
        head.weight[:, : len(weight)] = torch.from_numpy(np.ascontiguousarray(weight.T))
        head.bias.copy_(torch.from_numpy(bias))


def _check_same(made: _Made, graph: bytes, most: float) -> None:
    """Raise RecipeError where the network answers otherwise than the graph."""
    import torch

    pixels = _noise(made)
    wanted = open_session(graph, 1).run(list(made.outputs), {"pixels": pixels})
    with torch.no_grad():
        given = made.forward(torch.from_numpy(pixels))
    answers, others = (_answers([np.asarray(some) for some in one], made.pixels) for one in (given, wanted))
    # What finds boxes gives them in no order: each counts by the one that is most like it.
    boxes = len(made.outputs) == 2
    apart = np.abs(answers[:, None] - others).max(axis=2).min(axis=1) if boxes else np.abs(answers - others).max(axis=1)
    alike = float((apart <= most).mean())
    if not alike >= _LEAST_ALIKE:
        raise _no_place(f"what Transformers computes with its weights differs in {1 - alike:.0%} of the answers")


def _noise(made: _Made) -> FloatArray:
    """A picture of pale patches, as the network reads it: beyond what was seen when it was calibrated, integers end."""
    patches = 0.5 + _CONTRAST * (np.random.default_rng(0).random((3, _PATCHES, _PATCHES)) - 0.5)
    rows, columns = (np.arange(side) * _PATCHES // side for side in made.pixels[2:])
    mean, std = (np.reshape(made.processor[name], (3, 1, 1)) for name in ("image_mean", "image_std"))
    return ((patches[:, rows][:, :, columns] - mean) / std).astype(np.float32)[None]


def _answers(outputs: list[FloatArray], pixels: tuple[int, int, int, int]) -> FloatArray:
    """(places, values) between 0 and 1: probabilities of a picture or of its pixels, or boxes with their scores."""
    if len(outputs) == 2:
        (boxes,), (scores,) = outputs
        return np.concatenate([boxes / np.tile(pixels[:1:-1], 2), scores], axis=1)
    logits = outputs[0].reshape(*outputs[0].shape[:2], -1)[0].T
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _saved(model: Any, manifest: Manifest) -> dict[str, bytes]:
    """Name to content of what Transformers itself writes."""
    with tempfile.TemporaryDirectory(prefix="fewtune-") as place:
        model.save_pretrained(place)
        files = {path.name: path.read_bytes() for path in sorted(Path(place).iterdir())}
    config = {**json.loads(files["config.json"]), "fewtune_version": manifest.fewtune_version}
    return {**files, "config.json": _json(config)}


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
