"""Encoders of BERT's family as a plain BERT: the same layers under other names, positions counted from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from fewtune.backbones.bert_onnx import BertWeights
from fewtune.errors import RecipeError

# Architecture to what its parameters' names begin with in a checkpoint that has a head.
_PREFIXES = {
    "bert": "bert.",
    "roberta": "roberta.",
    "xlm-roberta": "roberta.",
    "camembert": "roberta.",
    "electra": "electra.",
    "distilbert": "distilbert.",
}
# RoBERTa and its kin number a text's tokens from here: the padding's id and one more.
_FIRST_POSITION = {"roberta", "xlm-roberta", "camembert"}
_DISTILBERT_NAMES = (
    (r"^transformer\.layer\.", "encoder.layer."),
    (r"\.attention\.q_lin\.", ".attention.self.query."),
    (r"\.attention\.k_lin\.", ".attention.self.key."),
    (r"\.attention\.v_lin\.", ".attention.self.value."),
    (r"\.attention\.out_lin\.", ".attention.output.dense."),
    (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
    (r"\.ffn\.lin1\.", ".intermediate.dense."),
    (r"\.ffn\.lin2\.", ".output.dense."),
    (r"\.output_layer_norm\.", ".output.LayerNorm."),
)
_DISTILBERT_CONFIG = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}
_OLD_NAMES = ((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias"))
_PARAMETER = re.compile(r"^(embeddings|encoder\.layer)\.")


def as_bert(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], *, where: str) -> BertWeights:
    """Read an encoder of the family as a BERT.

    Args:
        config: of Transformers, with its `model_type`.
        tensors: parameter name to value, as the checkpoint has them.
        where: the model's place, for messages.

    Raises:
        RecipeError: it is of another architecture, is not an encoder, or lacks a weight.
    """
    kind = str(config.get("model_type", "model of unknown type"))
    if kind not in _PREFIXES:
        raise RecipeError(
            f"This is a {kind!r}, which is not among the encoders that can be used here: {', '.join(_PREFIXES)}.",
            where=where,
            how="Choose one of `fewtune models`, or an encoder of one of these architectures.",
        )
    named = {_name(name, kind): value for name, value in tensors.items()}
    found = {name: value for name, value in named.items() if _PARAMETER.match(name) and "position_ids" not in name}
    unified = _config(config, kind)
    if kind == "distilbert":
        found.setdefault(
            "embeddings.token_type_embeddings.weight", np.zeros((1, int(unified["hidden_size"])), np.float32)
        )
        unified["type_vocab_size"] = 1
    if kind in _FIRST_POSITION and "embeddings.position_embeddings.weight" in found:
        first = int(config.get("pad_token_id", 1)) + 1
        positions = np.ascontiguousarray(found["embeddings.position_embeddings.weight"][first:])
        found["embeddings.position_embeddings.weight"] = positions
        unified["max_position_embeddings"] = len(positions)
    _check(unified, found, where)
    return BertWeights(unified, found)


def _name(name: str, kind: str) -> str:
    name = name.removeprefix(_PREFIXES[kind])
    rules = (*_OLD_NAMES, *(_DISTILBERT_NAMES if kind == "distilbert" else ()))
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _config(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    unified = dict(config)
    if kind == "distilbert":
        unified |= {ours: config[theirs] for ours, theirs in _DISTILBERT_CONFIG.items() if theirs in config}
        unified.setdefault("layer_norm_eps", 1e-12)
    # What another program loads from a bundle is a BERT.
    unified["model_type"] = "bert"
    unified.pop("architectures", None)
    return unified


def _check(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], where: str) -> None:
    if config.get("hidden_act", "gelu") != "gelu":
        raise RecipeError(
            f"Its activation is {config['hidden_act']!r}, and only gelu can be written as a graph.",
            where=where,
            how="Choose one of `fewtune models`.",
        )
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        raise RecipeError(
            "Its positions are relative or it is a decoder, and only plain encoders can be used here.",
            where=where,
            how="Choose one of `fewtune models`.",
        )
    words = tensors.get("embeddings.word_embeddings.weight")
    last = f"encoder.layer.{int(config.get('num_hidden_layers', 0)) - 1}.output.dense.weight"
    for name in ("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight", last):
        if name not in tensors:
            raise RecipeError(
                f"The checkpoint is not an encoder: it has no {name}.",
                where=where,
                how="Save the whole model again with save_pretrained(folder).",
            )
    if words is not None and words.shape[1] != int(config["hidden_size"]):
        raise RecipeError(
            f"Its embeddings are {words.shape[1]} wide and its layers {config['hidden_size']}, which cannot be used.",
            where=where,
            how="Choose one of `fewtune models`.",
        )
