"""Texts with their translations in whatever form they come: which one it is, the data itself tells."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from fewtune.data.language import main_languages
from fewtune.data.pairs import Pairs, language_code, language_columns
from fewtune.data.read import read_bytes, read_table
from fewtune.data.read.aligned import aligned_files, parse_aligned
from fewtune.data.read.encoding import decode
from fewtune.data.read.gettext import parse_gettext, parse_untranslated
from fewtune.data.read.tmx import parse_tmx, parse_waiting
from fewtune.errors import DataError, FewtuneError
from fewtune.types import Table

_TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".jsonlines", ".xlsx", ".parquet")
_DOCUMENTS = ("document", "doc", "file", "group", "group_id", "文档")
_FORMS = (
    "Give a CSV, TSV or JSONL file with two columns named after languages, such as en and pt; a TMX or .po file; or "
    "two files with a line each for the other's, as: fewtune fit text.en --label text.pt"
)


def holds_pairs(source: Any) -> bool:
    """Whether a source is texts with translations, by its form or by its header."""
    if not isinstance(source, str | Path):
        return False
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            return aligned_files(path) is not None or any(path.rglob("*.po"))
        if not path.is_file():
            return False
        suffix = path.suffix.lower()
        if suffix in (".tmx", ".po"):
            return True
        if suffix in _TABLES:
            # A column `id` is a number more often than Indonesian.
            return len({code for _, code in language_columns(read_table(source).columns)} - {"id"}) >= 2
        return bool(language_code(suffix[1:]))
    except (OSError, FewtuneError):
        return False


def read_pairs(source: Any, *, text: str = "", label: str = "", group: str = "") -> Pairs:
    """Read texts with their translations.

    Args:
        source: a path, a DataFrame, or a list of (text, translation) pairs.
        text, label: columns or languages of the texts and of the translations; or, for two files, `label` is the
            second one.
        group: column whose equal values belong together.

    Raises:
        DataError: it cannot be read, or which the two columns are cannot be told.
        MissingExtraError: its format needs what is not installed.
    """
    if not isinstance(source, str | Path):
        return _from_table(read_table(source), text, label, group)
    path = Path(source).expanduser()
    if path.is_dir():
        return _from_folder(path, text, label)
    suffix = path.suffix.lower()
    if suffix == ".tmx":
        content = read_bytes(path)
        columns, rows, lines = parse_tmx(content, name=path.name)
        table = _table(columns, rows, [f"{path.name}:{line}" for line in lines], path.name, content, ())
        return _from_table(table, text, label, group)
    if suffix == ".po":
        return _from_table(_catalogue(path, path.name), text, label, group)
    if suffix not in _TABLES and label and Path(label).expanduser().is_file():
        return _from_files(path, Path(label).expanduser())
    if language_code(suffix[1:]) and suffix not in _TABLES:
        raise DataError(f"{path.name} is one side only.", where="--label", how=_FORMS)
    return _from_table(read_table(source), text, label, group)


def _from_folder(folder: Path, text: str, label: str) -> Pairs:
    files = aligned_files(folder)
    if files is not None:
        wanted = language_code(text) or language_code(label)
        last = (text and language_code(files[1].suffix[1:]) == wanted) or (
            not text and label and language_code(files[0].suffix[1:]) == wanted
        )
        return _from_files(*(reversed(files) if last else files))
    catalogues = sorted(folder.rglob("*.po"))
    if not catalogues:
        raise DataError("There are no translations in this folder.", where=str(folder), how=_FORMS)
    tables = []
    for path in catalogues:
        try:
            tables.append(_catalogue(path, path.relative_to(folder).as_posix()))
        except DataError as error:
            if not error.what.startswith("Nothing in the file"):
                raise
    if not tables:
        raise DataError("Nothing in these .po files is translated.", where=str(folder), how="Fill in some msgstr.")
    targets = {table.columns[1] for table in tables}
    if len(targets) > 1:
        raise DataError(
            f"The .po files are in several languages: {', '.join(sorted(targets))}.",
            where=str(folder),
            how="Give a folder with the files of one language.",
        )
    joined = Table(
        tables[0].columns,
        tuple(row for table in tables for row in table.rows),
        [place for table in tables for place in table.places],
        folder.name,
        hashlib.sha256("".join(table.sha256 for table in tables).encode()).hexdigest(),
        tuple(note for table in tables for note in table.notes),
    )
    return _from_table(joined, "", "", "document")


def _from_files(source: Path, target: Path) -> Pairs:
    contents = read_bytes(source), read_bytes(target)
    rows, lines, notes = parse_aligned((contents[0], source.name), (contents[1], target.name))
    languages = tuple(language_code(path.suffix[1:]) for path in (source, target))
    columns = languages if all(languages) and languages[0] != languages[1] else ("source", "target")
    places = [f"{source.name}:{line}" for line in lines]
    table = _table(columns, rows, places, source.name, b"\0".join(contents), notes)
    return _from_table(table, columns[0], columns[1], "")


def _catalogue(path: Path, name: str) -> Table:
    content = read_bytes(path)
    text, notes = decode(content, source=name)
    document = name if "/" in name else ""
    columns, rows, lines, more = parse_gettext(text, name=name, document=document)
    return _table(columns, rows, [f"{name}:{line}" for line in lines], name, content, (*notes, *more))


def read_untranslated(path: Path) -> tuple[Table, str, str]:
    """What of a gettext catalogue waits for a translation.

    Returns:
        A table of one column, named after the texts' language; that language; the whole file.

    Raises:
        DataError: the file cannot be read, or is no catalogue.
    """
    content = read_bytes(path)
    text, notes = decode(content, source=path.name)
    language, texts, lines = parse_untranslated(text, name=path.name)
    rows: list[tuple[str, ...]] = [(wording,) for wording in texts]
    return (
        _table((language,), rows, [f"{path.name}:{line}" for line in lines], path.name, content, notes),
        language,
        text,
    )


def read_waiting(path: Path, languages: tuple[str, str]) -> tuple[Table, str]:
    """What of a translation memory waits for a translation from one language to the other.

    Returns:
        A table of texts, of what translations they have, and of documents; the whole file.

    Raises:
        DataError: the file cannot be read, or is not XML.
    """
    content = read_bytes(path)
    rows, lines, document = parse_waiting(content, languages, name=path.name)
    places = [f"{path.name}:{line}" for line in lines]
    return _table((*languages, "document"), list(rows), places, path.name, content, ()), document


def _table(
    columns: tuple[str, ...],
    rows: list[tuple[str, ...]],
    places: list[str],
    name: str,
    content: bytes,
    notes: tuple[str, ...],
) -> Table:
    return Table(columns, tuple(rows), places, name, hashlib.sha256(content).hexdigest(), notes)


def _from_table(table: Table, text: str, label: str, group: str) -> Pairs:
    source = _side(table, text, "--text") if text else ""
    target = _side(table, label, "--label") if label else ""
    if not source or not target:
        source, target = _found(table, source, target)
    if source == target:
        raise DataError(f"Source and target are both the column {source!r}.", where=table.source, how=_FORMS)
    languages = language_code(source) or _guessed(table, source), language_code(target) or _guessed(table, target)
    named = [column for column in table.columns if column.casefold() in _DOCUMENTS]
    document = _side(table, group, "--group") if group else named[0] if named else None
    notes = [f"from column {source!r} ({languages[0] or '?'}) to column {target!r} ({languages[1] or '?'})"]
    if document is not None and not any(table.column(document)):
        document = None
    if document is not None:
        notes.append(f"rows of one {document!r} are kept together when the data is split")
    return Pairs(table, source, target, document, languages, (*table.notes, *notes))


def _side(table: Table, name: str, option: str) -> str:
    """The column of that name or language."""
    for column in table.columns:
        if column.strip().casefold() == name.strip().casefold():
            return column
    code = language_code(name)
    same = [column for column, of in language_columns(table.columns) if code and of == code]
    if len(same) == 1:
        return same[0]
    listed = ", ".join(map(repr, table.columns))
    raise DataError(f"There is no column {name!r}.", where=f"{table.source}, {option}", how=f"There are: {listed}.")


def _found(table: Table, source: str, target: str) -> tuple[str, str]:
    """The two columns by their names, but for those that are given."""
    free = [column for column, _ in language_columns(table.columns) if column not in (source, target)]
    needed = (not source) + (not target)
    if len(free) < needed and len(table.columns) == 2:
        free = [column for column in table.columns if column not in (source, target)]
    if len(free) != needed:
        raise DataError(
            f"Which columns hold the texts and which their translations cannot be told: {', '.join(table.columns)}.",
            where=table.source,
            how="Name them with --text and --label, such as: --text en --label pt",
        )
    return source or free.pop(0), target or free.pop(0)


def _guessed(table: Table, column: str) -> str:
    shares = main_languages(table.column(column))
    best = next(iter(shares), "")
    return best if shares.get(best, 0) >= 0.5 and not best.startswith("und") else ""


def directed(pairs: Pairs, languages: tuple[str, str], *, exchange: bool) -> Pairs:
    """The pairs as they go from one language to the other, exchanged where they are the other way round.

    Args:
        pairs: as they were read.
        languages: of source and target; an empty one is any.
        exchange: whether the two sides may be exchanged: nobody said which is which.

    Raises:
        DataError: they are of other languages, or the other way round and may not be exchanged.
    """

    def fit(own: tuple[str, str]) -> bool:
        return all(one in ("", other) or not other for one, other in zip(own, languages, strict=True))

    if fit(pairs.languages):
        return pairs
    target, source = pairs.languages
    if exchange and fit((source, target)):
        note = f"exchanged: from column {pairs.target!r} to column {pairs.source!r}, as the bundle translates"
        return replace(
            pairs,
            source=pairs.target,
            target=pairs.source,
            languages=(source, target),
            notes=(*pairs.notes, note),
        )
    own, wanted = (" to ".join(some or "?" for some in pair) for pair in (pairs.languages, languages))
    raise DataError(
        f"The data goes from {own}, and the bundle translates from {wanted}.",
        where=pairs.table.source,
        how="Name the columns of these languages with --text and --label.",
    )


def without_empty(pairs: Pairs) -> tuple[Pairs, tuple[str, ...]]:
    """The rows that have both sides, and a note on the others."""
    at = [pairs.table.columns.index(column) for column in (pairs.source, pairs.target)]
    kept = [i for i, row in enumerate(pairs.table.rows) if all(row[column].strip() for column in at)]
    missing = sorted(set(range(len(pairs.table.rows))) - set(kept))
    if not missing:
        return pairs, ()
    places = ", ".join(pairs.table.places[i] for i in missing[:3]) + (", ..." if len(missing) > 3 else "")
    rows, shown = tuple(pairs.table.rows[i] for i in kept), [pairs.table.places[i] for i in kept]
    note = f"left out {len(missing)} rows of which a side is empty ({places})"
    return replace(pairs, table=replace(pairs.table, rows=rows, places=shown)), (note,)
