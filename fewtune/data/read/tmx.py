"""Translation memories: TMX 1.4 (Localization Industry Standards Association, 2005)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fewtune.data.pairs import language_code
from fewtune.errors import DataError

_LANGUAGE = "http://www.w3.org/XML/1998/namespace lang"


@dataclass(slots=True)
class _Unit:
    line: int
    document: str = ""
    texts: dict[str, str] = field(default_factory=dict)


class _Reader:
    """Collects the units of a file while expat reads it; nothing outside the file is ever opened."""

    def __init__(self, name: str) -> None:
        from xml.parsers import expat

        self.units: list[_Unit] = []
        self.source = ""
        self._name = name
        self._path: list[str] = []
        self._language = ""
        self._text: list[str] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity

    def read(self, content: bytes) -> None:
        from xml.parsers.expat import ExpatError

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
        elif tag == "tuv":
            self._language = attributes.get(_LANGUAGE, attributes.get("lang", ""))
        elif tag in ("seg", "prop") and self.units:
            self._text = []
        if tag == "prop":
            self._language = attributes.get("type", "")

    def _characters(self, text: str) -> None:
        self._text.append(text)

    def _end(self, tag: str) -> None:
        self._path.pop()
        if not self.units:
            return
        unit, text = self.units[-1], "".join(self._text)
        if tag == "seg" and self._language:
            unit.texts[language_code(self._language) or self._language] = text.strip()
        elif tag == "prop" and "doc" in self._language.lower() and self._path[-1:] == ["tu"]:
            unit.document = text.strip()


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
