"""Tiny translation models made by the tests and saved as Transformers saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.marian import LETTERS, NAMES, sentencepiece_model

WORDS = ["▁the", "▁cat", "▁dog", "▁sees", "▁o", "▁gato", "▁vê", "ã"]
PIECES = ["▁", *WORDS, *LETTERS, *(f"▁{name}" for name in NAMES), *NAMES]
# Wider than usual: a random model's likeliest word should stand out.
_SMALL: dict[str, Any] = {"init_std": 0.4, "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
_LAYERS = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 128,
    "scale_embedding": True,
}


def save_opus(folder: Path, **more: Any) -> Path:
    """A Marian model in OPUS-MT's layout: two SentencePiece files, and one vocabulary with its own numbers."""
    from transformers import MarianConfig

    folder.mkdir(parents=True, exist_ok=True)
    for name in ("source.spm", "target.spm"):
        (folder / name).write_bytes(sentencepiece_model(["<unk>", "<s>", "</s>", *PIECES], SPECIAL))
    vocabulary = ["</s>", "<unk>", *reversed(PIECES), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({piece: i for i, piece in enumerate(vocabulary)}))
    (folder / "tokenizer_config.json").write_text('{"source_lang": "en", "target_lang": "pt"}')
    pad = len(vocabulary) - 1
    config = MarianConfig(
        vocab_size=len(vocabulary),
        pad_token_id=pad,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=None,
        activation_function="swish",
        **_SMALL,
        **_LAYERS,
        **more,
    )
    return _saved(config, folder)


SPECIAL = {"<unk>": 2, "<s>": 3, "</s>": 3}


def save_t5(folder: Path, **more: Any) -> Path:
    """A T5 with a Unigram tokenizer."""
    from transformers import T5Config

    vocabulary = ["<pad>", "</s>", "<unk>", *PIECES, "<extra_id_0>"]
    _save_unigram(folder, vocabulary, unknown=2, special=["<pad>", "</s>", "<unk>", "<extra_id_0>"])
    config = T5Config(
        vocab_size=len(vocabulary) + 3,
        d_model=16,
        d_kv=8,
        d_ff=24,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=12,
        dropout_rate=0.0,
        initializer_factor=4.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        **more,
    )
    return _saved(config, folder)


def save_nllb(folder: Path, **more: Any) -> Path:
    """An M2M100 with NLLB's codes of languages, and pairs that were merged for a tokenizer."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import M2M100Config, PreTrainedTokenizerFast

    codes = ["eng_Latn", "por_Latn", "deu_Latn"]
    letters = sorted({"▁", *LETTERS, *"".join(PIECES)})
    merges: list[tuple[str, str]] = []
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *letters]
    for word in [*WORDS, *(f"▁{name}" for name in NAMES), *NAMES]:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    tokenizer = Tokenizer(
        models.BPE({piece: i for i, piece in enumerate(vocabulary)}, merges, unk_token="<unk>", fuse_unk=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in [*vocabulary[:4], *codes]])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    config = M2M100Config(
        vocab_size=len(vocabulary) + len(codes),
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
        **_SMALL,
        **_LAYERS,
        **more,
    )
    return _saved(config, folder)


def save_mbart(folder: Path, **more: Any) -> Path:
    """An mBART-50 with its codes of languages."""
    from transformers import MBartConfig

    codes = ["en_XX", "pt_XX", "de_DE"]
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *PIECES, *codes]
    _save_unigram(folder, vocabulary, unknown=3, special=[*vocabulary[:4], *codes])
    config = MBartConfig(
        vocab_size=len(vocabulary),
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
        activation_function="gelu",
        **_SMALL,
        **_LAYERS,
        **more,
    )
    return _saved(config, folder)


MODELS = {"opus": save_opus, "t5": save_t5, "nllb": save_nllb, "mbart": save_mbart}


def _save_unigram(folder: Path, vocabulary: list[str], *, unknown: int, special: list[str]) -> None:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    scored = [(piece, -1.0 - place / 100) for place, piece in enumerate(vocabulary)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=unknown, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in special])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)


def _saved(config: Any, folder: Path) -> Path:
    import torch
    from transformers import AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    return folder
