"""Parquet, with the extra [data]."""

from __future__ import annotations

import io

from fewtune.data.read.json_lines import as_text
from fewtune.errors import DataError, MissingExtraError


def parse_parquet(
    content: bytes, *, source: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[int], tuple[str, ...]]:
    """Read a Parquet file.

    Returns:
        Column names, rows, the number of each row (from 1), notes.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: this is not Parquet, or it has no rows.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError:
        raise MissingExtraError("data", needed_for="Reading Parquet", where=source) from None
    try:
        table = read_table(io.BytesIO(content))
    except (ArrowException, OSError) as error:
        raise DataError(f"This is not Parquet ({error}).", where=source, how="Write the file again.") from None
    if not table.num_rows:
        raise DataError("The file has no rows.", where=source, how="Add a row for each example.")
    columns = tuple(str(name) for name in table.column_names)
    values = [[as_text(value) for value in column.to_pylist()] for column in table.columns]
    return columns, list(zip(*values, strict=True)), list(range(1, table.num_rows + 1)), ()
