"""Pictures with labels: a folder of class folders, a table of paths and labels, a zip of either, a list of pairs."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fewtune.data.picture import facts, is_picture_name
from fewtune.data.read import read_table
from fewtune.data.read.encoding import readable_name
from fewtune.data.read.zip_file import unpack
from fewtune.errors import DataError
from fewtune.types import Table

PATH, LABEL = "path", "label"
_TABLES = frozenset((".csv", ".tsv", ".tab", ".txt", ".jsonl", ".ndjson", ".xlsx", ".parquet"))
_SNIFFED_ROWS = 50
_MOST_PICTURES = 200_000
_REMEDY = "Give a folder with a folder of pictures for each class, or a CSV of path and label."


def holds_pictures(source: Any) -> bool:
    """Whether a source looks like pictures rather than texts."""
    if isinstance(source, str | Path):
        return _path_holds_pictures(Path(source).expanduser())
    if isinstance(source, Sequence) and source:
        first = source[0][0] if isinstance(source[0], tuple | list) and source[0] else source[0]
        return isinstance(first, Path) or (isinstance(first, str) and is_picture_name(first))
    return False


def _path_holds_pictures(path: Path) -> bool:
    if path.is_dir():
        return any(is_picture_name(entry.name) for pattern in ("*/*", "*") for entry in path.glob(pattern))
    if is_picture_name(path.name) or path.suffix.lower() == ".zip":
        return True
    if path.suffix.lower() not in _TABLES or not path.is_file():
        return False
    try:
        return path_column(read_table(path)) is not None
    except DataError:
        return False


def path_column(table: Table) -> str | None:
    """The column whose values are names of pictures; None where there is none."""
    for column in table.columns:
        values = [value.strip() for value in table.column(column)[:_SNIFFED_ROWS] if value.strip()]
        if values and sum(map(is_picture_name, values)) > 0.5 * len(values):
            return column
    return None


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures as they were read.

    Attributes:
        table: a column `path` with names as they were given, a column `label` where there are class folders or
            pairs, and a listing's other columns, under another name where that is `path`; its sha256 is over contents
            and labels.
        paths: of each row, to be opened; empty where the row names none.
    """

    table: Table
    paths: tuple[str, ...]


def read_pictures(source: Any, *, labelled: bool = True) -> Pictures:
    """Read where pictures lie, and what else is known of them.

    Args:
        source: a folder of class folders or of pictures, a table, a zip of either, a picture, a glob, or a list of
            paths or of (path, label) pairs.
        labelled: whether folders' names are labels; else every picture in and below a folder is read, without label.

    Raises:
        DataError: there are no pictures.
    """
    if isinstance(source, str | Path):
        return _read_path(Path(source).expanduser(), str(source), labelled)
    if isinstance(source, Sequence) and not isinstance(source, bytes):
        pairs = [tuple(item) if isinstance(item, tuple | list) else (item,) for item in source]
        if pairs and all(len(pair) == len(pairs[0]) <= 2 for pair in pairs):
            rows = tuple(tuple(readable_name(str(part)) for part in pair) for pair in pairs)
            paths = [str(pair[0]) for pair in pairs]
            return _pictures((PATH, LABEL)[: len(rows[0])], rows, paths, [row[0] for row in rows], "data")
    raise DataError("These are not pictures.", where="data", how="Give a path, or a list of (path, label) pairs.")


def _read_path(path: Path, name: str, labelled: bool) -> Pictures:
    if path.is_dir():
        return _read_folder(path, readable_name(path.name) or name, labelled)
    if path.suffix.lower() == ".zip" and path.is_file():
        return _read_zip(path, labelled)
    if path.suffix.lower() in _TABLES:
        return _read_listed(path)
    if path.is_file():
        return _unlabelled([path], [path.name], path.name)
    found = sorted(entry for entry in glob.glob(str(path), recursive=True) if Path(entry).is_file())
    if not found:
        raise DataError("There is no such file.", where=name, how="Check the path and the folder.")
    return _unlabelled(list(map(Path, found)), found, name)


def _read_zip(path: Path, labelled: bool) -> Pictures:
    folder = unpack(path)
    tables = sorted(entry for entry in folder.glob("*.csv") if entry.is_file())
    pictures = _read_listed(tables[0], inside=folder) if tables else _read_folder(folder, path.name, labelled)
    return replace(pictures, table=replace(pictures.table, source=path.name))


