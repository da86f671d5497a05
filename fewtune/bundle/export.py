"""A bundle for other programs: plain ONNX, or the layout that sentence-transformers, Transformers or timm loads."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.export_causal import transformers_files
from fewtune.bundle.export_seq2seq import seq2seq_files
from fewtune.bundle.manifest import Manifest
from fewtune.bundle.model_card import sentence_transformers_card
from fewtune.bundle.read import read_manifest, verify
from fewtune.bundle.write import (
    MANIFEST,
    PRIVATE,
    check_replaceable,
    output_errors,
    replace_folder,
    whole_or_nothing,
    write_file,
)
from fewtune.errors import OutputError, RecipeError, nearest

_ONNX_INSTEAD = "Use --format onnx, which runs in any ONNX runtime."
_NO_PLACE = {
    "object-detection": "Neither Transformers nor timm has a place for fewtune's own pyramid and head on a network.",
    "segmentation": "Neither Transformers nor timm has a place for the decoder that fewtune puts on a network.",
    "translation": "Marian's students have recurrent decoders, which Transformers' Marian has not.",
}
# What is kept whole and so has a place, by task.
_WHOLE = {
    "object-detection": "a detector of Transformers', such as an RT-DETR",
    "segmentation": "a segmenter of Transformers', such as a SegFormer",
}
_HEAD = ("classifier.weight", "classifier.bias")
# The vectors of the tokenizer's pieces, where they are all there is of an encoder.
STATIC_ROWS = "static.embeddings"
# In config.json; it tells an export of ours, which may be overwritten, from another's model.
_MARK = "fewtune_version"
# The same for an export in Marian's format.
MARIAN_MARK = "fewtune.json"
# The graph's other initializers are shapes, axes and scalars.
_PARAMETER = re.compile(r"^(embeddings|encoder)\.")
# What has a row (0) or a column (1) for each head's values or each neuron; the first that fits a name counts.
_PRUNED = {
    ".attention.self.": 0,
    ".attention.output.dense.": 1,
    ".intermediate.dense.": 0,
    ".output.dense.": 1,
}


def export_bundle(bundle: Path, out: Path, *, form: str, with_data: bool = False, overwrite: bool = False) -> list[str]:
    """Write a bundle in another form.

    Args:
        bundle: the bundle.
        out: a folder that is made.
        form: "onnx" (the bundle without its training content) or "hf".
        with_data: keep what holds training content; only form "onnx" has a place for it.
        overwrite: replace an export that stands at `out`.

    Returns:
        The names of the files written, sorted.

    Raises:
        BundleError: the bundle is missing or altered.
        RecipeError: there is no such form, or none for this architecture.
        OutputError: `out` exists or cannot be written to.
    """
    if form not in ("onnx", "hf"):
        raise RecipeError(
            f"There is no format {form!r}.", where="--format", how=nearest(form, ("onnx", "hf", "marian"))
        )
    if with_data and form != "onnx":
        raise RecipeError(
            "This format has no place for training content.", where="--with-data", how="Leave --with-data out."
        )
    manifest = read_manifest(bundle)
    verify(bundle, manifest)
    check_place(bundle, out, overwrite)
    contents = _onnx_files(bundle, manifest, with_data) if form == "onnx" else _hf_files(bundle, manifest, out.name)
    return write_export(contents, out)


def check_place(bundle: Path, out: Path, overwrite: bool) -> None:
    """Refuse an `out` that stands in the way. Raises OutputError where it is not an export of ours to be replaced."""
    check_replaceable(out, overwrite=overwrite, is_ours=_is_export, kind="export")
    if bundle.resolve().is_relative_to(out.resolve()):
        raise OutputError(
            "The export would take the place of the bundle itself.", where=str(out), how="Give another --out."
        )


def _is_export(folder: Path) -> bool:
    if (folder / MANIFEST).is_file() or (folder / MARIAN_MARK).is_file():
        return True
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and _MARK in config


def write_export(contents: Mapping[str, bytes], out: Path) -> list[str]:
    """Write an export whole or not at all; the names of its files, sorted."""
    partial = out.with_name(f".{out.name}.partial")
    with output_errors(out), whole_or_nothing(partial):
        shutil.rmtree(partial, ignore_errors=True)
        for name, content in contents.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            write_file(partial / name, content)
        replace_folder(partial, out)
    return sorted(contents)


def _onnx_files(bundle: Path, manifest: Manifest, with_data: bool) -> dict[str, bytes]:
    names = [*manifest.files, MANIFEST]
    if with_data:
        private = (f"{PRIVATE}/{name}" for name in manifest.private_files)
        names += [name for name in private if (bundle / name).is_file()]
    return {name: (bundle / name).read_bytes() for name in names}


def _hf_files(bundle: Path, manifest: Manifest, name: str) -> dict[str, bytes]:
    """The sentence-transformers layout: Transformer, Pooling, Normalize, Dense; `encode` gives the logits."""
    if manifest.task == "text-generation":
        return transformers_files(bundle, manifest, name)
    if manifest.task == "translation" and "config" in manifest.backbone:
        return seq2seq_files(bundle, manifest, name)
    if "members" in manifest.backbone:
        raise RecipeError(
            "A blend of two models has no place in Transformers or sentence-transformers.",
            where="--format hf",
            how="Use --format onnx, or fit with the --method and --model of one of its members.",
        )
    if manifest.task in _NO_PLACE:
        whole = _WHOLE.get(manifest.task)
        how = f"{_ONNX_INSTEAD} Or fit with {whole}, as --model: that is kept whole." if whole else _ONNX_INSTEAD
        raise RecipeError(_NO_PLACE[manifest.task], where="--format hf", how=how)
    if "static_pieces" in manifest.backbone:
        return _static_files(bundle, manifest, name)
    if "prompt" in manifest.backbone:
        raise RecipeError(
            "Transformers has no place for a causal language model whose answer a linear head reads.",
            where="--format hf",
            how="Use --format onnx, which runs in any ONNX runtime.",
        )
    if "pooling" not in manifest.backbone:
        raise RecipeError(
            f"A {manifest.method} model has no place in Transformers or sentence-transformers: it has no encoder.",
            where="--format hf",
            how=_ONNX_INSTEAD,
        )
    return _encoder_files(bundle, manifest, name)


def _encoder_files(bundle: Path, manifest: Manifest, name: str) -> dict[str, bytes]:
    from safetensors.numpy import save

    tensors = read_parameters((bundle / manifest.graph("classifier").file).read_bytes())
    encoder = {name: value for name, value in tensors.items() if _PARAMETER.match(name)}
    encoder = _with_all_heads(encoder, manifest.backbone["config"])
    weight, bias = (tensors[name] for name in _HEAD)
    backbone = manifest.backbone
    width = weight.shape[0]
    # BertModel always has a pooler; nothing here reads it, and without weights loading would warn of random ones.
    encoder["pooler.dense.weight"] = np.zeros((width, width), np.float32)
    encoder["pooler.dense.bias"] = np.zeros(width, np.float32)
    config = {
        **backbone["config"],
        "architectures": ["BertModel"],
        **_described(manifest),
    }
    pooling = {
        "word_embedding_dimension": width,
        "pooling_mode_mean_tokens": backbone["pooling"] == "mean",
        "pooling_mode_cls_token": backbone["pooling"] == "cls",
    }
    return {
        "modules.json": _json(_modules(backbone["normalised"])),
        "config.json": _json(config),
        "config_sentence_transformers.json": _json({"similarity_fn_name": "cosine"}),
        "sentence_bert_config.json": _json({"max_seq_length": backbone["max_tokens"], "do_lower_case": False}),
        "model.safetensors": save(encoder, metadata={"format": "pt"}),
        "tokenizer.json": (bundle / "tokenizer.json").read_bytes(),
        "tokenizer_config.json": _json(_tokenizer_config(bundle / "tokenizer.json", backbone)),
        "1_Pooling/config.json": _json(pooling),
        **_dense(weight, bias),
        "README.md": sentence_transformers_card(manifest, name).encode(),
    }


def _static_files(bundle: Path, manifest: Manifest, name: str) -> dict[str, bytes]:
    """The sentence-transformers layout of static vectors: StaticEmbedding, Normalize, Dense."""
    from safetensors.numpy import save

    tensors = read_parameters((bundle / manifest.graph("classifier").file).read_bytes())
    weight, bias = (tensors[some] for some in _HEAD)
    kinds = [("0_StaticEmbedding", "StaticEmbedding"), ("2_Normalize", "Normalize"), ("3_Dense", "Dense")]
    return {
        "modules.json": _json(_listed(kinds)),
        "config.json": _json(_described(manifest)),
        "config_sentence_transformers.json": _json({"similarity_fn_name": "cosine"}),
        "0_StaticEmbedding/model.safetensors": save(
            {"embedding.weight": tensors[STATIC_ROWS]}, metadata={"format": "pt"}
        ),
        "0_StaticEmbedding/tokenizer.json": (bundle / "tokenizer.json").read_bytes(),
        **_dense(weight, bias),
        "README.md": sentence_transformers_card(manifest, name).encode(),
    }


def _described(manifest: Manifest) -> dict[str, Any]:
    return {
        "id2label": dict(enumerate(manifest.labels)),
        "label2id": {label: i for i, label in enumerate(manifest.labels)},
        _MARK: manifest.fewtune_version,
    }


def _dense(weight: np.ndarray, bias: np.ndarray) -> dict[str, bytes]:
    """The linear head, (width, classes) and (classes,), as a module of sentence-transformers."""
    from safetensors.numpy import save

    config = {
        "in_features": weight.shape[0],
        "out_features": len(bias),
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    head = {"linear.weight": np.ascontiguousarray(weight.T), "linear.bias": bias}
    return {
        "3_Dense/config.json": _json(config),
        "3_Dense/model.safetensors": save(head, metadata={"format": "pt"}),
    }


def _modules(normalised: bool) -> list[dict[str, Any]]:
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling")]
    if normalised:
        kinds.append(("2_Normalize", "Normalize"))
    kinds.append(("3_Dense", "Dense"))
    return _listed(kinds)


def _listed(kinds: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]


def _tokenizer_config(path: Path, backbone: Mapping[str, Any]) -> dict[str, Any]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    pad = tokenizer.id_to_token(int(backbone["config"].get("pad_token_id", 0)))
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": backbone["max_tokens"],
        "pad_token": pad,
        "model_input_names": ["input_ids", "attention_mask"],
    }


def _with_all_heads(tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Heads and neurons that were pruned put back as zeros, which compute the same: a BertModel has no other place."""
    width, inner = int(config["hidden_size"]), int(config["intermediate_size"])

    def filled(name: str, value: np.ndarray) -> np.ndarray:
        part = next((part for part in _PRUNED if part in name), "")
        if not part:
            return value
        full, axis = (inner if "attention" not in part else width), _PRUNED[part]
        if name.endswith(".bias") and axis == 1:
            return value
        missing = full - value.shape[axis]
        return np.pad(value, [(0, missing if place == axis else 0) for place in range(value.ndim)])

    return {name: filled(name, value) for name, value in tensors.items()}


