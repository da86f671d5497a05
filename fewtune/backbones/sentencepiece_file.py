"""SentencePiece's model file, read without its package into a tokenizer of `tokenizers`.

The file is a message of Protocol Buffers (google/sentencepiece, src/sentencepiece_model.proto): its pieces with
score and kind, what it was trained with, and the table that its normaliser replaces characters by.
"""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewtune.errors import DataError

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_UNIGRAM = 1
# A piece of this score is never taken: single letters, or even an unknown character, cost less.
_NEVER = -1e6


@dataclass(slots=True)
class SentencePieceFile:
    """What a model file holds.

    Attributes:
        pieces: (piece, score, kind) by id.
        replaced: the normaliser's compiled table of characters.
        prefixes: whether a text is begun with a space.
        collapses: whether runs of spaces become one, and those at the ends none.
    """

    pieces: list[tuple[str, float, int]] = field(default_factory=list)
    replaced: bytes = b""
    prefixes: bool = True
    collapses: bool = True

    @property
    def vocabulary(self) -> list[str]:
        """Every piece by its id."""
        return [piece for piece, _, _ in self.pieces]

    @property
    def unknown(self) -> int:
        """Id of what stands for unknown characters."""
        return next(i for i, (_, _, kind) in enumerate(self.pieces) if kind == _UNKNOWN)

    @property
    def end(self) -> int:
        """Id of the end of a sentence."""
        return self.vocabulary.index("</s>")

    def never(self) -> set[int]:
        """Ids that no text is made of: control marks and unused pieces."""
        return {i for i, (_, _, kind) in enumerate(self.pieces) if kind in (_CONTROL, _UNUSED)}

    def tokenizer_json(self, reserved: set[int]) -> bytes:
        """A tokenizer in the format of Hugging Face's `tokenizers` that reads parts of texts.

        It neither collapses spaces nor puts one first: whoever cuts texts into parts does.

        Args:
            reserved: ids of pieces that texts must never be made of.
        """
        unused = self.never() | reserved
        best = max(score for _, score, _ in self.pieces)
        vocabulary = [
            [piece, _NEVER if i in unused else best if kind == _USER_DEFINED else score]
            for i, (piece, score, kind) in enumerate(self.pieces)
        ]
        has_bytes = any(kind == _BYTE for _, _, kind in self.pieces)
        steps: list[dict[str, Any]] = []
        if self.replaced:
            steps.append({"type": "Precompiled", "precompiled_charsmap": b64encode(self.replaced).decode()})
        content = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {"type": "Sequence", "normalizers": steps},
            "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True},
            "post_processor": None,
            "decoder": None,
            "model": {"type": "Unigram", "unk_id": self.unknown, "vocab": vocabulary, "byte_fallback": has_bytes},
        }
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def read_sentencepiece(path: Path) -> SentencePieceFile:
    """Read a vocabulary.

    Raises:
        DataError: it is no such file, is damaged, or is of a kind that is not read.
    """
    try:
        content = path.read_bytes()
        return _parsed(content, str(path))
    except OSError as error:
        raise DataError(f"The vocabulary cannot be read: {error.strerror or error}.", where=str(path)) from None
    except (ValueError, IndexError, struct.error) as error:
        raise DataError(
            f"This is no whole SentencePiece model ({error}).", where=str(path), how="Get the file again."
        ) from None


def _parsed(content: bytes, where: str) -> SentencePieceFile:
    file = SentencePieceFile()
    for number, value in _fields(content):
        if number == 1:
            file.pieces.append(_piece(value))
        elif number == 2:
            kind = dict(_fields(value)).get(3, _UNIGRAM)
            if kind != _UNIGRAM:
                raise DataError("Only vocabularies of SentencePiece's Unigram model are read.", where=where)
        elif number == 3:
            options = dict(_fields(value))
            file.replaced = options.get(2, b"")
            file.prefixes, file.collapses = bool(options.get(3, 1)), bool(options.get(4, 1))
    if not any(kind == _UNKNOWN for _, _, kind in file.pieces) or "</s>" not in file.vocabulary:
        raise ValueError("it has no pieces for the unknown and for the end of a sentence")
    return file


def _piece(message: bytes) -> tuple[str, float, int]:
    fields = dict(_fields(message))
    (score,) = struct.unpack("<f", fields.get(2, b"\0\0\0\0"))
    return fields.get(1, b"").decode(), float(score), int(fields.get(3, _NORMAL))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a message's fields: whole numbers, or bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, form = key >> 3, key & 7
        if form == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if form == 2:
            size, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(form, len(message) + 1)
        if at + size > len(message):
            raise ValueError(f"it ends within a field, after byte {at}")
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
