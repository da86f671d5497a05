"""What a section is made of; `templates/blocks.html` says how each looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from fewtune.report.phrase import Part, Phrase
from fewtune.report.plots.svg import Drawing


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences; `lead` ones are larger, `aside` ones smaller."""

    text: Phrase
    tone: Literal["lead", "plain", "aside"] = "plain"
    kind: ClassVar = "paragraph"


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[Part]
    kind: ClassVar = "bullets"


@dataclass(frozen=True, slots=True)
class Steps:
    """What to do, one after the other: a title, a reason, and what to type."""

    items: Sequence[tuple[Phrase, Phrase, str]]
    kind: ClassVar = "steps"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: words to the left, numbers to the right; a `scale` is seen in place of its title."""

    title: Part
    form: Literal["words", "number", "plot"] = "words"
    scale: Part = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows whose first cell is their heading; `marked` is the index of the one to be seen first."""

    caption: Phrase
    columns: Sequence[Column]
    rows: Sequence[Sequence[Part]]
    marked: int | None = None
    kind: ClassVar = "table"


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Counts as a table whose cells are the darker the larger they are.

    Attributes:
        labels: of the rows and of the columns.
        counts: (k, k), rows the truth.
        shades: (k, k) 0 to 8.
    """

    caption: Phrase
    labels: Sequence[str]
    counts: Sequence[Sequence[int]]
    shades: Sequence[Sequence[int]]
    kind: ClassVar = "heat_map"


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot, what it shows in words, and its numbers as a table."""

    caption: Phrase
    drawing: Drawing
    description: Phrase
    numbers: Table | None = None
    kind: ClassVar = "figure"


@dataclass(frozen=True, slots=True)
class Card:
    """One example: what it is, what was said of it, and where it stands."""

    text: str
    facts: Sequence[Phrase]
    place: str


@dataclass(frozen=True, slots=True)
class Cards:
    """Examples to read."""

    items: Sequence[Card]
    kind: ClassVar = "cards"


@dataclass(frozen=True, slots=True)
class PictureCard:
    """A picture as a data URI, what it shows in words, what is said of it, and where it stands."""

    uri: str
    words: Phrase
    facts: Sequence[Phrase]
    place: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures to look at, under what they show where nothing above says it."""

    caption: Phrase | None
    items: Sequence[PictureCard]
    kind: ClassVar = "pictures"


@dataclass(frozen=True, slots=True)
class Commands:
    """Lines to type, each with what it does."""

    items: Sequence[tuple[Phrase, str]]
    kind: ClassVar = "commands"


Block = Paragraph | Bullets | Steps | Table | HeatMap | Figure | Cards | Pictures | Commands


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it; `name` is its anchor."""

    name: str
    title: Phrase
    blocks: Sequence[Block]
