"""A tuned network of Transformers' that reads pictures, as the folder that Transformers loads.

Nothing but its bundle is needed: what Transformers makes the network by is kept there, and the weights are read back
from the graph. What is written answers on a picture of noise as the bundle does, or nothing is written. Imported only
where it is.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from torch import nn
from transformers.utils import logging

from fewtune.backbones.detector import export_onnx as export_detector
from fewtune.backbones.picture_folder import no_place
from fewtune.backbones.picture_network import export_onnx, from_transformers
from fewtune.backbones.remade import Remade
from fewtune.backbones.segmenter import export_segmenter
from fewtune.backbones.whole_network import Parts, WholeDetector, WholeSegmenter
from fewtune.bundle.manifest import Manifest
from fewtune.bundle.model_card import network_card
from fewtune.errors import first_line
from fewtune.runtime.letterbox import letterbox_from_json
from fewtune.runtime.preprocess import preprocess_from_json
from fewtune.runtime.scaled import scaled_from_json

_LIBRARY = "Transformers"
# For each task, how the names of Transformers' classes for it end.
_ENDINGS = {
    "image-classification": "ForImageClassification",
    "object-detection": "ForObjectDetection",
    "segmentation": "ForSemanticSegmentation",
}
# Scales the shorter side and cuts out the middle, as classifiers here are taught to see.
_CROPPING = "CLIPImageProcessor"


@dataclass(frozen=True, slots=True)
class _Network:
    """The network of a bundle, made anew: of Transformers, with what takes the weights and what prepares pictures."""

    model: Any
    remade: Remade
    processor: Mapping[str, Any]


def transformers_network_files(bundle: Path, manifest: Manifest, name: str) -> dict[str, bytes]:
    """Name to content of the folder's files.

    Raises:
        RecipeError: the bundle computes what the network has no place for, or the Transformers that is installed cannot
            make the network.
    """
    network = _network(bundle, manifest)
    found = network.remade.take_weights((bundle / manifest.graphs[0].file).read_bytes())
    return {
        **_saved(network.model, manifest),
        "preprocessor_config.json": _json(network.processor),
        "README.md": network_card(manifest, name, found.untouched).encode(),
    }


def _network(bundle: Path, manifest: Manifest) -> _Network:
    logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _model(manifest)
        make = {
            "image-classification": _classifier,
            "object-detection": _detector,
            "segmentation": _segmenter,
        }[manifest.task]
        return make(model, (bundle / "preprocess.json").read_bytes(), manifest)


def _model(manifest: Manifest) -> Any:
    """The network as Transformers makes it by the bundle's settings, its weights drawn from torch's generator."""
    settings = manifest.backbone["config"]
    kind = str(settings.get("model_type", ""))
    if kind not in transformers.CONFIG_MAPPING:  # its own error lists every one that there is
        raise no_place(_LIBRARY, f"the Transformers that is installed knows no model_type {kind!r}")
    labels = {
        "id2label": dict(enumerate(manifest.labels)),
        "label2id": {label: number for number, label in enumerate(manifest.labels)},
    }
    auto = getattr(transformers, f"AutoModel{_ENDINGS[manifest.task]}")
    try:
        config = transformers.AutoConfig.for_model(**settings, **labels)
        for part in (config, getattr(config, "backbone_config", config)):
            # Before 5.0 Transformers fetches a backbone's pretrained weights where this is set, also by default; here
            # they would only be overwritten.
            if getattr(part, "use_pretrained_backbone", None):
                part.use_pretrained_backbone = False
        return auto.from_config(config, dtype=torch.float32).eval()
    except Exception as error:  # each architecture raises its own
        why = f"the Transformers that is installed cannot make it ({first_line(error)})"
        raise no_place(_LIBRARY, why) from None


def _classifier(model: Any, seen: bytes, manifest: Manifest) -> _Network:
    preprocess = preprocess_from_json(seen, where="preprocess.json")
    size_px = preprocess.size_px
    network = from_transformers(model, size_px)
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not linear or linear[-1].out_features != len(manifest.labels):
        raise no_place(_LIBRARY, "its classifier is more than a linear layer")
    remade = Remade(
        library=_LIBRARY,
        body=model.base_model,
        fixed=frozenset(),
        head=linear[-1],
        forward=lambda pixels: (model(pixel_values=pixels).logits,),
        write=lambda: export_onnx(network, size_px, "features"),
        outputs=("logits",),
        pixels=(1, 3, size_px, size_px),
        mean=preprocess.mean,
        std=preprocess.std,
    )
    processor = {
        **_scale(_CROPPING, preprocess.interpolation, preprocess.mean, preprocess.std),
        "size": {"shortest_edge": round(size_px / preprocess.crop)},
        "do_center_crop": True,
        "crop_size": {"height": size_px, "width": size_px},
    }
    return _Network(model, remade, processor)


def _detector(model: Any, seen: bytes, manifest: Manifest) -> _Network:
    letterbox, backbone = letterbox_from_json(seen, where="preprocess.json"), manifest.backbone
    width, height = letterbox.width_px, letterbox.height_px
    detector = WholeDetector(Parts(model, frozenset()), len(manifest.labels), mirrored=backbone["mirrored"]).eval()
    detector.freeze(0)
    learnt = [some for part in detector.learnt() for some in part]
    remade = Remade(
        library=_LIBRARY,
        body=detector.model,
        fixed=frozenset(map(id, detector.model.parameters())) - frozenset(map(id, learnt)),
        head=None,
        forward=detector,
        write=lambda: export_detector(detector, width, height, ["boxes", "scores"]),
        outputs=("boxes", "scores"),
        pixels=(1, 3, height, width),
        mean=letterbox.mean,
        std=letterbox.std,
    )
    processor = {
        **_scale(backbone["processor"], letterbox.interpolation, letterbox.mean, letterbox.std),
        "size": {"height": height, "width": width},
        "do_pad": False,
        "do_flip_channel_order": backbone["mirrored"],
    }
    return _Network(detector.model, remade, processor)


def _segmenter(model: Any, seen: bytes, manifest: Manifest) -> _Network:
    scaled, backbone = scaled_from_json(seen, where="preprocess.json"), manifest.backbone
    size_px = 2 * scaled.stride
    segmenter = WholeSegmenter(Parts(model, frozenset()), len(manifest.labels), mirrored=backbone["mirrored"]).eval()
    remade = Remade(
        library=_LIBRARY,
        body=segmenter.model,
        fixed=frozenset(),
        head=None,
        forward=lambda pixels: (segmenter(pixels),),
        write=lambda: export_segmenter(segmenter, size_px),
        outputs=("logits",),
        pixels=(1, 3, size_px, size_px),
        mean=scaled.mean,
        std=scaled.std,
    )
    processor = {
        **_scale(backbone["processor"], "bilinear", scaled.mean, scaled.std),
        "size": {"height": scaled.size_px, "width": scaled.size_px},
        "do_center_crop": False,
        "do_flip_channel_order": backbone["mirrored"],
    }
    return _Network(segmenter.model, remade, processor)


def _scale(kind: str, interpolation: str, mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    """Of an image processor, what does not depend on the task."""
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


def _saved(model: Any, manifest: Manifest) -> dict[str, bytes]:
    """Name to content of what Transformers itself writes."""
    with tempfile.TemporaryDirectory(prefix="fewtune-") as place:
        model.save_pretrained(place)
        files = {path.name: path.read_bytes() for path in sorted(Path(place).iterdir())}
    config = {**json.loads(files["config.json"]), "fewtune_version": manifest.fewtune_version}
    return {**files, "config.json": _json(config)}


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
