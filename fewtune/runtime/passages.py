"""Texts to the sentences that a translator reads at once, and their translations to texts again.

Line breaks and the spaces at the ends of lines stay as they are. A line that is longer than the model was made for is
cut between sentences; one sentence that still is too long, at a comma or a space.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fewtune.data.protection import Protected, mark, marked

_BREAK = re.compile(r"(\s*(?:\r\n|\n|\r)\s*|^\s+|\s+$)")
# Where a line may be cut, best first; what is matched is the space between the parts.
_CUTS = (
    re.compile(
        r"(?<=[.!?…。！？])(?:(?<=[^A-Z]\.)|(?<=[^.]))[\"')\]”»]*\s+(?=[\"'(\[“«¿¡*\ue000-\uf8ff]*[A-Z0-9À-ÞА-Я])"
    ),
    re.compile(r"(?<=[,;:])\s+"),
    re.compile(r"\s+"),
)
_SHORTENED = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|Mr|Mrs|Ms|Dr|Prof|No|Fig|Sr|Sra|St|p\.ex|approx)\.$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text that is translated by itself.

    Attributes:
        text: with marks, numbered from 0 by their order.
        numbers: of each of its marks, the number in the whole text.
    """

    text: str
    numbers: tuple[int, ...]

    def as_in_whole(self, translation: str) -> str:
        """A translation with the marks that the whole text has; one that the passage has not goes."""
        parts = [
            part if number is None else mark(self.numbers[number]) if number < len(self.numbers) else ""
            for part, number in marked(translation)
        ]
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Cut:
    """A text in passages, and what stands between them.

    Attributes:
        pieces: spaces and line breaks as they are, and passages.
        whole: the text that they come from.
    """

    pieces: tuple[str | Passage, ...]
    whole: Protected

    @property
    def passages(self) -> list[Passage]:
        """Those to be translated, in their order."""
        return [piece for piece in self.pieces if isinstance(piece, Passage)]

    def joined(self, translations: Sequence[str]) -> str:
        """The text again, with a translation in place of each passage."""
        remaining = iter(translations)
        parts = [piece.as_in_whole(next(remaining)) if isinstance(piece, Passage) else piece for piece in self.pieces]
        return self.whole.restored("".join(parts))


def cut(whole: Protected, fits: Callable[[str], bool]) -> Cut:
    """Cut a text into passages.

    Args:
        whole: the text, its spans protected.
        fits: whether a passage's text, with its own marks, can be translated at once.
    """
    pieces: list[str | Passage] = []
    for line in _BREAK.split(whole.text):
        if not line.strip():
            pieces.append(line)
            continue
        for place, (part, space) in enumerate(_parts(line, fits)):
            pieces += [space] if place else []
            pieces.append(_passage(part))
    return Cut(tuple(pieces), whole)


def _parts(line: str, fits: Callable[[str], bool]) -> list[tuple[str, str]]:
    """Parts of a line that fit, each with the space before it."""
    if fits(_passage(line).text):
        return [(line, "")]
    for pattern in _CUTS:
        places = [found.span() for found in pattern.finditer(line) if found.start() > 0 and found.end() < len(line)]
        places = [(start, end) for start, end in places if pattern is not _CUTS[0] or not _shortened(line[:start])]
        if places:
            start, end = min(places, key=lambda place: abs(place[0] + place[1] - len(line)))
            # A closing quote that was matched with the space stays with its sentence.
            start = end - (len(line[start:end]) - len(line[start:end].rstrip()))
            return [*_parts(line[:start], fits), *_after(line[start:end], _parts(line[end:], fits))]
    if len(line) < 2:
        return [(line, "")]
    half = len(line) // 2
    return [*_parts(line[:half], fits), *_after("", _parts(line[half:], fits))]


def _after(space: str, parts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(parts[0][0], space), *parts[1:]]


def _shortened(text: str) -> bool:
    return bool(_SHORTENED.search(text))


def _passage(text: str) -> Passage:
    numbers: list[int] = []
    parts: list[str] = []
    for part, number in marked(text):
        if number is None:
            parts.append(part)
        else:
            parts.append(mark(len(numbers)))
            numbers.append(number)
    return Passage("".join(parts), tuple(numbers))
