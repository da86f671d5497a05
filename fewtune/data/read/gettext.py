"""Catalogues of gettext: .po files, by polib."""

from __future__ import annotations

import re
from typing import Any

from fewtune.data.pairs import language_code
from fewtune.errors import DataError, MissingExtraError

_LINE = re.compile(r"line (\d+)")

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
    try:
        import polib
    except ImportError:
        raise MissingExtraError("translate", needed_for="Reading .po files", where=name) from None
    try:
        catalogue = polib.pofile(text + "\n")
    except (OSError, ValueError, IndexError) as error:
        line = _LINE.search(str(error))
        where = f"{name}:{line[1]}" if line else name
        raise DataError("This is not a gettext catalogue.", where=where, how="Check it with: msgfmt -c") from None
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


def _forms(entry: Any) -> list[tuple[str, str]]:
    """An entry's texts with their translations: the singular's, and the last of the plurals'."""
    if not entry.msgid_plural:
        return [(entry.msgid, entry.msgstr)]
    forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)]
    if len(forms) == 1:  # a language without a plural says both alike
        return [(entry.msgid_plural, forms[0])]
    return [(entry.msgid, forms[0]), (entry.msgid_plural, forms[-1])]
