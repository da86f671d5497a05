"""Terms whose translations are given, and where they stand in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

# Scripts from here on, Thai to Chinese and Korean, write words without spaces between them, or endings onto them.
_FIRST_UNSPACED = "\u0e00"


@dataclass(frozen=True)
class Glossary:
    """Terms with their translations.

    Attributes:
        terms: each with its translation; one in small letters is found in any case, another one as it is written.
    """

    terms: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.terms)

    @cached_property
    def _targets(self) -> dict[str, str]:
        return {_key(source): target for source, target in self.terms}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # The longest first: "file name" before "file".
        terms = sorted((source for source, _ in self.terms), key=len, reverse=True)
        return re.compile("|".join(map(_whole, terms)))

    def found_in(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where terms stand in a text, as whole words, with their translations: (start, end, translation)."""
        if not self.terms:
            return
        for found in self._pattern.finditer(text):
            term = _key(found[0])
            target = self._targets[term] if term in self._targets else _cased(self._targets[term.lower()], found[0])
            yield found.start(), found.end(), target


def find_term(text: str, term: str) -> tuple[int, int] | None:
    """Where a term first stands in a text as a whole word, in any case."""
    found = re.search(_whole(term), text, re.IGNORECASE)
    return found.span() if found else None


def _key(term: str) -> str:
    return " ".join(term.split())


def _whole(term: str) -> str:
    words = r"\s+".join(map(re.escape, term.split()))
    before = r"(?<!\w)" if _is_spaced(term[0]) else ""
    behind = r"(?!\w)" if _is_spaced(term[-1]) else ""
    flag = "i" if term == term.lower() else ""
    return f"{before}(?{flag}:{words}){behind}"


def _is_spaced(char: str) -> bool:
    return char.isalnum() and char < _FIRST_UNSPACED


def _cased(target: str, found: str) -> str:
    """A translation in capitals, or with a capital, where the term in the text has them."""
    if len(found) > 1 and found.isupper():
        return target.upper()
    return target[:1].upper() + target[1:] if found[0].isupper() else target
