"""Translation memories: TMX 1.4 (Localization Industry Standards Association, 2005)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from fewtune.data.pairs import language_code
from fewtune.data.read.encoding import decode
from fewtune.errors import DataError

_LANGUAGE = "http://www.w3.org/XML/1998/namespace lang"
_ENCODING = re.compile(r"""(\A\ufeff?<\?xml[^>]*?encoding\s*=\s*)(["'])([\w.:-]+)\2""")
# Who changed a text last (TMX 1.4b, "changeid"): nobody has looked at it yet.
_BY = ' changeid="fewtune"'


@dataclass(slots=True)
class _Variant:
    """A unit's text in one language: `<tuv>`. Places are in bytes.

    Attributes:
        tag: its language as the file writes it.
        text: without the spaces around it.
        start, end: of the element.
        seg: start and end of its `<seg>`; zeros where it has none.
        changed: whether it says who changed it.
    """

    tag: str
    start: int
    changed: bool
    text: str = ""
    seg: tuple[int, int] = (0, 0)
    end: int = 0

    @property
    def language(self) -> str:
        return language_code(self.tag) or self.tag


@dataclass(slots=True)
class _Unit:
    line: int
    document: str = ""
    variants: list[_Variant] = field(default_factory=list)

    @property
    def texts(self) -> dict[str, str]:
        """By language; of its varieties, such as pt-PT and pt-BR, one that is not empty."""
        found = dict[str, str]()
        for some in self.variants:
            if some.tag and (some.text or some.language not in found):
                found[some.language] = some.text
        return found

    def waits(self, languages: tuple[str, str], variety: str) -> bool:
        """Whether it has a text to translate, and no translation, or an empty one in that variety."""
        target = self.variant(languages[1], variety)
        return bool(self.texts.get(languages[0])) and not (target and target.text)

    def variant(self, language: str, variety: str) -> _Variant | None:
        """That of a language that a translation belongs into: an empty one in that variety, else what has a text."""

        def fits(some: _Variant) -> tuple[bool, bool, bool]:
            own = some.tag.casefold() == variety.casefold()
            return own and not some.text, bool(some.text), own

        return max((some for some in reversed(self.variants) if some.language == language), key=fits, default=None)


class _Reader:
    """Collects the units of a file while expat reads it; nothing outside the file is ever opened."""

    def __init__(self, name: str, encoding: str | None = None) -> None:
        from xml.parsers import expat

        self.units: list[_Unit] = []
        self.source = ""
        self._name = name
        self._path: list[str] = []
        self._kind = ""
        self._text: list[str] = []
        self._begun = 0
        self._content = b""
        self._parser = expat.ParserCreate(encoding, namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity

    def read(self, content: bytes) -> None:
        from xml.parsers.expat import ExpatError

        self._content = content
        try:
            self._parser.Parse(content, True)
        except ExpatError as error:
            raise DataError(
                f"This is not whole XML: {error}.", where=f"{self._name}:{error.lineno}", how="Export the TMX again."
            ) from None

    def _entity(self, *_: Any) -> None:
        raise DataError(
            "The file declares entities of its own, which are not read.",
            where=f"{self._name}:{self._parser.CurrentLineNumber}",
            how="Export the TMX again without a DTD of its own.",
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag)
        if tag == "header":
            self.source = language_code(attributes.get("srclang", ""))
        elif tag == "tu":
            self.units.append(_Unit(self._parser.CurrentLineNumber))
        elif tag == "tuv" and self.units:
            language = attributes.get(_LANGUAGE, attributes.get("lang", ""))
            changed = "changeid" in attributes
            self.units[-1].variants.append(_Variant(language, self._parser.CurrentByteIndex, changed))
        elif tag in ("seg", "prop") and self.units:
            self._text, self._begun = [], self._parser.CurrentByteIndex
        if tag == "prop":
            self._kind = attributes.get("type", "")

    def _characters(self, text: str) -> None:
        self._text.append(text)

    def _end(self, tag: str) -> None:
        self._path.pop()
        if not self.units:
            return
        unit, text = self.units[-1], "".join(self._text)
        if tag == "seg" and unit.variants:
            unit.variants[-1].text, unit.variants[-1].seg = text.strip(), (self._begun, self._end_of_tag(self._begun))
        elif tag == "tuv" and unit.variants:
            unit.variants[-1].end = self._end_of_tag(unit.variants[-1].start)
        elif tag == "prop" and "doc" in self._kind.lower() and self._path[-1:] == ["tu"]:
            unit.document = text.strip()

    def _end_of_tag(self, start: int) -> int:
        """Where an element that began there ends, as its end is told of."""
        place = self._parser.CurrentByteIndex
        # Of an element without content, the end is told of where it is over already.
        is_over = self._content[start:place].endswith(b"/>") and self._content.count(b">", start, place) == 1
        return place if is_over else self._content.index(b">", place) + 1


def parse_tmx(content: bytes, *, name: str) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[int]]:
    """Read a translation memory.

    Returns:
        Columns (the two commonest languages, the source's first; and document), rows, the line of each.

    Raises:
        DataError: it is not XML, or holds no translations.
    """
    reader = _Reader(name)
    reader.read(content)
    counts = Counter(language for unit in reader.units for language in unit.texts)
    if len(counts) < 2:
        raise DataError(
            f"The file has texts in {len(counts)} language{'' if len(counts) == 1 else 's'}, not in two.",
            where=name,
            how="Choose a TMX file with <tu> that hold two <tuv> each.",
        )
    common = sorted(counts, key=lambda language: (language != reader.source, -counts[language]))[:2]
    units = [unit for unit in reader.units if unit.texts]
    rows = [(unit.texts.get(common[0], ""), unit.texts.get(common[1], ""), unit.document) for unit in units]
    return (*common, "document"), rows, [unit.line for unit in units]


def parse_waiting(
    content: bytes, languages: tuple[str, str], *, name: str
) -> tuple[list[tuple[str, str, str]], list[int], str]:
    """What of a translation memory waits for a translation; where nothing does, all that can be translated.

    Args:
        content: the whole file.
        languages: of the texts and of the translations.
        name: what messages call the file.

    Returns:
        Rows (text, translation that is there, document), the line of each, the file as text.

    Raises:
        DataError: it is not XML, or not text.
    """
    document = _decoded(content, name)
    units = _units(document.encode(), name)
    variety, rows, lines = _variety(units, languages[1]), list[tuple[str, str, str]](), list[int]()
    for unit in _waiting(units, languages):
        target = unit.variant(languages[1], variety)
        rows.append((unit.texts[languages[0]], target.text if target else "", unit.document))
        lines.append(unit.line)
    return rows, lines, document


def fill_waiting(document: str, translations: Sequence[str], languages: tuple[str, str], *, name: str) -> str:
    """The file with these translations of what `parse_waiting` gave, in the same order.

    What is filled in names fewtune as who changed it. All else stays as it is, but that the encoding is UTF-8.
    """
    content = document.encode()
    units = _units(content, name)
    variety = _variety(units, languages[1])
    parts, place = list[bytes](), 0
    for unit, translation in zip(_waiting(units, languages), translations, strict=True):
        source, target = unit.variant(languages[0], ""), unit.variant(languages[1], variety)
        assert source is not None
        seg = f"<seg>{escape(translation)}</seg>".encode()
        if target is None:
            before = content[: source.start]
            space = before[len(before.rstrip()) :]
            new = f"<tuv xml:lang={quoteattr(variety)}{_BY}>".encode()
            parts += [content[place : source.end], space, new, seg, b"</tuv>"]
            place = source.end
        else:
            name_end = target.start + len("<tuv")
            by = b"" if target.changed else _BY.encode()
            before, seg_place, after = _around_seg(content, target)
            parts += [content[place:name_end], by, content[name_end : seg_place[0]], before, seg, after]
            place = seg_place[1]
    filled = b"".join([*parts, content[place:]]).decode()
    return _ENCODING.sub(r"\1\2UTF-8\2", filled, count=1)


def _around_seg(content: bytes, variant: _Variant) -> tuple[bytes, tuple[int, int], bytes]:
    """Where a variant's `<seg>` stands or belongs, and what is to stand before and after it in that place."""
    if variant.seg[1]:
        return b"", variant.seg, b""
    if content.endswith(b"/>", variant.start, variant.end):
        return b">", (variant.end - len(b"/>"), variant.end), b"</tuv>"
    end = content.rindex(b"</", variant.start, variant.end)
    return b"", (end, end), b""


def _decoded(content: bytes, name: str) -> str:
    """As its declaration says, or as any text."""
    declared = _ENCODING.match(content[:200].decode("latin-1"))
    if declared and not declared[3].lower().startswith("utf"):
        try:
            return content.decode(declared[3])
        except (LookupError, UnicodeDecodeError) as error:
            raise DataError(
                f"The file is not in {declared[3]}, as it says ({error}).", where=name, how="Save it as UTF-8."
            ) from None
    return decode(content, source=name)[0]


def _units(content: bytes, name: str) -> list[_Unit]:
    reader = _Reader(name, "utf-8")
    reader.read(content)
    return reader.units


def _waiting(units: Sequence[_Unit], languages: tuple[str, str]) -> list[_Unit]:
    some, variety = [unit for unit in units if unit.texts.get(languages[0])], _variety(units, languages[1])
    return [unit for unit in some if unit.waits(languages, variety)] or some


def _variety(units: Sequence[_Unit], language: str) -> str:
    """The tag that most of the texts in a language have, such as pt-BR; of what is there for them, if all are empty."""
    found = [some for unit in units for some in unit.variants if some.language == language]
    tags = Counter(some.tag for some in found if some.text) or Counter(some.tag for some in found)
    return tags.most_common(1)[0][0] if tags else language
