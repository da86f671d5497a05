"""CSV, TSV and their relatives."""

from __future__ import annotations

import csv
import io
from collections import Counter

from fewtune.errors import DataError

_DELIMITERS = ",;\t|"
_SNIFFED_ROWS = 50
_MAX_FIELD = 10_000_000

Rows = tuple[tuple[str, ...], list[tuple[str, ...]], list[int], tuple[str, ...]]


def parse_delimited(text: str, *, source: str, delimiter: str = "") -> Rows:
    """Parse delimited text.

    Args:
        text: the whole file.
        source: its name, for messages.
        delimiter: empty to find it.

    Returns:
        Column names, rows, the line that each row starts at, notes.

    Raises:
        DataError: a row has another number of fields than the header, a character NUL, an unclosed
            quote, two columns of one name, or no row at all.
    """
    delimiter = delimiter or sniff_delimiter(text)
    plain = _plain_records(text) if delimiter == "\t" else None
    records = plain or _records(text, delimiter, source)
    if not records:
        raise DataError("The file is empty.", where=source, how="Choose a file with a header and rows.")
    (_, first), body = records[0], records[1:]
    header = tuple(name.strip() for name in first)
    notes: tuple[str, ...] = ("quotes belong to the texts",) if plain else ()
    if _is_data(header, [row for _, row in body]):
        body = records
        header = ("text", "label") if len(header) == 2 else tuple(f"column{i + 1}" for i in range(len(header)))
        notes += (f"no header was found, so the columns were named {', '.join(header)}",)
    _check_header(header, source)
    if not body:
        raise DataError("The file has a header but no rows.", where=source, how="Add a row for each labelled example.")
    rows = [_row(line, row, header, source) for line, row in body]
    return header, rows, [line for line, _ in body], notes


def sniff_delimiter(text: str) -> str:
    """The delimiter that splits the first rows most evenly; a comma where none does."""
    sample = text[:200_000]
    scores = {candidate: _evenness(sample, candidate) for candidate in _DELIMITERS}
    best = max(scores, key=lambda candidate: scores[candidate])
    return best if scores[best] > (0, 0) else ","


def _evenness(sample: str, delimiter: str) -> tuple[float, int]:
    """(share of rows with the commonest number of fields, that number), (0, 0) where it splits nothing."""
    widths = []
    try:
        for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            if row:
                widths.append(len(row))
            if len(widths) == _SNIFFED_ROWS:
                break
    except csv.Error:
        pass
    if not widths:
        return (0, 0)
    width, count = Counter(widths).most_common(1)[0]
    # The header must be split as the rows are, else the delimiter only occurs in the texts.
    return (count / len(widths), width) if width > 1 and widths[0] == width else (0, 0)


def _plain_records(text: str) -> list[tuple[int, list[str]]] | None:
    """The records of tab-separated lines in which quotes are part of the texts; None where they may enclose fields.

    They do not enclose any where each line has as many tabs as the first one, and some field has a quote at one end
    only.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    records = [(number, line.split("\t")) for number, line in enumerate(lines, start=1) if line.strip()]
    if "\0" in text or len({len(row) for _, row in records}) != 1:
        return None
    fields = [field for _, row in records for field in row if '"' in field]
    odd = any(field.startswith('"') and not _encloses(field) for field in fields)
    return records if odd else None


def _encloses(field: str) -> bool:
    """Whether the quotes of a field are those round it, with the ones inside doubled."""
    return len(field) > 1 and field.endswith('"') and '"' not in field[1:-1].replace('""', "")


def _records(text: str, delimiter: str, source: str) -> list[tuple[int, list[str]]]:
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            "There is a NUL character in the text.", where=f"{source}:{line}", how="Save the file again as plain text."
        )
    # Old Macs end lines with a bare CR, which csv reads when lines are split beforehand.
    unified = text.replace("\r\n", "\n").replace("\r", "\n")
    csv.field_size_limit(_MAX_FIELD)
    reader = csv.reader(io.StringIO(unified, newline=""), delimiter=delimiter, strict=True)
    records = []
    start = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return records
        except csv.Error as error:
            raise DataError(
                f"This row cannot be read: {error}.",
                where=f"{source}:{start}",
                how="A field that holds quotes must stand in quotes, with its own quotes doubled.",
            ) from None
        if any(field.strip() for field in row):
            records.append((start, row))
        start = reader.line_num + 1


def _is_data(header: tuple[str, ...], rows: list[list[str]]) -> bool:
    """Whether the first row is plainly an example: one of its values recurs as a label below."""
    if len(header) < 2 or len(rows) < 4:
        return False
    for column, name in enumerate(header):
        values = [row[column].strip() for row in rows if len(row) > column]
        few = len(set(values)) <= max(2, len(values) // 3)
        if name and few and values.count(name) >= 2:
            return True
    return False


def _check_header(header: tuple[str, ...], source: str) -> None:
    twice = [name for name, count in Counter(header).items() if count > 1 and name]
    if twice:
        raise DataError(
            f"Two columns are called {twice[0]!r}.", where=f"{source}:1", how="Give each column a name of its own."
        )


def _row(line: int, row: list[str], header: tuple[str, ...], source: str) -> tuple[str, ...]:
    # Spreadsheets pad short rows and trail empty fields; neither loses anything.
    while len(row) > len(header) and not row[-1].strip():
        row.pop()
    if len(row) != len(header):
        raise DataError(
            f"This row has {len(row)} fields, and the header has {len(header)}.",
            where=f"{source}:{line}",
            how="A text that holds the delimiter must stand in quotes.",
        )
    return tuple(row)
