"""Marian's binary model file: read into float32, written in float32 or in 8-bit integers.

All numbers are little-endian: u64 version (1), u64 number of tensors; for each of them four u64 (length of its
name with the closing NUL, type, number of dimensions, bytes of data); the names; the shapes in i32; a u64 and as
many bytes of padding; the data one after the other. The tensor `special:model.yml` holds the settings.

A matrix of type intgemm8 is int8 steps and, behind them, the float32 multiplier that the weights were
multiplied with before they were rounded; the matrices of layers lie transposed in it, (out, in), though their
shapes say (in, out). Source of the format: marian-nmt/marian-dev, src/common/binary.cpp.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewtune.errors import DataError

SETTINGS_TENSOR = "special:model.yml"
_VERSION = 1
_FLOAT32, _INTGEMM8, _INT8 = 0x404, 0x4101, 0x101
_ALIGNMENT = 256
_LONGEST_NAME = 4096
_MOST_TENSORS = 100_000
_ACTIVATION_SCALE = "_QuantMultA"


@dataclass(frozen=True, slots=True)
class MarianModel:
    """What a model file holds.

    Attributes:
        tensors: name to float32; matrices of layers are (in, out), vectors (n,).
        settings: keys and values of the file's YAML, as they are written; lists are tuples.
        scales: name of a matrix to the scale that its inputs are multiplied with in 8-bit integers, where known.
        text: the YAML as it is written.
    """

    tensors: Mapping[str, np.ndarray]
    settings: Mapping[str, str | tuple[str, ...]]
    scales: Mapping[str, float]
    text: str = ""

    def setting(self, name: str, default: str = "") -> str:
        """A setting that is one value."""
        value = self.settings.get(name, default)
        return value if isinstance(value, str) else default


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    kind: int
    shape: tuple[int, ...]
    start: int
    size: int


def read_marian(path: Path) -> MarianModel:
    """Read a model file.

    Raises:
        DataError: it is no such file, or is damaged; says which tensor, and at which byte.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"The model cannot be read: {error.strerror or error}.", where=str(path)) from None
    file = _File(content, str(path))
    text = ""
    tensors: dict[str, np.ndarray] = {}
    scales: dict[str, float] = {}
    for entry in file.entries():
        if entry.name == SETTINGS_TENSOR:
            text = file.data(entry).split(b"\0")[0].decode("utf-8", "replace")
        elif entry.name.endswith(_ACTIVATION_SCALE):
            scales[entry.name.removesuffix(_ACTIVATION_SCALE)] = float(file.tensor(entry).reshape(-1)[0])
        else:
            tensors[entry.name] = file.tensor(entry)
    return MarianModel(tensors, parse_settings(text), scales, text)


class _File:
    """The bytes of a file, read from front to back; whatever is wrong is said with its place."""

    def __init__(self, content: bytes, where: str) -> None:
        self._content = content
        self._where = where
        self._position = 0

    def entries(self) -> Iterator[_Entry]:
        version, count = self._numbers("<2Q", "the header")
        if version != _VERSION or count > _MOST_TENSORS:
            raise self._damaged("the header", 0, f"it begins with version {version} and {count} tensors")
        heads = [self._numbers("<4Q", f"the entry of tensor {i + 1} of {count}") for i in range(count)]
        names = [self._name(length, i + 1) for i, (length, *_) in enumerate(heads)]
        shapes = [self._shape(head[2], name) for head, name in zip(heads, names, strict=True)]
        (padding,) = self._numbers("<Q", "the padding")
        self._take(padding, "the padding")
        for (_, kind, _, size), name, shape in zip(heads, names, shapes, strict=True):
            start = self._position
            self._take(size, f"the tensor {name!r}")
            yield _Entry(name, kind, shape, start, size)
        if self._position != len(self._content):
            more = len(self._content) - self._position
            raise self._damaged("the end", self._position, f"{more} more bytes follow than the tensors have")

    def data(self, entry: _Entry) -> bytes:
        return self._content[entry.start : entry.start + entry.size]

    def tensor(self, entry: _Entry) -> np.ndarray:
        count = int(np.prod(entry.shape, dtype=np.int64))
        if entry.kind == _FLOAT32:
            values = np.frombuffer(self.data(entry), "<f4", self._fitting(entry, count, 4))
            return self._finite(entry, values.reshape(_squeezed(entry.shape)).astype(np.float32))
        if entry.kind == _INTGEMM8:
            # The multiplier stands behind the steps.
            steps = np.frombuffer(self.data(entry), np.int8, self._fitting(entry, count, 1, after=4))
            weights = steps.astype(np.float32) / self._multiplier(entry, count)
            shape = _squeezed(entry.shape)
            return weights.reshape(shape[::-1]).T if is_transposed(entry.name) else weights.reshape(shape)
        raise self._damaged(f"the tensor {entry.name!r}", entry.start, f"its type {entry.kind:#x} is not known")

    def _multiplier(self, entry: _Entry, at: int) -> np.float32:
        (value,) = struct.unpack_from("<f", self._content, entry.start + at)
        if not (np.isfinite(value) and value > 0):
            raise self._damaged(f"the tensor {entry.name!r}", entry.start + at, f"its multiplier is {value}")
        return np.float32(value)

    def _fitting(self, entry: _Entry, count: int, size: int, *, after: int = 0) -> int:
        needed = count * size + after
        if entry.size < needed:
            what = f"it has {entry.size} bytes, and its shape {entry.shape} needs {needed}"
            raise self._damaged(f"the tensor {entry.name!r}", entry.start, what)
        return count

    def _finite(self, entry: _Entry, values: np.ndarray) -> np.ndarray:
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            at = entry.start + 4 * int(wrong[0])
            raise self._damaged(f"the tensor {entry.name!r}", at, "a weight is not a finite number")
        return values

    def _name(self, length: int, number: int) -> str:
        if not 0 < length <= _LONGEST_NAME:
            raise self._damaged(f"the name of tensor {number}", self._position, f"its length is {length}")
        start = self._position
        raw = self._take(length, f"the name of tensor {number}")
        try:
            return raw.rstrip(b"\0").decode()
        except UnicodeDecodeError:
            raise self._damaged(f"the name of tensor {number}", start, "it is not UTF-8") from None

    def _shape(self, dimensions: int, name: str) -> tuple[int, ...]:
        start = self._position
        if dimensions > 8:
            raise self._damaged(f"the shape of {name!r}", start, f"it has {dimensions} dimensions")
        shape = self._numbers(f"<{dimensions}i", f"the shape of {name!r}")
        if any(extent < 1 for extent in shape):
            raise self._damaged(f"the shape of {name!r}", start, f"it is {shape}")
        return shape

    def _numbers(self, form: str, what: str) -> tuple:
        return struct.unpack(form, self._take(struct.calcsize(form), what))

    def _take(self, size: int, what: str) -> bytes:
        start, end = self._position, self._position + size
        if end > len(self._content):
            raise self._damaged(what, start, f"{size} bytes are needed, and {len(self._content) - start} are left")
        self._position = end
        return self._content[start:end]

    def _damaged(self, what: str, at: int, why: str) -> DataError:
        return DataError(
            f"This is no whole Marian model: in {what}, at byte {at}, {why}.",
            where=self._where,
            how="Get the file again: it was cut off or changed on its way.",
        )


