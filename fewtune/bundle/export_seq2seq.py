"""A bundle for translation as a folder that Transformers loads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.bundle.model_card import translator_card

# Files of a bundle that Transformers reads under the name behind it.
KEPT = "transformers-"
_TURNED = ".turned"
_WEIGHT = re.compile(r"^((model|encoder|decoder|shared|lm_head)\.(.*\.)?(weight|bias)|final_logits_bias)$")


def seq2seq_files(bundle: Path, manifest: Manifest, name: str) -> dict[str, bytes]:
    """Name to content of the folder's files; weights in float32, what was learnt is in them."""
    from safetensors.numpy import save

    config = {**manifest.backbone["config"], "dtype": "float32", "fewtune_version": manifest.fewtune_version}
    if "scale_decoder_outputs" in config:
        # By this T5's config knows whether it scales.
        config["tie_word_embeddings"] = config["scale_decoder_outputs"]
    tensors = {key: value for graph in manifest.graphs for key, value in _parameters(bundle / graph.file).items()}
    if "final_logits_bias" in tensors:
        tensors["final_logits_bias"] = tensors["final_logits_bias"].reshape(1, -1)
    kept = {file.removeprefix(KEPT): (bundle / file).read_bytes() for file in manifest.files if file.startswith(KEPT)}
    generation = json.loads(kept.get("generation_config.json", b"{}")) or dict(manifest.backbone["generation"])
    start = json.loads((bundle / "translation.json").read_text(encoding="utf-8"))["start"]
    generation["decoder_start_token_id"] = start[0]
    if len(start) > 1:  # the code of the target's language
        generation["forced_bos_token_id"] = start[1]
    return {
        **kept,
        "generation_config.json": _json(generation),
        "config.json": _json(config),
        "model.safetensors": save(tensors, metadata={"format": "pt"}),
        "README.md": translator_card(manifest, name).encode(),
    }


def _parameters(path: Path) -> dict[str, np.ndarray]:
    """The weights of a graph under the names of Transformers, in float32; those in fewer bits unpacked."""
    import onnx
    from onnx import numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer}
    found = {}
    for key, value in stored.items():
        name = key
        if key.endswith(".int8"):
            name, value = key.removesuffix(".int8"), value.astype(np.float32) * stored[f"{key}_scales"]
        elif key.endswith(".float16"):
            name = key.removesuffix(".float16")
        if name.endswith(_TURNED):
            name, value = name.removesuffix(_TURNED), value.T
        if _WEIGHT.match(name):
            found[name] = np.ascontiguousarray(value, np.float32)
    return found


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
