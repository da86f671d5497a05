"""Glossaries: tables of terms with their translations."""

from __future__ import annotations

from typing import Any

from fewtune.data.glossary import Glossary
from fewtune.data.pairs import language_columns
from fewtune.data.read import read_table
from fewtune.errors import DataError
from fewtune.types import Table

_NAMES = (("source", "target"), ("term", "translation"))
_FORM = "Name the columns in the first line: by their languages, such as en,pt, or source,target."


def read_glossary(source: Any, languages: tuple[str, ...]) -> Glossary:
    """Read a table of terms.

    Args:
        source: a path, a DataFrame or a list of dictionaries.
        languages: BCP 47 codes of the texts and of their translations; an empty one is any.

    Raises:
        DataError: it cannot be read, which columns hold the terms cannot be told, or a term has two translations.
    """
    table = read_table(source)
    columns = [table.columns.index(name) for name in _columns(table, languages)]
    terms: dict[str, tuple[str, str]] = {}
    for row, place in zip(table.rows, table.places, strict=True):
        term, translation = (" ".join(row[column].split()) for column in columns)
        if not term and not translation:
            continue
        if not term or not translation:
            raise DataError(
                "A term has no translation." if term else "A translation has no term.",
                where=place,
                how="Fill in the other side; a term that is to stay as it is stands on both sides.",
            )
        known = terms.setdefault(term, (term, translation))
        if known[1] != translation:
            raise DataError(
                f"The term {term!r} has two translations: {known[1]!r} and {translation!r}.",
                where=place,
                how="Keep one of them.",
            )
    if not terms:
        raise DataError("There is no term in this glossary.", where=table.source, how=_FORM)
    return Glossary(tuple(terms.values()))


def _columns(table: Table, languages: tuple[str, ...]) -> tuple[str, str]:
    by_language = {code: column for column, code in reversed(language_columns(table.columns))}
    if len(by_language) >= 2:
        wanted = tuple(languages) if all(languages) else tuple(by_language)[-2:][::-1]
        if missing := [code for code in wanted if code not in by_language]:
            raise DataError(
                f"The glossary has no column in {missing[0]}.",
                where=table.source,
                how=f"The texts go from {wanted[0]} to {wanted[1]}; there are: {', '.join(table.columns)}.",
            )
        return by_language[wanted[0]], by_language[wanted[1]]
    by_name = {column.strip().casefold(): column for column in table.columns}
    for source, target in _NAMES:
        if source in by_name and target in by_name:
            return by_name[source], by_name[target]
    raise DataError(
        f"Which columns hold the terms and their translations cannot be told: {', '.join(table.columns)}.",
        where=table.source,
        how=_FORM,
    )