def is_transposed(name: str) -> bool:
    """Whether a matrix in 8-bit integers lies as (out, in): all do but the embeddings."""
    return not name.endswith("Wemb")


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Marian writes vectors as (1, n)."""
    return shape[1:] if len(shape) == 2 and shape[0] == 1 else shape


def parse_settings(text: str) -> dict[str, str | tuple[str, ...]]:
    """The flat YAML that Marian writes: `key: value`, or `key:` and lines of `- value`."""
    found: dict[str, str | tuple[str, ...]] = {}
    key = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("- ") and key:
            before = found[key]
            found[key] = (*(before if isinstance(before, tuple) else ()), _unquoted(stripped[2:]))
        elif ":" in stripped and not stripped.startswith("#"):
            key, _, value = stripped.partition(":")
            found[key] = _unquoted(value)
    return found


def _unquoted(value: str) -> str:
    value = value.strip()
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def write_marian(tensors: Mapping[str, np.ndarray], settings: str, *, int8: Mapping[str, float] | None = None) -> bytes:
    """The bytes of a model file.

    Args:
        tensors: name to float32, as `MarianModel.tensors` has them.
        settings: the YAML, as text.
        int8: names of the matrices that are written in 8-bit integers, with the scale of their inputs.
    """
    parts: list[tuple[str, int, tuple[int, ...], bytes]] = []
    for name, values in sorted(tensors.items()):
        shape = values.shape if values.ndim == 2 else (1, values.size)
        if int8 is not None and name in int8:
            parts.append((name, _INTGEMM8, shape, _intgemm8(name, values)))
            scale = struct.pack("<f", int8[name]).ljust(_ALIGNMENT, b"\0")
            parts.append((f"{name}{_ACTIVATION_SCALE}", _FLOAT32, (1, 1), scale))
        else:
            parts.append((name, _FLOAT32, shape, np.ascontiguousarray(values, "<f4").tobytes()))
    text = settings.encode() + b"\0"
    parts.append((SETTINGS_TENSOR, _INT8, (len(text),), text))
    return _assembled(parts)


def _intgemm8(name: str, values: np.ndarray) -> bytes:
    multiplier = np.float32(127 / max(float(np.abs(values).max()), 1e-12))
    steps = np.clip(np.rint(values * multiplier), -127, 127).astype(np.int8)
    laid_out = np.ascontiguousarray(steps.T if is_transposed(name) else steps)
    return (laid_out.tobytes() + struct.pack("<f", multiplier)).ljust(laid_out.size + _ALIGNMENT, b"\0")


def _assembled(parts: list[tuple[str, int, tuple[int, ...], bytes]]) -> bytes:
    head = struct.pack("<2Q", _VERSION, len(parts))
    names = [name.encode() + b"\0" for name, *_ in parts]
    for (_, kind, shape, data), name in zip(parts, names, strict=True):
        head += struct.pack("<4Q", len(name), kind, len(shape), len(data))
    head += b"".join(names) + b"".join(struct.pack(f"<{len(shape)}i", *shape) for _, _, shape, _ in parts)
    padding = -(len(head) + 8) % _ALIGNMENT
    return head + struct.pack("<Q", padding) + b"\0" * padding + b"".join(data for *_, data in parts)
