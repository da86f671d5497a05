"""Bundles with a tokenizer that can be pruned, on a BERT of a few hundred weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from fewtune.bundle.manifest import Manifest
from fewtune.bundle.write import write_bundle
from fewtune.interfaces import Content
from tests.bundle.conftest import LABELS, make_fitted, make_manifest

# The beginning of a word is marked; single letters stand for what the longer pieces leave.
PIECES = ["▁where", "▁refund", "▁money", "▁my", "ere", "▁", "▁谢谢", "谢", "很", "好", "▁возврат", "▁деньги", "воз"]
LETTERS = sorted(set("wherefundmoyвозратденьги,!3"))
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def unigram() -> bytes:
    scored = [(piece, -3.0 - 0.25 * i) for i, piece in enumerate(PIECES)]
    scored += [(letter, -9.0 - 0.1 * i) for i, letter in enumerate(LETTERS)]
    tokenizer = Tokenizer(models.Unigram([(piece, 0.0) for piece in SPECIAL] + scored, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.enable_truncation(16)
    return tokenizer.to_str().encode()


def word_piece() -> bytes:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "where", "refund", "money", "谢", "好", "возврат", "##s", "##в"]
    letters = sorted(set("wherfundmoy"))
    pieces = words + letters + [f"##{letter}" for letter in letters]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_truncation(16)
    return tokenizer.to_str().encode()


def content(tokenizer: bytes) -> Content:
    fitted = make_fitted("mean", normalised=True, tokenizer=tokenizer)
    return Content("text-classification", fitted.graphs, fitted.contracts, fitted.assets, fitted.backbone)


def texts(count: int) -> list[tuple[str, str]]:
    """Texts of a few words in two scripts, no two alike, each with a label."""
    words = ["where", "refund", "money", "my", "谢谢", "很好", "wheremoney", "refund !"]
    return [(" ".join(words[(i // 8**place) % 8] for place in range(4)), LABELS[i % len(LABELS)]) for i in range(count)]


@pytest.fixture
def write() -> Callable[..., Manifest]:
    """Writes a bundle that keeps so many training texts."""

    def write_one(folder: Path, *, training: int = 40, tokenizer: bytes = b"") -> Manifest:
        fitted = make_fitted("mean", normalised=True, tokenizer=tokenizer or unigram())
        lines = [json.dumps({"place": f"t:{i}", "text": t, "label": y}) for i, (t, y) in enumerate(texts(training))]
        private = {"out_of_fold.jsonl": "\n".join(lines).encode()} if training else {}
        return write_bundle(
            folder, fitted, make_manifest(fitted), name="tickets", recipe_toml="seed = 0\n", private=private
        )

    return write_one


@pytest.fixture
def bundle(tmp_path: Path, write: Callable[..., Manifest]) -> Path:
    folder = tmp_path / "tickets.fewtune"
    write(folder)
    return folder
