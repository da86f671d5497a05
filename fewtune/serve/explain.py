"""Which words spoke for an answer: each is left out once, and the answer is asked for again.

Occlusion, as in Li, Monroe and Jurafsky (2016), "Understanding Neural Networks through Representation Erasure",
https://arxiv.org/abs/1612.08220.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

# Han, kana and Thai have no spaces between words: there a character is a part of its own.
_PART = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|[^\W\u3040-\u30ff\u3400-\u9fff]+(?:['’-]\w+)*"
)
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a text.

    Attributes:
        text: the stretch; all of them joined are the whole text.
        is_part: whether it is left out to see what it says, or is space and punctuation between such parts.
    """

    text: str
    is_part: bool


def segments(text: str, *, most_parts: int) -> list[Segment]:
    """Cut a text into words, single characters where words have no spaces, and what lies between.

    Args:
        text: any text.
        most_parts: where there are more words, neighbours are taken together.
    """
    spans = _merged([match.span() for match in _PART.finditer(text)], most_parts)
    found: list[Segment] = []
    position = 0
    for start, end in spans:
        if position < start:
            found.append(Segment(text[position:start], False))
        found.append(Segment(text[start:end], True))
        position = end
    if position < len(text):
        found.append(Segment(text[position:], False))
    return found


def _merged(spans: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    each = max(1, -(-len(spans) // most))
    return [(spans[i][0], spans[min(i + each, len(spans)) - 1][1]) for i in range(0, len(spans), each)]


def occlusions(parts: Sequence[Segment]) -> list[str]:
    """The text without each of its parts in turn: as many texts as there are parts."""
    return [
        "".join(segment.text for position, segment in enumerate(parts) if position != left_out)
        for left_out, part in enumerate(parts)
        if part.is_part
    ]


def weight(with_part: float, without_part: float) -> float:
    """What a part said for a label: by how much the log-odds fall without it; below 0 it spoke against."""
    return _log_odds(with_part) - _log_odds(without_part)


def _log_odds(probability: float) -> float:
    return math.log(max(probability, _TINY)) - math.log(max(1 - probability, _TINY))
