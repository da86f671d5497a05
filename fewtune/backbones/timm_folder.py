"""A tuned network of timm's as a folder that it loads: `timm.create_model("local-dir:FOLDER", pretrained=True)`.

Imported only where one is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm
from safetensors.torch import save
from torch import nn

from fewtune.backbones.picture_folder import no_place
from fewtune.backbones.picture_network import export_onnx, from_timm
from fewtune.backbones.remade import Remade
from fewtune.bundle.manifest import Manifest
from fewtune.bundle.model_card import timm_card
from fewtune.runtime.preprocess import preprocess_from_json

_NAMES = {"efficientnet-lite0": "tf_efficientnet_lite0"}


def timm_files(bundle: Path, manifest: Manifest, name: str) -> dict[str, bytes]:
    """Name to content of the folder's files.

    Raises:
        RecipeError: the network is none that timm can hold.
    """
    architecture, arguments = _architecture(str(manifest.backbone["name"]))
    if not timm.is_model(architecture):
        raise no_place("timm", f"it has no architecture {architecture!r}")
    seen = preprocess_from_json((bundle / "preprocess.json").read_bytes(), where="preprocess.json")
    classes, size_px = len(manifest.labels), seen.size_px
    plain: Any = timm.create_model(architecture, num_classes=classes, **arguments)
    model: Any = timm.create_model(architecture, num_classes=classes, **arguments).eval()
    network, head = from_timm(model, size_px), model.get_classifier()
    if not isinstance(head, nn.Linear):
        raise no_place("timm", "its classifier is more than a linear layer")
    Remade(
        library="timm",
        body=model,
        fixed=frozenset(),
        head=head,
        forward=lambda pixels: (model(pixels),),
        write=lambda: export_onnx(network, size_px, "features"),
        outputs=("logits",),
        pixels=(1, 3, size_px, size_px),
        mean=seen.mean,
        std=seen.std,
    ).take_weights((bundle / manifest.graphs[0].file).read_bytes())
    config = {
        "architecture": architecture,
        "num_classes": classes,
        "num_features": int(model.num_features),
        "label_names": list(manifest.labels),
        "model_args": arguments,
        "pretrained_cfg": {
            "interpolation": seen.interpolation,
            "mean": seen.mean,
            "std": seen.std,
            "crop_pct": seen.crop,
            "input_size": [3, size_px, size_px],
            "num_classes": classes,
            "license": manifest.backbone.get("licence", ""),
        },
        "fewtune_version": manifest.fewtune_version,
    }
    # Where padding was made explicit, the weights have other names, and the same order.
    state = dict(zip(plain.state_dict(), (some.contiguous() for some in model.state_dict().values()), strict=True))
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
