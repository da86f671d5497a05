"""Terms whose translations are given, and where they stand in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

# Scripts that write words without spaces between them, or endings onto them, with their marks and full-width forms:
# Thai to Burmese, Khmer, Chinese, Japanese and Korean (blocks of Unicode 16).
_UNSPACED = (
    "\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u1aad\u2e80-\ua4cf\ua960-\ua97f\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\uac00-\ud7ff\uf900-\ufaff\uff00-\uffdc\U00016fe0-\U00018dff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_UNSPACED}]")
_WORD = rf"[^\W{_UNSPACED}]"
# Once for all terms, since they are slow to compile: not between two signs that are of one word.
_START, _END = rf"(?:(?<!{_WORD})|(?!{_WORD}))", rf"(?:(?!{_WORD})|(?<!{_WORD}))"


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
    def _in_order(self) -> tuple[tuple[str, str], ...]:
        # The longest first: "file name" before "file"; and what is to be found as it is written before the others.
        terms = ((_key(source), target) for source, target in self.terms)
        return tuple(sorted(terms, key=lambda term: (-len(term[0]), _in_any_case(term[0]))))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        terms = (f"({'(?i:' if _in_any_case(term) else '(?:'}{_words(term)}))" for term, _ in self._in_order)
        return re.compile(f"{_START}(?:{'|'.join(terms)}){_END}")

    def found_in(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where terms stand in a text, as whole words, with their translations: (start, end, translation)."""
        if not self.terms:
            return
        for found in self._pattern.finditer(text):
            # The group says which term it is: letters are equal in any case that differ in small letters.
            source, target = self._in_order[(found.lastindex or 1) - 1]
            yield found.start(), found.end(), target if _key(found[0]) == source else _cased(target, found[0])


def find_term(text: str, term: str) -> tuple[int, int] | None:
    """Where a term first stands in a text as a whole word, in any case."""
    pattern = re.compile(_words(term), re.IGNORECASE)
    found = pattern.search(text)
    while found:
        if is_whole(text, *found.span()):
            return found.span()
        found = pattern.search(text, found.start() + 1)
    return None


def is_whole(text: str, start: int, end: int) -> bool:
    """Whether a part of a text, of a character at least, begins and ends where words do."""
    return not any(_goes_on(text[at - 1 : at]) and _goes_on(text[at : at + 1]) for at in (start, end))


def _goes_on(char: str) -> bool:
    """Whether a word goes on with it: a letter, digit or underscore of a script with spaces between its words."""
    return (char.isalnum() or char == "_") and not UNSPACED.match(char)


def _key(term: str) -> str:
    return " ".join(term.split())


def _words(term: str) -> str:
    return r"\s+".join(map(re.escape, term.split()))


def _in_any_case(term: str) -> bool:
    return term == term.lower()


def _cased(target: str, found: str) -> str:
    """A translation in capitals, or with a capital, where the term in the text has them."""
    if len(found) > 1 and found.isupper():
        return target.upper()
    return target[:1].upper() + target[1:] if found[0].isupper() else target
