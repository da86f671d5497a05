"""Marian's binary lexical shortlist, little-endian.

Six u64: a magic number, a checksum, `first`, `best`, number of offsets, number of ids; then the offsets in u64 and
the ids in u32. The first `first` words of the vocabulary may always be used; the words of source word i are
ids[offsets[i] : offsets[i + 1]]. Source of the format: browsermt/marian-dev, src/data/shortlist.cpp.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fewtune.errors import DataError
from fewtune.runtime.shortlist import Shortlist

_MAGIC = 0xF11A48D5013417F5
_HEADER = struct.Struct("<6Q")


def read_marian_shortlist(path: Path, *, sources: int, targets: int) -> Shortlist:
    """Read a shortlist.

    Args:
        path: the file.
        sources, targets: sizes of the two vocabularies.

    Raises:
        DataError: it is damaged, or is not of these vocabularies.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"The shortlist cannot be read: {error.strerror or error}.", where=str(path)) from None
    if len(content) < _HEADER.size:
        raise _damaged(path, 0, f"it has {len(content)} bytes only")
    magic, _checksum, first, _best, offset_count, id_count = _HEADER.unpack_from(content)
    if magic != _MAGIC:
        raise _damaged(path, 0, f"it begins with {magic:#x}")
    needed = _HEADER.size + 8 * offset_count + 4 * id_count
    if needed != len(content):
        raise _damaged(path, 32, f"{needed} bytes were announced, and it has {len(content)}")
    offsets = np.frombuffer(content, "<u8", offset_count, _HEADER.size).astype(np.int64)
    ids = np.frombuffer(content, "<u4", id_count, _HEADER.size + 8 * offset_count).astype(np.int64)
    if (np.diff(offsets) < 0).any() or (offsets > id_count).any():
        raise _damaged(path, _HEADER.size, "its offsets are not in order")
    if offset_count < sources + 1 or ids.max(initial=0) >= targets or first > targets:
        raise DataError(
            f"The shortlist is of other vocabularies: it lists {offset_count - 1} source words, and the model has "
            f"{sources}.",
            where=str(path),
            how="Take the shortlist that came with the model.",
        )
    return Shortlist(np.arange(first), offsets, ids)


def with_words(content: bytes, source: int, more: Iterable[int]) -> bytes:
    """A shortlist's bytes with more words for one source word; for the end of a sentence: whatever the sentence."""
    magic, checksum, first, best, offset_count, id_count = _HEADER.unpack_from(content)
    offsets = np.frombuffer(content, "<u8", offset_count, _HEADER.size).copy()
    ids = np.frombuffer(content, "<u4", id_count, _HEADER.size + 8 * offset_count)
    start, end = (int(offsets[place]) for place in (source, source + 1))
    own = np.union1d(ids[start:end], np.fromiter(more, np.uint32)).astype("<u4")
    offsets[source + 1 :] += np.uint64(len(own) - (end - start))
    ids = np.concatenate([ids[:start], own, ids[end:]])
    header = _HEADER.pack(magic, checksum, first, best, offset_count, len(ids))
    return header + offsets.tobytes() + ids.astype("<u4").tobytes()


def _damaged(path: Path, at: int, why: str) -> DataError:
    return DataError(f"This is no whole shortlist of Marian's: at byte {at}, {why}.", where=str(path))
