"""Data of any accepted form to a `Table`. A format family a file."""

from __future__ import annotations

import difflib
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fewtune.data.columns import names_columns
from fewtune.data.read.delimited import parse_delimited, sniff_delimiter
from fewtune.data.read.encoding import decode
from fewtune.data.read.in_memory import frame_table, is_frame, sequence_table
from fewtune.data.read.json_lines import parse_json_lines
from fewtune.data.read.parquet import parse_parquet
from fewtune.data.read.spreadsheet import parse_spreadsheet
from fewtune.data.read.text_folder import read_text_folder
from fewtune.errors import DataError
from fewtune.types import Table

# Column of the texts of a file that is no table.
LINE = "text"
MAX_BYTES = 2_000_000_000
_JSON = {".jsonl", ".ndjson", ".jsonlines"}
_DELIMITED = {".csv": "", ".tsv": "\t", ".tab": "\t", ".txt": "", ".psv": "|"}


def read_table(source: Any, *, name: str = "") -> Table:
    """Read rows from a file, a folder, standard input (`-`), a DataFrame or a list.

    Args:
        source: a path; `-`; a DataFrame; a list of (text, label) pairs, of dictionaries or of texts.
        name: what messages call it; empty: its file name.

    Raises:
        DataError: it cannot be read; says where and how to mend it.
        MissingExtraError: its format needs an extra that is not installed.
    """
    if is_frame(source):
        return frame_table(source, name=name or "DataFrame")
    if isinstance(source, str | Path):
        return _read_path(source, name)
    if isinstance(source, Sequence):
        return sequence_table(source, name=name or "data")
    raise DataError(
        f"A {type(source).__name__} cannot be read as data.",
        where=name,
        how="Give a path, a DataFrame, or a list of (text, label) pairs.",
    )


def read_texts(source: Any) -> Table:
    """`read_table` for texts whose labels nobody asks for: a .txt file that is no table has a text a line.

    It is one where its first line holds a tab or names columns. Empty lines stay.

    Raises:
        DataError, MissingExtraError: as `read_table`.
    """
    if isinstance(source, str | Path) and Path(source).suffix.lower() == ".txt" and not Path(source).is_dir():
        lines = read_lines(source)
        if not lines.rows:
            return read_table(source)  # which says so
        first = lines.rows[0][0]
        if names_columns([first]):
            return replace(lines, rows=lines.rows[1:], places=lines.places[1:])
        if "\t" not in first and not names_columns(first.split(sniff_delimiter(first))):
            return lines
    return read_table(source)


def read_lines(source: str | Path) -> Table:
    """Every line of a plain text file, or of standard input (`-`), as a row with the one column "text".

    Raises:
        DataError: it cannot be read.
    """
    name = "standard input" if str(source) == "-" else Path(source).name
    content = _read_input() if str(source) == "-" else read_bytes(Path(source).expanduser())
    text, notes = decode(content, source=name)
    lines = text.replace("\r\n", "\n").split("\n")
    lines = lines[:-1] if lines[-1] == "" else lines
    places = [f"{name}:{number}" for number in range(1, len(lines) + 1)]
    sha256 = hashlib.sha256(content).hexdigest()
    return Table((LINE,), tuple((line,) for line in lines), places, name, sha256, (*notes, "each line is a text"))


def _read_path(source: str | Path, name: str) -> Table:
    if str(source) == "-":
        return _parse(_read_input(), suffix="", name=name or "standard input")
    path = Path(source).expanduser()
    name = name or path.name or str(path)
    if path.is_dir():
        return read_text_folder(path, name=name)
    return _parse(read_bytes(path), suffix=path.suffix.lower(), name=name)


def _read_input() -> bytes:
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError("There is too much of it.", where="standard input", how="Take a sample of the rows.")
    return content


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises DataError where there is none, or it is too large."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(
                f"The file has {path.stat().st_size / 1e9:.1f} GB; the limit is {MAX_BYTES / 1e9:.0f} GB.",
                where=str(path),
                how="Take a sample of the rows.",
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError("There is no such file.", where=str(path), how=_near_files(path)) from None
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror or error}.", where=str(path)) from None


def _near_files(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"The folder {str(folder)!r} does not exist either."
    names = [entry.name for entry in sorted(folder.iterdir())[:2000]]
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return "Did you mean " + " or ".join(near) + "?" if near else "Check the path and the folder."


def _parse(content: bytes, *, suffix: str, name: str) -> Table:
    columns, rows, lines, notes = _dispatch(content, suffix, name)
    places = _Places(name, lines)
    return Table(columns, tuple(rows), places, name, hashlib.sha256(content).hexdigest(), notes)


def _dispatch(
    content: bytes, suffix: str, name: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[int], tuple[str, ...]]:
    if not content.strip():
        raise DataError("The file is empty.", where=name, how="Choose a file with a header and rows.")
    if suffix in (".xlsx", ".xlsm"):
        return parse_spreadsheet(content, source=name)
    if suffix in (".parquet", ".pq"):
        return parse_parquet(content, source=name)
    if suffix and suffix not in _JSON and suffix not in _DELIMITED:
        raise DataError(
            f"Files ending in {suffix} are not read.",
            where=name,
            how="Save the data as CSV, TSV, JSONL, XLSX or Parquet.",
        )
    text, notes = decode(content, source=name)
    is_json = suffix in _JSON or (not suffix and text.lstrip().startswith("{"))
    if is_json:
        columns, rows, lines, more = parse_json_lines(text, source=name)
    else:
        columns, rows, lines, more = parse_delimited(text, source=name, delimiter=_DELIMITED.get(suffix, ""))
    return columns, rows, lines, notes + more


class _Places(Sequence[str]):
    """`file:line` of each row, spelled out only when asked for: a hundred thousand rows stay small."""

    def __init__(self, name: str, lines: list[int]) -> None:
        self._name = name
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [f"{self._name}:{line}" for line in self._lines[index]]
        return f"{self._name}:{self._lines[index]}"
