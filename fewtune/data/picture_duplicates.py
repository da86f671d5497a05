"""Pictures that are the same, byte for byte, or nearly: saved again, scaled, a frame later.

Nearly means that their grey thumbnails (24 x 24, mean taken away) have a cosine of at least 0.99.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewtune.data.picture import PictureFacts, facts
from fewtune.types import IntArray

_COSINE = 0.99
_ROWS = 1024


def picture_groups(paths: Sequence[str]) -> IntArray:
    """Group pictures that are the same or nearly so.

    Args:
        paths: n pictures; those that cannot be read are alone.

    Returns:
        (n,) index of each picture's group, numbered by first appearance.
    """
    known = [facts(path) for path in paths]
    parents = np.arange(len(paths))

    def root(i: int) -> int:
        while parents[i] != i:
            i = int(parents[i])
        return i

    first: dict[str, int] = {}
    for i, fact in enumerate(known):
        if fact.sha256:
            parents[i] = first.setdefault(fact.sha256, i)
    for i, j in _near_pairs(known):
        low, high = sorted((root(i), root(j)))
        parents[high] = low
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(root(i), len(numbers)) for i in range(len(paths))], dtype=np.int64)


def picture_matches(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """For every picture of `right` that also is, or nearly is, in `left`: (index in left, index in right)."""
    groups = picture_groups([*left, *right]).tolist()
    first_left: dict[int, int] = {}
    for i, group in enumerate(groups[: len(left)]):
        first_left.setdefault(group, i)
    return [(first_left[group], j) for j, group in enumerate(groups[len(left) :]) if group in first_left]


def _near_pairs(known: Sequence[PictureFacts]) -> list[tuple[int, int]]:
    place = [i for i, fact in enumerate(known) if fact.thumbnail.size]
    if not place:
        return []
    rows = np.stack([known[i].thumbnail for i in place])
    pairs = []
    for start in range(0, len(rows), _ROWS):
        near, other = np.nonzero(rows[start : start + _ROWS] @ rows.T >= _COSINE)
        pairs += [
            (place[start + i], place[j]) for i, j in zip(near.tolist(), other.tolist(), strict=True) if j < start + i
        ]
    return pairs
