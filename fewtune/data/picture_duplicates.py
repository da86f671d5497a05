"""Pictures that are the same, byte for byte, or nearly: saved again, or scaled a little.

Nearly means that their grey thumbnails (24 x 24, mean taken away) have a cosine of at least 0.99, and that no small
window of theirs (3 of 64 pixels a side) differs by more than 6 of 255 steps of grey. The second rule keeps apart what
one camera took of one place: a good part and a scratched one differ in a spot, and that spot is the label. Saving as
JPEG and scaling change a window by 2 steps or so; in pictures of fewer than 128 pixels by more, and so the limit grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fewtune.data.picture import PictureFacts, facts
from fewtune.types import IntArray

_COSINE = 0.99
_STEPS = 6.0
_STEPS_HOLD_FROM_PX = 128
# Rows of thumbnails, and pairs of pictures, that are compared at once: bounds what the comparison holds.
_ROWS = 256
_PAIRS = 8192
# Windows that are looked at first: few settle most pairs.
_FIRST = 64


def picture_groups(paths: Sequence[str]) -> IntArray:
    """Group pictures that are the same or nearly so.

    Args:
        paths: n pictures; those that cannot be read are alone.

    Returns:
        (n,) index of each picture's group, numbered by first appearance.
    """
    known = [facts(path) for path in paths]
    first: dict[str, int] = {}
    same = [first.setdefault(fact.sha256, i) if fact.sha256 else i for i, fact in enumerate(known)]
    groups = _numbered(np.array(same, dtype=np.int64))
    for left, right in _near_pairs(known, sorted(first.values())):
        groups = _joined(groups, left, right)
    return groups


def picture_matches(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """For every picture of `right` that also is, or nearly is, in `left`: (index in left, index in right)."""
    groups = picture_groups([*left, *right]).tolist()
    first_left: dict[int, int] = {}
    for i, group in enumerate(groups[: len(left)]):
        first_left.setdefault(group, i)
    return [(first_left[group], j) for j, group in enumerate(groups[len(left) :]) if group in first_left]


def _numbered(groups: IntArray) -> IntArray:
    """The same groups, numbered by first appearance."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.ravel()].astype(np.int64)


def _joined(groups: IntArray, left: IntArray, right: IntArray) -> IntArray:
    """The groups after those of left[k] and right[k] have become one, for every k."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = int(groups.max()) + 1
    edges = coo_array((np.ones(len(left), np.int8), (groups[left], groups[right])), shape=(count, count))
    _, merged = connected_components(edges, directed=False)
    return _numbered(merged[groups])


def _near_pairs(known: Sequence[PictureFacts], among: Sequence[int]) -> Iterator[tuple[IntArray, IntArray]]:
    """Pairs of indices that are nearly the same, some at a time: all of them may be too many to hold."""
    place = np.array([i for i in among if known[i].thumbnail.size], dtype=np.int64)
    if not len(place):
        return
    rows = np.stack([known[i].thumbnail for i in place])
    details = np.stack([known[i].details for i in place])
    # Where the pictures vary most, two that are not the same are the soonest told apart.
    details = details[:, np.argsort(-details.var(axis=0), kind="stable")]
    sides = np.array([min(known[i].width, known[i].height) for i in place])
    limits = _STEPS * np.maximum(1.0, _STEPS_HOLD_FROM_PX / sides)
    for start in range(0, len(rows), _ROWS):
        end = min(start + _ROWS, len(rows))
        left, right = np.nonzero(np.tril(rows[start:end] @ rows[:end].T >= _COSINE, start - 1))
        left = left + start
        for begin in range(0, len(left), _PAIRS):
            some, others = left[begin : begin + _PAIRS], right[begin : begin + _PAIRS]
            limit = np.maximum(limits[some], limits[others])
            for windows in (slice(_FIRST), slice(_FIRST, None)):
                within = np.abs(details[some, windows] - details[others, windows]).max(axis=1) <= limit
                some, others, limit = some[within], others[within], limit[within]
            if len(some):
                yield place[some], place[others]
