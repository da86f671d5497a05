"""Texts that say the same: exactly, after normalising, or nearly.

Nearly means: of their character 4-shingles at least nine in ten are shared (Jaccard). Candidates
come from MinHash signatures in bands (Broder 1997; Leskovec, Rajaraman & Ullman, Mining of Massive
Datasets, ch. 3), so that the work grows with the number of texts, not of pairs. Texts that differ
in their digits alone are different: "flight 12" is not "flight 13".
"""

from __future__ import annotations

import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from fewtune.types import IntArray

_SHINGLE = 4
_JACCARD = 0.9
_BANDS, _ROWS = 8, 6  # finds a pair of Jaccard 0.9 with probability 1 - (1 - 0.9^6)^8 > 0.99
_PRIME = np.uint64((1 << 61) - 1)
# A bucket larger than this holds a template; comparing each with the first few is enough.
_BUCKET_COMPARISONS = 8
_SHINGLED_CHARACTERS = 2000


@lru_cache(maxsize=65536)
def _kept(char: str) -> bool:
    return unicodedata.category(char)[0] in "LNSM"


def normalise(text: str) -> str:
    """Letters, digits and symbols alone, in one width and case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in folded if _kept(char)) or text.strip()


def duplicate_groups(texts: Sequence[str]) -> IntArray:
    """Group texts that are the same or nearly so.

    Args:
        texts: n texts.

    Returns:
        (n,) index of each text's group, numbered by first appearance.
    """
    parents = list(range(len(texts)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    first: dict[str, int] = {}
    keys = [normalise(text) for text in texts]
    for i, key in enumerate(keys):
        parents[i] = first.setdefault(key, i)
    distinct = list(first.values())
    for a, b in _near_pairs([keys[i] for i in distinct]):
        low, high = sorted((root(distinct[a]), root(distinct[b])))
        parents[high] = low
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(root(i), len(numbers)) for i in range(len(texts))], dtype=np.int64)


def matches_across(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """For every text of `right` that also stands, or nearly stands, in `left`: (index in left, index in right)."""
    groups = duplicate_groups([*left, *right])
    first_left: dict[int, int] = {}
    for i, group in enumerate(groups[: len(left)].tolist()):
        first_left.setdefault(group, i)
    return [(first_left[group], j) for j, group in enumerate(groups[len(left) :].tolist()) if group in first_left]


def _near_pairs(keys: Sequence[str]) -> Iterator[tuple[int, int]]:
    shingles = [_shingles(key) for key in keys]
    digits = ["".join(char for char in key if char.isdigit()) for key in keys]
    signatures = _signatures(shingles)
    for band in range(_BANDS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for i, row in enumerate(signatures[:, band * _ROWS : (band + 1) * _ROWS]):
            buckets[row.tobytes()].append(i)
        for members in buckets.values():
            for position, i in enumerate(members[1:], start=1):
                for j in members[max(0, position - _BUCKET_COMPARISONS) : position]:
                    if digits[i] == digits[j] and _jaccard(shingles[i], shingles[j]) >= _JACCARD:
                        yield j, i


def _shingles(key: str) -> IntArray:
    """Sorted hashes of the distinct character shingles."""
    key = key[:_SHINGLED_CHARACTERS]
    pieces = {key[i : i + _SHINGLE] for i in range(max(1, len(key) - _SHINGLE + 1))}
    hashes = np.fromiter(
        (zlib.crc32(piece.encode("utf-8", "surrogatepass")) for piece in pieces), np.int64, len(pieces)
    )
    hashes.sort()
    return hashes


def _signatures(shingles: Sequence[IntArray]) -> np.ndarray:
    """(n, bands x rows) MinHash signatures."""
    generator = np.random.default_rng(20240917)
    factors = generator.integers(1, 1 << 31, _BANDS * _ROWS, dtype=np.uint64)
    offsets = generator.integers(0, 1 << 31, _BANDS * _ROWS, dtype=np.uint64)
    signatures = np.empty((len(shingles), _BANDS * _ROWS), dtype=np.uint64)
    for i, hashes in enumerate(shingles):
        mixed = hashes.astype(np.uint64)[:, None] * factors + offsets
        signatures[i] = (mixed % _PRIME).min(axis=0)
    return signatures


def _jaccard(a: IntArray, b: IntArray) -> float:
    shared = np.intersect1d(a, b, assume_unique=True).size
    return shared / (a.size + b.size - shared)