def read_parameters(graph: bytes) -> dict[str, np.ndarray]:
    """A graph's parameters in float32, those in 4-bit blocks, 8-bit steps or 16 bits unpacked."""
    import onnx
    from onnx import numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(graph).graph.initializer}
    tensors = {}
    for name, value in stored.items():
        base, _, kind = name.rpartition(".")
        if kind == "packed":
            tensors[base] = _unpack_blocks(value, stored[f"{base}.scales"])
        elif kind == "int8":
            tensors[base] = _unpack_steps(value, stored[f"{base}.int8_scales"])
        elif kind == "float16":
            tensors[base] = np.ascontiguousarray(value.T, np.float32)
        elif kind not in ("scales", "int8_scales") and value.dtype == np.float32:
            tensors[name] = value
    return tensors


def _unpack_steps(steps: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """A layer's steps (in, out) with a scale an output, or a table's (rows, columns) with a scale a row, to float32."""
    values = steps.astype(np.float32) * scales
    return np.ascontiguousarray(values.T) if scales.ndim == 1 else values


def _unpack_blocks(packed: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Blocks (rows, blocks, 16) uint8 and their scales (rows, blocks, 1) to (rows, 32 blocks) float32."""
    nibbles = np.concatenate([packed & 15, packed >> 4], axis=2).astype(np.float32)
    return ((nibbles - 8) * scales.astype(np.float32)).reshape(len(packed), -1)


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