def _read_folder(folder: Path, name: str, labelled: bool) -> Pictures:
    pictures = [path for path in _files(folder) if is_picture_name(path.name)]
    if not pictures:
        raise DataError("The folder holds no pictures.", where=name, how=_REMEDY)
    loose = [path for path in pictures if path.parent == folder]
    if labelled and len(loose) < len(pictures):
        return _read_class_folders(folder, name, len(loose))
    return _unlabelled(pictures, [path.relative_to(folder).as_posix() for path in pictures], name)


def _read_class_folders(folder: Path, name: str, loose: int) -> Pictures:
    """A file's folder is its label; files that are not named like pictures are kept, for `check` to tell of them."""
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    found = [(path, readable_name(entry.name)) for entry in classes for path in _files(entry)]
    names = [readable_name(path.relative_to(folder).as_posix()) for path, _ in found]
    rows = tuple((given, label) for given, (_, label) in zip(names, found, strict=True))
    empty = [repr(readable_name(entry.name)) for entry in classes if not _files(entry)]
    notes = ["labels are the folders' names"]
    notes += [f"left out folders without a picture ({', '.join(empty[:5])})"] if empty else []
    notes += [f"left out {loose} picture{'s' if loose > 1 else ''} outside class folders"] if loose else []
    return _pictures((PATH, LABEL), rows, [str(path) for path, _ in found], names, name, tuple(notes))


def _files(folder: Path) -> list[Path]:
    """All files in and below a folder but hidden ones, and those in hidden folders."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "Thumbs.db")
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _unlabelled(paths: Sequence[Path], names: Sequence[str], source: str) -> Pictures:
    names = list(map(readable_name, names))
    return _pictures((PATH,), tuple((name,) for name in names), list(map(str, paths)), names, source)


def _read_listed(path: Path, *, inside: Path | None = None) -> Pictures:
    """A table of paths, which are relative to the table's own folder; none leads out of `inside`, if that is given."""
    table = read_table(path)
    column = path_column(table)
    if column is None:
        raise DataError(
            "No column holds names of pictures.",
            where=path.name,
            how="Give a column of paths, relative to the table's folder, such as photos/ant1.jpg.",
        )
    paths = [str(path.parent / name.strip()) if name.strip() else "" for name in table.column(column)]
    if inside is not None:
        _refuse_outside(paths, inside, table)
    notes = [*table.notes, f"pictures from column {column!r}, relative to {path.name}"]
    columns = table.columns
    if column != PATH:
        other = _free_name(columns)
        if PATH in columns:
            notes.append(f"column {PATH!r}, which holds something else, is called {other!r}")
        columns = tuple({column: PATH, PATH: other}.get(name, name) for name in columns)
    return _pictures(columns, table.rows, paths, table.places, table.source, tuple(notes))


def _free_name(columns: Sequence[str]) -> str:
    """What a column `path` is called that does not hold the pictures."""
    return next(name for number in range(2, len(columns) + 3) if (name := f"{PATH}_{number}") not in columns)


def _refuse_outside(paths: Sequence[str], folder: Path, table: Table) -> None:
    """A zip may come from anybody: its list opens no files but its own."""
    root = folder.resolve()
    for path, place in zip(paths, table.places, strict=True):
        if path and not Path(path).resolve().is_relative_to(root):
            raise DataError(
                "The list names a picture outside of the zip.",
                where=place,
                how="Put the picture into the zip, and name it relative to the list, such as photos/ant1.jpg.",
            )


def _pictures(
    columns: tuple[str, ...],
    rows: tuple[tuple[str, ...], ...],
    paths: Sequence[str],
    places: Sequence[str],
    source: str,
    notes: tuple[str, ...] = (),
) -> Pictures:
    if len(rows) > _MOST_PICTURES:
        raise DataError(f"There are more than {_MOST_PICTURES} pictures.", where=source, how="Take a sample of them.")
    digest, named = hashlib.sha256(), columns.index(PATH)
    for path, row in zip(paths, rows, strict=True):
        others = [value for i, value in enumerate(row) if i != named]
        digest.update("\0".join([facts(path).sha256, *others]).encode("utf-8", "surrogatepass") + b"\n")
    return Pictures(Table(columns, rows, places, source, digest.hexdigest(), notes), tuple(paths))
