"""A bundle for text generation as a folder that Transformers loads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.bundle.model_card import transformers_card

_STORED = re.compile(r"^(?P<name>(model|lm_head)\..*\.(weight|bias))(?P<kind>\.q8|\.q4|\.turned)?$")


def transformers_files(bundle: Path, manifest: Manifest, name: str) -> dict[str, bytes]:
    """Name to content of the folder's files; weights in float32, what was learnt is in them."""
    from safetensors.numpy import save

    backbone = manifest.backbone
    config = {
        "architectures": [_architecture(str(backbone["config"]["model_type"]))],
        **backbone["config"],
        "dtype": "float32",
        "fewtune_version": manifest.fewtune_version,
    }
    ends = json.loads((bundle / "generation.json").read_text(encoding="utf-8"))["ends"]
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.get("max_position_embeddings"),
        "clean_up_tokenization_spaces": False,
        **backbone["special"],
        **({"chat_template": backbone["chat_template"]} if backbone["chat_template"] else {}),
    }
    return {
        "config.json": _json(config),
        "generation_config.json": _json({"eos_token_id": ends, "do_sample": False}),
        "model.safetensors": save(_parameters(bundle / manifest.graph("decoder").file), metadata={"format": "pt"}),
        "tokenizer.json": (bundle / "tokenizer.json").read_bytes(),
        "tokenizer_config.json": _json(tokenizer),
        "README.md": transformers_card(manifest, name).encode(),
    }


def _architecture(model_type: str) -> str:
    return f"{model_type.capitalize()}ForCausalLM"


def _parameters(path: Path) -> dict[str, np.ndarray]:
    """The graph's parameters in float32, those in blocks unpacked."""
    import onnx
    from onnx import numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer}
    tensors = {}
    for name, value in stored.items():
        found = _STORED.match(name)
        if found is None:
            continue
        if found["kind"] in (".q8", ".q4"):
            value = unpack_blocks(value, stored[f"{name}_scales"])
        elif found["kind"] == ".turned":
            value = np.ascontiguousarray(value.T)
        tensors[found["name"]] = value
    return tensors


def unpack_blocks(packed: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Blocks of MatMulNBits to (out, in) float32.

    Args:
        packed: (out, blocks, 32) uint8 in 8 bits, or (out, blocks, 16) in 4, low nibbles first.
        scales: (out x blocks,) of each block of 32 weights.
    """
    rows, blocks, width = packed.shape
    if width == 32:
        steps = packed.astype(np.float32) - 128
    else:
        steps = np.stack([packed & 15, packed >> 4], axis=3).reshape(rows, blocks, 32).astype(np.float32) - 8
    return (steps * scales.reshape(rows, blocks, 1)).reshape(rows, -1)


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
