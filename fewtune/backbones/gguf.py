"""Weights in GGUF, the file format of llama.cpp, without torch.

A file is little-endian: the magic GGUF, a version, the numbers of tensors and of metadata entries, the
metadata, a table of tensors, padding, and the tensors. Specification: docs/gguf.md in ggml's repository.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.errors import RecipeError

_FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _LIST = 8, 9
_F32, _F16, _Q4_0, _Q4_1, _Q8_0 = 0, 1, 2, 3, 8
_BLOCK = 32
# Bytes of a value, or of a block of 32.
_SIZES = {_F32: (4, 1), _F16: (2, 1), _Q4_0: (18, _BLOCK), _Q4_1: (20, _BLOCK), _Q8_0: (34, _BLOCK)}


class GgufFile:
    """A GGUF file whose tensors are read when they are asked for.

    Attributes:
        metadata: key to value, as the file has them.
        shapes: name of each tensor to its shape, rows first.
    """

    def __init__(self, path: Path) -> None:
        """Read the metadata and the table of tensors.

        Raises:
            RecipeError: the file cannot be read, is cut off, or is not GGUF of version 2 or 3.
        """
        self._path = path
        self._position = 0
        try:
            self._bytes = np.memmap(path, dtype=np.uint8, mode="r")
            self._head = self._bytes[: 64 << 20].tobytes()
            self.metadata, self._tensors = self._read_tables()
        except (OSError, ValueError, KeyError, struct.error) as error:
            raise self._damaged(f"The file cannot be read as GGUF ({error}).") from None
        self.shapes = {name: shape for name, (shape, _, _) in self._tensors.items()}

    def _damaged(self, what: str) -> RecipeError:
        return RecipeError(what, where=str(self._path), how="Reinstall the package that brought it.")

    def _read_tables(self) -> tuple[dict[str, Any], dict[str, tuple[tuple[int, ...], int, int]]]:
        if self._head[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._position = 4
        version, tensors, entries = self._number("<I"), self._number("<Q"), self._number("<Q")
        if version not in (2, 3):
            raise ValueError(f"it is of version {version}")
        metadata = {self._string(): self._value(self._number("<I")) for _ in range(entries)}
        table = [self._entry() for _ in range(tensors)]
        align = int(metadata.get("general.alignment", 32))
        start = math.ceil(self._position / align) * align
        return metadata, {name: (shape, kind, start + offset) for name, shape, kind, offset in table}

    def _entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string()
        shape = tuple(self._number("<Q") for _ in range(self._number("<I")))[::-1]
        return name, shape, self._number("<I"), self._number("<Q")

    def _number(self, form: str) -> Any:
        value = struct.unpack_from(form, self._head, self._position)[0]
        self._position += struct.calcsize(form)
        return value

    def _string(self) -> str:
        length = self._number("<Q")
        start, self._position = self._position, self._position + length
        return self._head[start : self._position].decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _LIST:
            inner, count = self._number("<I"), self._number("<Q")
            return [self._value(inner) for _ in range(count)]
        return self._number(_FORMATS[kind])

    def tensor(self, name: str) -> np.ndarray:
        """A tensor in float32.

        Raises:
            RecipeError: there is none, it is cut off, or it is stored in a way that is not read here.
        """
        if name not in self._tensors:
            raise self._damaged(f"The file has no tensor {name}.")
        shape, kind, offset = self._tensors[name]
        if kind not in _SIZES:
            raise self._damaged(f"The tensor {name} is stored as type {kind}, which is not read here.")
        size, block = _SIZES[kind]
        raw = self._bytes[offset : offset + math.prod(shape) // block * size]
        if len(raw) != math.prod(shape) // block * size:
            raise self._damaged(f"The file ends within the tensor {name}, which begins at byte {offset}.")
        return np.ascontiguousarray(_decoded(raw, kind).reshape(shape))


def _decoded(raw: np.ndarray, kind: int) -> np.ndarray:
    """Bytes to float32; blocks are a float16 scale (with Q4_1 a float16 minimum too) and 32 steps."""
    if kind in (_F32, _F16):
        return raw.view("<f4" if kind == _F32 else "<f2").astype(np.float32)
    blocks = raw.reshape(-1, _SIZES[kind][0])
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    if kind == _Q8_0:
        return blocks[:, 2:].copy().view(np.int8) * scales
    packed = blocks[:, 4 if kind == _Q4_1 else 2 :]
    # The low nibbles are the first half of a block.
    steps = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)
    if kind == _Q4_0:
        return (steps - 8) * scales
    return steps * scales + blocks[:, 2:4].copy().view("<f2").astype(np.float32)
