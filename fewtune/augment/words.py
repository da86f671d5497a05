"""A text as pieces: words that may change, and everything else, which may not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from re import Pattern

from fewtune.augment.chinese import is_chinese, segment
from fewtune.augment.protected import TOKEN, negates


@dataclass(frozen=True, slots=True)
class Words:
    """A text in pieces.

    Attributes:
        pieces: joined, they are the text.
        free: indices of the words that may change, in order.
        movable: indices of the words that may also move or go: a word that is negated may not.
    """

    pieces: tuple[str, ...]
    free: tuple[int, ...]
    movable: tuple[int, ...]


@lru_cache(maxsize=4096)
def words_of(text: str, keep: Pattern[str] | None = None) -> Words:
    """Take a text to pieces.

    Args:
        text: any.
        keep: finds what must not change either, in one group (`protected.phrases`).

    Raises:
        MissingExtraError: the text is Chinese, and jieba is not installed.
    """
    pieces: list[str] = []
    free: list[int] = []
    movable: list[int] = []
    segmented = is_chinese(text)
    negated = False
    for position, part in enumerate(keep.split(text) if keep else (text,)):
        if position % 2:
            pieces.append(part)
            continue
        for protected, word, han, other in TOKEN.findall(part):
            if not (word or (han and segmented)):
                pieces.append(protected or han or other)
                negated = negated and other.isspace()
                continue
            for piece in (word,) if word else segment(han):
                if negates(piece):
                    negated = True
                else:
                    free.append(len(pieces))
                    if not negated:
                        movable.append(len(pieces))
                    negated = False
                pieces.append(piece)
    return Words(tuple(pieces), tuple(free), tuple(movable))


def joined(pieces: Iterable[str]) -> str:
    """The text of some pieces, without the white space that a piece which went left double, or at the ends."""
    kept: list[str] = []
    for piece in pieces:
        if piece.isspace() and (not kept or kept[-1].isspace()):
            continue
        if piece:
            kept.append(piece)
    if kept and kept[-1].isspace():
        kept.pop()
    return "".join(kept)
