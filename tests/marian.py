"""A tiny Marian student made here: its files are written in the formats that the real ones have."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from fewtune.backbones.marian_file import write_marian

WIDTH, INNER, HEADS, ENCODER, DECODER = 16, 32, 4, 2, 1
SETTINGS = f"""type: transformer
transformer-decoder-autoreg: rnn
dec-cell: ssru
transformer-heads: {HEADS}
transformer-postprocess: dan
transformer-preprocess: ""
dim-vocabs:
  - 60
  - 60
"""
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFG0123456789.,:*()-"
NAMES = ["Anna", "Bert", "Carl", "Dora", "Emil", "Fritz"]


def pieces() -> list[str]:
    words = ["▁the", "▁cat", "▁dog", "▁sees", "▁o", "▁gato", "▁vê", "ã"]
    return ["</s>", "<unk>", "▁", *words, *LETTERS, *(f"▁{name}" for name in NAMES), *NAMES]


def sentencepiece_model(vocabulary: list[str], kinds: dict[str, int] | None = None) -> bytes:
    """A SentencePiece model file: a message of Protocol Buffers."""

    def field(number: int, content: bytes) -> bytes:
        assert len(content) < 128
        return bytes([number << 3 | 2, len(content)]) + content

    kinds = kinds or {"</s>": 3, "<unk>": 2}
    found = b""
    for place, piece in enumerate(vocabulary):
        score = b"\x15" + struct.pack("<f", -1.0 - place / 100)
        found += field(1, field(1, piece.encode()) + score + bytes([3 << 3, kinds.get(piece, 1)]))
    return found


def shortlist(words: int, first: int = 12) -> bytes:
    """Every word calls for itself and for the next one."""
    ids = [[i, min(i + 1, words - 1)] for i in range(words)]
    offsets = np.arange(0, 2 * words + 1, 2, dtype="<u8")
    head = struct.pack("<6Q", 0xF11A48D5013417F5, 0, first, 2, len(offsets), 2 * words)
    return head + offsets.tobytes() + np.array(ids, "<u4").tobytes()


def tensors(words: int, *, shared: bool = True, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)

    def some(*shape: int) -> np.ndarray:
        return generator.normal(0, shape[0] ** -0.5, shape).astype(np.float32)

    found = {name: some(words, WIDTH) for name in (["Wemb"] if shared else ["encoder_Wemb", "decoder_Wemb"])}
    found["decoder_ff_logit_out_b"] = np.zeros(words, np.float32)

    def attention(name: str) -> None:
        for part in "qkvo":
            found[f"{name}_W{part}"], found[f"{name}_b{part}"] = some(WIDTH, WIDTH), some(WIDTH)
        norm(f"{name}_Wo")

    def norm(name: str) -> None:
        found[f"{name}_ln_scale"], found[f"{name}_ln_bias"] = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def feed(name: str) -> None:
        found[f"{name}_W1"], found[f"{name}_b1"] = some(WIDTH, INNER), some(INNER)
        found[f"{name}_W2"], found[f"{name}_b2"] = some(INNER, WIDTH), some(WIDTH)
        norm(f"{name}_ffn")

    for layer in range(1, ENCODER + 1):
        attention(f"encoder_l{layer}_self")
        feed(f"encoder_l{layer}_ffn")
    for layer in range(1, DECODER + 1):
        attention(f"decoder_l{layer}_context")
        feed(f"decoder_l{layer}_ffn")
        name = f"decoder_l{layer}_rnn"
        found[f"{name}_W"], found[f"{name}_Wf"], found[f"{name}_bf"] = (
            some(WIDTH, WIDTH),
            some(WIDTH, WIDTH),
            some(WIDTH),
        )
        norm(f"{name}_ffn")
    return found


def write_student(
    folder: Path, *, shared: bool = True, int8: bool = False, listed: bool = True, pair: str = "enpt"
) -> Path:
    """A folder that holds a student, from English to Portuguese where no other pair is named."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = pieces()
    weights = tensors(len(vocabulary), shared=shared)
    scales = {name: 20.0 for name in weights if "_W" in name and "_ln_" not in name} if int8 else None
    (folder / f"model.{pair}.bin").write_bytes(write_marian(weights, SETTINGS, int8=scales))
    for name in ["vocab"] if shared else ["srcvocab", "trgvocab"]:
        (folder / f"{name}.{pair}.spm").write_bytes(sentencepiece_model(vocabulary))
    if listed:
        (folder / f"lex.50.50.{pair}.s2t.bin").write_bytes(shortlist(len(vocabulary)))
    return folder
