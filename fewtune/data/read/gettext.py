"""Catalogues of gettext: .po files, by polib."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fewtune.data.pairs import language_code
from fewtune.errors import DataError, MissingExtraError

_LINE = re.compile(r"line (\d+)")
_PLURALS = re.compile(r"nplurals\s*=\s*(\d+)")
# Which of an entry's texts: it has but one, or two.
_ONLY, _SINGULAR, _PLURAL = range(3)

Rows = tuple[tuple[str, ...], list[tuple[str, ...]], list[int], list[str]]


def parse_gettext(text: str, *, name: str, document: str = "") -> Rows:
    """Read a catalogue: what is translated and not marked as fuzzy; plurals give a pair for each form.

    Args:
        text: the whole file.
        name: what messages call it.
        document: what all of its entries belong to; empty: the files that they come from.

    Returns:
        Columns (source language, target language, document), rows, the line of each, notes.

    Raises:
        MissingExtraError: polib is not installed.
        DataError: it is no catalogue, or nothing in it is translated.
    """
    catalogue = _parsed(text, name)
    entries = [entry for entry in catalogue if not entry.obsolete]
    fuzzy = [entry for entry in entries if entry.fuzzy]
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    for entry in entries:
        if entry.fuzzy:
            continue
        place = document or (str(entry.occurrences[0][0]) if entry.occurrences else "")
        for source, target in _forms(entry):
            if target:
                rows.append((source, target, place))
                lines.append(int(entry.linenum or 0))
    if not rows:
        raise DataError(
            f"Nothing in the file is translated: {len(entries)} entries, {len(fuzzy)} of them fuzzy.",
            where=name,
            how="Choose a .po file with msgstr filled in; those marked fuzzy are not taken.",
        )
    notes = [f"{name}: left out {len(fuzzy)} fuzzy entries"] if fuzzy else []
    untranslated = sum(not entry.translated() and not entry.fuzzy for entry in entries)
    if untranslated:
        notes.append(f"{name}: left out {untranslated} entries without a translation")
    source = language_code(catalogue.metadata.get("X-Source-Language", "")) or "en"
    target = language_code(catalogue.metadata.get("Language", "")) or "target"
    return (source, target, "document"), rows, lines, notes


def parse_untranslated(text: str, *, name: str) -> tuple[str, list[str], list[int]]:
    """What of a catalogue waits for a translation: what has none, and what is marked as fuzzy.

    Where nothing waits, everything is given.

    Returns:
        The language that the texts are in, the texts, the line of each.

    Raises:
        MissingExtraError: polib is not installed.
        DataError: it is no catalogue, or has no entries.
    """
    catalogue = _parsed(text, name)
    places = _waiting(catalogue)
    if not places:
        raise DataError("The catalogue has no entries.", where=name)
    texts = [_wording(entry, form) for entry, form in places]
    language = language_code(catalogue.metadata.get("X-Source-Language", "")) or "en"
    return language, texts, [int(entry.linenum or 0) for entry, _ in places]


def fill_untranslated(text: str, translations: Sequence[str], *, name: str) -> str:
    """The catalogue with these translations of what `parse_untranslated` gave, in the same order.

    Each is marked as fuzzy, as gettext's own tools mark what a person has not looked at yet. A plural stands for all
    forms but the first. Header, comments and all else stay as they are.
    """
    catalogue = _parsed(text, name)
    forms = max(1, int(found[1]) if (found := _PLURALS.search(catalogue.metadata.get("Plural-Forms", ""))) else 2)
    for (entry, form), translation in zip(_waiting(catalogue), translations, strict=True):
        if form == _ONLY:
            entry.msgstr = _ends_as(entry.msgid, translation)
        else:
            places = [0] if form == _SINGULAR and forms > 1 else range(1 if forms > 1 else 0, forms)
            wording = _ends_as(_wording(entry, form), translation)
            entry.msgstr_plural |= {} if form == _SINGULAR and forms == 1 else dict.fromkeys(places, wording)
        if not entry.fuzzy:
            entry.flags.append("fuzzy")
    return str(catalogue)


def _waiting(catalogue: Any) -> list[tuple[Any, int]]:
    """Entries, each form by itself: those without a translation that holds, or else all."""
    every = [entry for entry in catalogue if not entry.obsolete]
    entries = [entry for entry in every if entry.fuzzy or not entry.translated()] or every
    return [(entry, form) for entry in entries for form in ((_SINGULAR, _PLURAL) if entry.msgid_plural else (_ONLY,))]


def _wording(entry: Any, form: int) -> str:
    return entry.msgid_plural if form == _PLURAL else entry.msgid


def _ends_as(source: str, translation: str) -> str:
    """A translation that begins and ends with a line break where its source does: gettext insists on that."""
    body = translation.strip("\n")
    return "\n" * source.startswith("\n") + body + "\n" * source.endswith("\n")


def _parsed(text: str, name: str) -> Any:
    try:
        import polib
    except ImportError:
        raise MissingExtraError("translate", needed_for="Reading .po files", where=name) from None
    try:
        return polib.pofile(text + "\n")
    except (OSError, ValueError, IndexError) as error:
        line = _LINE.search(str(error))
        where = f"{name}:{line[1]}" if line else name
        raise DataError("This is not a gettext catalogue.", where=where, how="Check it with: msgfmt -c") from None


def _forms(entry: Any) -> list[tuple[str, str]]:
    """An entry's texts with their translations: the singular's, and the last of the plurals'."""
    if not entry.msgid_plural:
        return [(entry.msgid, entry.msgstr)]
    forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)]
    if len(forms) == 1:  # a language without a plural says both alike
        return [(entry.msgid_plural, forms[0])]
    return [(entry.msgid, forms[0]), (entry.msgid_plural, forms[-1])]
