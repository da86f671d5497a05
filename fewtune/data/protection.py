"""What a translation must leave as it is: code, tags, placeholders, addresses, and what the vocabulary lacks.

Every such span is cut out before a text is translated; one character of Unicode's private use area stands for it,
and gives way to it again afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FIRST_MARK, LAST_MARK = 0xE000, 0xF8FF
_MOST_SPANS = LAST_MARK - FIRST_MARK + 1
_MARK = re.compile(f"[{chr(FIRST_MARK)}-{chr(LAST_MARK)}]")

_SPANS = {
    "fenced code": r"```.*?```|~~~.*?~~~",
    "code": r"``[^\n]+?``",
    # A role whose text is to be translated keeps the role and what it points to.
    "role of a text": r"(?::[a-zA-Z][\w.+-]*)+:`(?=[^`\n]*[^`\s]\s*<[^<>`\n]+>`)",
    "target of a text": r"\s*<[^<>`\n]+>`_{0,2}",
    "role": r"(?::[a-zA-Z][\w.+-]*)+:`[^`\n]+`",
    "quoted code": r"(?<![\w`])`(?![\s`])[^`\n<]*[^`\s<]`_{0,2}(?![\w`])",
    "address": r"\b(?:https?|ftp|file)://[^\s<>\"'`]*[\w/#=&%~+-]|\bwww\.[^\s<>\"'`]*[\w/#=&%~+-]",
    "e-mail": r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "tag": r"</?[a-zA-Z][\w:.-]*(?:\s[^<>\n]*?)?/?>|<!--.*?-->",
    "entity": r"&(?:[a-zA-Z]\w{1,30}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});",
    "braces": r"\$?\{\{[^{}\n]*\}\}|[$#%]?\{[^{}\n]*\}",
    "printf": r"%\(\w+\)[-+#0]*\d*(?:\.\d+)?[a-zA-Z]|%%|%@"
    r"|%(?:\d+\$)?[-+#0]*\d*(?:\.\d+)?(?:hh|ll|[hlLzjt])?[diouxXeEfFgGcrsaA]\b",
    "variable": r"\$[A-Za-z_]\w*|\|[A-Za-z_][\w.-]*\|",
    "escape": r"\\[a-zA-Z]+|\\[^\w\s]",
    "name": r"\b[A-Za-z]\w*(?:\.\w+)*\(\)|\b__\w+__\b|\b\w*[a-zA-Z0-9]_\w+\b|(?<![\w-])--[a-zA-Z][\w-]+",
}
_PATTERN = re.compile("|".join(f"(?:{pattern})" for pattern in _SPANS.values()), re.DOTALL)


@dataclass(frozen=True, slots=True)
class Protected:
    """A text with its protected spans cut out.

    Attributes:
        text: with a character of the private use area in place of each span: the first one's is U+E000.
        spans: what they stand for.
    """

    text: str
    spans: tuple[str, ...]

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


def protect(text: str, lacks: Callable[[str], bool]) -> Protected:
    """Cut out what must stay as it is.

    Args:
        text: any.
        lacks: whether the vocabulary lacks a character.
    """
    pieces: list[str] = []
    spans: list[str] = []
    for part, is_span in _parts(text, lacks):
        if is_span and len(spans) < _MOST_SPANS:
            pieces.append(mark(len(spans)))
            spans.append(part)
        else:
            # Beyond the last mark's number a character that looks like a mark cannot be kept.
            pieces.append(_MARK.sub("", part))
    return Protected("".join(pieces), tuple(spans))


def unprotected(text: str) -> Protected:
    """A text of which nothing is cut out; characters that would look like marks go."""
    return Protected(_MARK.sub("", text), ())


def protect_pair(source: str, target: str, lacks: Callable[[str], bool]) -> tuple[Protected, str]:
    """Cut out of both sides what stands in both of them: what a translation is to copy.

    Returns:
        The source, and the target with the same marks.
    """
    whole = protect(source, lacks)
    kept, rest = {}, _MARK.sub("", target)
    # The longest first: a short one may be a part of it.
    for number in sorted(range(len(whole.spans)), key=lambda i: (-len(whole.spans[i]), i)):
        at = _outside(rest, whole.spans[number])
        if at >= 0:
            rest = rest[:at] + mark(number) + rest[at + len(whole.spans[number]) :]
            kept[number] = whole.spans[number]
    numbers = {number: i for i, number in enumerate(sorted(kept))}

    def renumbered(found: re.Match[str]) -> str:
        number = ord(found[0]) - FIRST_MARK
        return mark(numbers[number]) if number in numbers else whole.spans[number]

    both = Protected(_MARK.sub(renumbered, whole.text), tuple(kept[number] for number in sorted(kept)))
    return both, _MARK.sub(renumbered, rest)


def _outside(text: str, span: str) -> int:
    """Where a span stands in a text as a whole: no word goes on before or behind it; -1 where it does not."""
    at = text.find(span)
    while at >= 0:
        before, behind = text[at - 1 : at] if at else "", text[at + len(span) :][:1]
        cuts = (span[0].isalnum() and before.isalnum()) or (span[-1].isalnum() and behind.isalnum())
        if not cuts:
            return at
        at = text.find(span, at + 1)
    return -1


def spans_of(text: str) -> list[str]:
    """The spans of a text that any translation of it should keep; characters that some vocabulary lacks are none."""
    return [found[0].strip() for found in _PATTERN.finditer(text)]


def kept_and_all(source: str, answer: str) -> tuple[int, int]:
    """How many of a source's spans stand in the answer, each as often as in the source; and how many there are."""
    wanted = spans_of(source)
    kept, rest = 0, answer
    for span in sorted(wanted, key=len, reverse=True):
        if span in rest:
            kept += 1
            rest = rest.replace(span, "\0", 1)
    return kept, len(wanted)


def _parts(text: str, lacks: Callable[[str], bool]) -> Iterator[tuple[str, bool]]:
    at = 0
    for found in _PATTERN.finditer(text):
        yield from _unknown(text[at : found.start()], lacks)
        # Spaces before a target of a text belong to the span: they are restored with it.
        yield found[0], True
        at = found.end()
    yield from _unknown(text[at:], lacks)


def _unknown(text: str, lacks: Callable[[str], bool]) -> Iterator[tuple[str, bool]]:
    """Runs of characters that the vocabulary lacks, and what is between them."""
    run, is_lacking = "", False
    for char in text:
        lacking = not char.isspace() and (bool(_MARK.match(char)) or lacks(char))
        if lacking != is_lacking and run:
            yield run, is_lacking
            run = ""
        run, is_lacking = run + char, lacking
    if run:
        yield run, is_lacking
