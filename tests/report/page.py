"""Read a rendered page the way a browser does, refusing what the HTML standard calls an error."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

import html5lib

_NAMESPACES = ("{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}")


def parse(page: str) -> Element:
    """The document's tree. Raises html5lib's ParseError where the page is not valid HTML syntax."""
    return html5lib.HTMLParser(strict=True).parse(page)


def elements(root: Element, *names: str) -> Iterator[Element]:
    """Elements of these names in the order of the page; all without names."""
    for element in root.iter():
        if isinstance(element.tag, str) and (not names or name_of(element) in names):
            yield element


def name_of(element: Element) -> str:
    name = element.tag
    for namespace in _NAMESPACES:
        name = name.removeprefix(namespace)
    return name


def words(element: Element, language: str = "en") -> str:
    """What is read in one language, spaces run together."""
    return " ".join("".join(_text(element, {"en": "zh", "zh": "en"}[language])).split())


def _text(element: Element, hidden: str) -> Iterator[str]:
    if hidden in (element.get("class") or "").split() or name_of(element) in ("style", "script", "title"):
        return
    yield element.text or ""
    for child in element:
        # Blocks and cells stand apart.
        gap = "" if name_of(child) in ("span", "bdi", "strong", "code", "small") else " "
        yield gap
        yield from _text(child, hidden)
        yield gap
        yield child.tail or ""
