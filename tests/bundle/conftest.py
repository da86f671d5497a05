"""Bundles as the pipeline writes them, on a BERT of a few hundred weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from fewtune.backbones.bert_onnx import BertWeights, Pooling, Q4Matrix, encoder_graph, with_linear_head
from fewtune.bundle.manifest import Manifest, scores_as_json
from fewtune.bundle.write import write_bundle
from fewtune.interfaces import Fitted
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import FloatArray, Graph, Score, Scores

LABELS = ("refund", "shipping", "表扬 & <praise>|*")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "where", "is", "my", "refund", "parcel", "谢", "很", "好")
_WIDTH, _INNER, _LAYERS, _TOKENS = 32, 64, 2, 16


def _quantised(rows: int, random: np.random.Generator) -> Q4Matrix:
    packed = random.integers(0, 256, size=(rows, _WIDTH // 32, 16), dtype=np.uint8)
    return Q4Matrix(packed, random.uniform(0.02, 0.1, size=(rows, _WIDTH // 32)).astype(np.float16))


def _bert(pieces: int) -> BertWeights:
    random = np.random.default_rng(0)
    tensors: dict = {"embeddings.word_embeddings.weight": _quantised(pieces, random)}

    def matrix(name: str, *shape: int) -> None:
        tensors[name] = random.normal(0, 0.3, size=shape).astype(np.float32)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"] = random.uniform(0.5, 1.5, size=_WIDTH).astype(np.float32)
        matrix(f"{name}.bias", _WIDTH)

    matrix("embeddings.position_embeddings.weight", _TOKENS, _WIDTH)
    matrix("embeddings.token_type_embeddings.weight", 2, _WIDTH)
    norm("embeddings.LayerNorm")
    for layer in range(_LAYERS):
        name = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            tensors[f"{name}.attention.{part}.weight"] = _quantised(_WIDTH, random)
            matrix(f"{name}.attention.{part}.bias", _WIDTH)
        matrix(f"{name}.intermediate.dense.weight", _INNER, _WIDTH)
        matrix(f"{name}.intermediate.dense.bias", _INNER)
        matrix(f"{name}.output.dense.weight", _WIDTH, _INNER)
        matrix(f"{name}.output.dense.bias", _WIDTH)
        norm(f"{name}.attention.output.LayerNorm")
        norm(f"{name}.output.LayerNorm")
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": _WIDTH,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": _INNER,
        "vocab_size": pieces,
        "max_position_embeddings": _TOKENS,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    return BertWeights(config, tensors)


def _tokenizer_json() -> bytes:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(_TOKENS)
    return tokenizer.to_str().encode()


def make_fitted(pooling: Pooling, *, normalised: bool, tokenizer: bytes = b"") -> Fitted:
    """A tuned model: an encoder with random weights under a random head; with a tokenizer of one's own."""
    tokenizer = tokenizer or _tokenizer_json()
    weights, random = _bert(Tokenizer.from_str(tokenizer.decode()).get_vocab_size()), np.random.default_rng(1)
    encoder = encoder_graph(weights, pooling=pooling, normalise=normalised)
    weight, bias = random.normal(size=(_WIDTH, len(LABELS))), random.normal(size=len(LABELS))
    model = with_linear_head(encoder, weight, bias)

    def reference(texts: Sequence[str]) -> FloatArray:
        logits = TextGraph(encoder, tokenizer, threads=1).run(texts, "features") @ weight + bias
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    contract = Graph(
        role="classifier",
        file="model.onnx",
        inputs={"input_ids": "int64 [batch, tokens]", "attention_mask": "int64 [batch, tokens]"},
        outputs={"logits": "float32 [batch, 3]", "features": "float32 [batch, 32]"},
    )
    backbone = {
        "name": "tiny-bert",
        "licence": "MIT",
        "languages": ["en", "zh"],
        "package": "",
        "pooling": pooling,
        "normalised": normalised,
        "prefix": "",
        "max_tokens": _TOKENS,
        "config": weights.config,
    }
    return Fitted({"model.onnx": model}, (contract,), {"tokenizer.json": tokenizer}, backbone, reference, 0.1)


def make_scores() -> Scores:
    """Scores with and without an interval."""
    known, unknown = Score(0.875, 0.7, 0.95, 40, 0.95, "Wilson"), Score(0.5, None, None, 40, 0.95, "none")
    return Scores(
        metrics={"accuracy": known, "f1_macro": unknown, "log_loss": Score(0.4, 0.3, 0.5, 40)},
        per_class={label: {"precision": known, "recall": known, "f1": unknown} for label in LABELS},
        support=dict.fromkeys(LABELS, 13),
        confusion=((13, 0, 0), (1, 12, 0), (0, 0, 13)),
        gain_over_baseline=known,
        how="out of fold (5-fold cross-validation)",
    )


def make_manifest(fitted: Fitted) -> Manifest:
    """A manifest without its files."""
    scores = scores_as_json(make_scores())
    rung = {
        "name": "head:tiny-bert",
        "method": "head",
        "model": "tiny-bert",
        "settings": {"C": 1.0},
        "scores": scores,
        "expected_log_loss": 0.41,
        "seconds": 1.5,
        "predicted_seconds": None,
    }
    return Manifest(
        task="text-classification",
        method="head",
        model="tiny-bert",
        labels=LABELS,
        backbone=fitted.backbone,
        recipe={"seed": 0, "settings": {"C": 1.0}},
        primary_metric="accuracy",
        scores=scores,
        resampling="5-fold cross-validation",
        # Two of the same method and model: one of them is delivered.
        rungs=(
            {**rung, "tune_seconds": 0.1},
            {**rung, "name": "head:tiny-bert with synonym", "tune_seconds": None},
            {**rung, "name": "tfidf", "method": "tfidf", "model": "", "tune_seconds": None},
        ),
        left_out=({"name": "lora", "why": "torch is not installed"},),
        notes=("read as GB18030",),
        data={"name": "客服_tickets.csv", "sha256": "0" * 64, "examples": 40, "per_class": dict.fromkeys(LABELS, 13)},
        licences=({"part": "the pretrained weights (tiny-bert)", "licence": "MIT"},),
        versions={"numpy": np.__version__},
        machine={"processor": "abacus", "system": "Linux", "cores": 2, "threads": 1},
        seconds=2.5,
        peak_memory_mb=100.0,
        graphs=fitted.contracts,
        fewtune_version="0.1.0",
    )


@pytest.fixture(scope="session")
def fitted() -> Fitted:
    return make_fitted("mean", normalised=True)


@pytest.fixture
def scores() -> Scores:
    return make_scores()


@pytest.fixture
def manifest(fitted: Fitted) -> Manifest:
    return make_manifest(fitted)


@pytest.fixture
def write() -> Callable[..., Manifest]:
    """Writes a bundle into a folder; pooling, normalised, or changes to the manifest's fields may be given."""

    def write_one(folder: Path, *, pooling: Pooling = "mean", normalised: bool = True, **changes: object) -> Manifest:
        fitted = make_fitted(pooling, normalised=normalised)
        manifest = dataclasses.replace(make_manifest(fitted), **changes)
        private = {"out_of_fold.jsonl": b'{"text": "my card number"}\n'}
        return write_bundle(folder, fitted, manifest, name="tickets", recipe_toml="seed = 0\n", private=private)

    return write_one


@pytest.fixture
def bundle(tmp_path: Path, write: Callable[..., Manifest]) -> Path:
    folder = tmp_path / "tickets.fewtune"
    write(folder)
    return folder
