"""What a translation must leave as it is: code, tags, placeholders, addresses, and what the vocabulary lacks.

Every such span is cut out before a text is translated; one character of Unicode's private use area stands for it,
and gives way to it again afterwards. So is a glossary's term: the character gives way to its translation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fewtune.data.glossary import UNSPACED, Glossary, find_term, is_whole

FIRST_MARK, LAST_MARK = 0xE000, 0xF8FF
_MOST_SPANS = LAST_MARK - FIRST_MARK + 1
_MARK = re.compile(f"[{chr(FIRST_MARK)}-{chr(LAST_MARK)}]")

# What stands for a sign of a script without spaces while spans are looked for: no word and no address goes on with it.
_OTHER = "。"
_SPANS = {
    "fenced code": r"```.*?```|~~~.*?~~~",
    "code": r"``[^\n]+?``",
    # A role whose text is to be translated keeps the role and what it points to.
    "role of a text": r"(?::[a-zA-Z][\w.+-]*)+:`(?=[^`\n]*[^`\s]\s*<[^<>`\n]+>`)",
    "target of a text": r"\s*<[^<>`\n]+>`_{0,2}",
    "role": r"(?::[a-zA-Z][\w.+-]*)+:`[^`\n]+`",
    "quoted code": r"(?<![\w`])`(?![\s`])[^`\n<]*[^`\s<]`_{0,2}(?![\w`])",
    "address": r"\b(?:https?|ftp|file)://[^\s<>\"'`。]*[\w/#=&%~+-]|\bwww\.[^\s<>\"'`。]*[\w/#=&%~+-]",
    "e-mail": r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "tag": r"</?[a-zA-Z][\w:.-]*(?:\s[^<>\n]*?)?/?>|<!--.*?-->",
    "entity": r"&(?:[a-zA-Z]\w{1,30}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});",
    "braces": r"\$?\{\{[^{}\n]*\}\}|[$#%]?\{[^{}\n]*\}",
    "printf": r"%\([^()\s]+\)[-+#0]*\d*(?:\.\d+)?[a-zA-Z]|%%|%@"
    r"|%(?:\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:hh|ll|[hlLzjt])?[diouxXeEfFgGcrsaA]\b",
    "variable": r"\$[A-Za-z_]\w*|\|[A-Za-z_][\w.-]*\|",
    "escape": r"\\[a-zA-Z]+|\\[^\w\s。]",
    "name": r"\b[A-Za-z]\w*(?:\.\w+)*\(\)|\b__\w+__\b|\b\w*[a-zA-Z0-9]_\w+\b|(?<![\w-])--[a-zA-Z][\w-]+",
}
_PATTERN = re.compile("|".join(f"(?:{pattern})" for pattern in _SPANS.values()), re.DOTALL)
NO_TERMS = Glossary()


@dataclass(frozen=True, slots=True)
class Protected:
    """A text with its protected spans cut out.

    Attributes:
        text: with a character of the private use area in place of each span: the first one's is U+E000.
        cut_out: what they stand for in the text.
        spans: what they give way to in its translation: the same, but for a glossary's terms.
    """

    text: str
    cut_out: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()

    def restored(self, text: str) -> str:
        """A text with the spans in place of the characters that stand for them; characters of no span go."""
        return _MARK.sub(lambda found: self._span(found[0]), text)

    def _span(self, mark: str) -> str:
        number = ord(mark) - FIRST_MARK
        return self.spans[number] if number < len(self.spans) else ""


def mark(number: int) -> str:
    """The character that stands for the span of that number."""
    return chr(FIRST_MARK + number)


def marked(text: str) -> list[tuple[str, int | None]]:
    """The text in parts: what is between the marks (None), and the marks' numbers."""
    parts: list[tuple[str, int | None]] = []
    at = 0
    for found in _MARK.finditer(text):
        parts += [(text[at : found.start()], None), (found[0], ord(found[0]) - FIRST_MARK)]
        at = found.end()
    return [*parts, (text[at:], None)]


def protect(text: str, lacks: Callable[[str], bool], glossary: Glossary = NO_TERMS) -> Protected:
    """Cut out what must stay as it is, and what has a given translation.

    Args:
        text: any.
        lacks: whether the vocabulary lacks a character.
        glossary: terms with their translations; inside of other spans they are not looked for.
    """
    pieces: list[str] = []
    cut_out: list[str] = []
    spans: list[str] = []
    for part, span in _parts(text, lacks, glossary):
        if span is not None and len(spans) < _MOST_SPANS:
            pieces.append(mark(len(spans)))
            cut_out.append(part)
            spans.append(span)
        else:
            # Beyond the last mark's number a character that looks like a mark cannot be kept.
            pieces.append(_MARK.sub("", part))
    return Protected("".join(pieces), tuple(cut_out), tuple(spans))


