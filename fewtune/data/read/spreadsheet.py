"""XLSX: the first sheet that is not empty."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from fewtune.data.read.json_lines import as_text
from fewtune.errors import DataError

# A workbook is a zip: one that unpacks to more than this is a bomb, not a table of labels.
_MAX_UNPACKED_BYTES = 2_000_000_000


def parse_spreadsheet(
    content: bytes, *, source: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[int], tuple[str, ...]]:
    """Read a workbook.

    Returns:
        Column names, rows, the sheet's row number of each row, notes (which sheet).

    Raises:
        DataError: this is not a workbook, or it holds no rows.
    """
    sheet, cells = _first_sheet(content, source)
    (_, first), body = cells[0], cells[1:]
    width = max((i + 1 for i, name in enumerate(first) if name.strip()), default=0)
    header = tuple(name.strip() or f"column{i + 1}" for i, name in enumerate(first[:width]))
    if len(set(header)) < len(header):
        raise DataError("Two columns have the same name.", where=f"{source}:1", how="Give each a name of its own.")
    if not body:
        raise DataError("The sheet has a header but no rows.", where=source, how="Add a row for each example.")
    rows = [tuple((list(row) + [""] * width)[:width]) for _, row in body]
    return header, rows, [number for number, _ in body], (f"read the sheet {sheet!r}",)


def _first_sheet(content: bytes, source: str) -> tuple[str, list[tuple[int, list[str]]]]:
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _MAX_UNPACKED_BYTES:
            raise DataError(
                f"The workbook unpacks to {unpacked / 1e9:.1f} GB.", where=source, how="Save the rows as CSV."
            )
        workbook = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        for sheet in workbook.worksheets:
            cells = _cells(sheet)
            if cells:
                return str(sheet.title), cells
    except DataError:
        raise
    except Exception as error:  # openpyxl raises whatever its parsers do on a broken file
        raise DataError(
            f"This is not a workbook that can be read ({type(error).__name__}: {error}).",
            where=source,
            how="Open it in a spreadsheet program and save it again as .xlsx or .csv.",
        ) from None
    raise DataError("The workbook is empty.", where=source, how="Put a header and rows on its first sheet.")


def _cells(sheet: Any) -> list[tuple[int, list[str]]]:
    numbered = enumerate(sheet.iter_rows(values_only=True), start=1)
    texts = ((number, [as_text(value) for value in row]) for number, row in numbered)
    return [(number, row) for number, row in texts if any(value.strip() for value in row)]