def unprotected(text: str) -> Protected:
    """A text of which nothing is cut out; characters that would look like marks go."""
    return Protected(_MARK.sub("", text))


def protect_pair(
    source: str, target: str, lacks: Callable[[str], bool], glossary: Glossary = NO_TERMS
) -> tuple[Protected, str]:
    """Cut out of both sides what stands in both of them: what a translation is to copy, or a term as given.

    Returns:
        The source, and the target with the same marks.
    """
    whole = protect(source, lacks, glossary)
    kept, rest = [], _MARK.sub("", target)
    # The longest first: a short one may be a part of it.
    for number in sorted(range(len(whole.spans)), key=lambda i: (-len(whole.spans[i]), i)):
        span, is_term = whole.spans[number], whole.spans[number] != whole.cut_out[number]
        if place := find_term(rest, span) if is_term else _outside(rest, span):
            rest = rest[: place[0]] + mark(number) + rest[place[1] :]
            kept.append(number)
    kept.sort()
    numbers = {number: i for i, number in enumerate(kept)}

    def renumbered(found: re.Match[str]) -> str:
        number = ord(found[0]) - FIRST_MARK
        return mark(numbers[number]) if number in numbers else whole.cut_out[number]

    both = Protected(
        _MARK.sub(renumbered, whole.text),
        tuple(whole.cut_out[number] for number in kept),
        tuple(whole.spans[number] for number in kept),
    )
    return both, _MARK.sub(renumbered, rest)


def _outside(text: str, span: str) -> tuple[int, int] | None:
    """Where a span stands in a text as a whole: no word goes on before or behind it."""
    at = text.find(span)
    while at >= 0:
        if is_whole(text, at, at + len(span)):
            return at, at + len(span)
        at = text.find(span, at + 1)
    return None


def spans_of(text: str) -> list[str]:
    """The spans of a text that any translation of it should keep; characters that some vocabulary lacks are none."""
    return [text[start:end].strip() for start, end in _places(text)]


def kept_and_all(source: str, answer: str) -> tuple[int, int]:
    """How many of a source's spans stand in the answer, each as often as in the source; and how many there are."""
    wanted = spans_of(source)
    kept, rest = 0, answer
    for span in sorted(wanted, key=len, reverse=True):
        if span in rest:
            kept += 1
            rest = rest.replace(span, "\0", 1)
    return kept, len(wanted)


def terms_kept_and_all(source: str, answer: str, glossary: Glossary) -> tuple[int, int]:
    """How many of the glossary's terms that stand in a source are in the answer as given; and how many there are."""
    ends = [0, *(at for place in _places(source) for at in place), len(source)]
    between = (source[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True))
    wanted = [target for part in between for _, _, target in glossary.found_in(part)]
    kept, rest = 0, answer
    for term in sorted(wanted, key=len, reverse=True):
        if place := find_term(rest, term):
            kept += 1
            rest = rest[: place[0]] + "\0" + rest[place[1] :]
    return kept, len(wanted)


def _parts(text: str, lacks: Callable[[str], bool], glossary: Glossary) -> Iterator[tuple[str, str | None]]:
    """Parts of a text, with what they give way to in a translation; None where they are to be translated."""
    at = 0
    for start, end in _places(text):
        yield from _between(text[at:start], lacks, glossary)
        # Spaces before a target of a text belong to the span: they are restored with it.
        yield text[start:end], text[start:end]
        at = end
    yield from _between(text[at:], lacks, glossary)


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where spans are: from, to."""
    return (found.span() for found in _PATTERN.finditer(UNSPACED.sub(_OTHER, text)))


def _between(text: str, lacks: Callable[[str], bool], glossary: Glossary) -> Iterator[tuple[str, str | None]]:
    at = 0
    for start, end, target in glossary.found_in(text):
        yield from _unknown(text[at:start], lacks)
        yield text[start:end], target
        at = end
    yield from _unknown(text[at:], lacks)


def _unknown(text: str, lacks: Callable[[str], bool]) -> Iterator[tuple[str, str | None]]:
    """Runs of characters that the vocabulary lacks, and what is between them."""
    run, is_lacking = "", False
    for char in text:
        lacking = not char.isspace() and (bool(_MARK.match(char)) or lacks(char))
        if lacking != is_lacking and run:
            yield run, run if is_lacking else None
            run = ""
        run, is_lacking = run + char, lacking
    if run:
        yield run, run if is_lacking else None
