"""JSON lines: an object a line."""

from __future__ import annotations

import json
from typing import Any

from fewtune.errors import DataError


def parse_json_lines(
    text: str, *, source: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]], list[int], tuple[str, ...]]:
    """Parse JSON lines; columns are the keys in the order of their first appearance.

    Returns:
        Column names, rows, the line of each row, notes.

    Raises:
        DataError: a line is not a JSON object.
    """
    records: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            records.append((number, _object(line, f"{source}:{number}")))
    columns = tuple(dict.fromkeys(key.strip() for _, record in records for key in record))
    if not columns:
        raise DataError(
            "The file holds no values.", where=source, how='Write lines such as {"text": "...", "label": "..."}.'
        )
    rows = []
    for _, record in records:
        stripped = {key.strip(): value for key, value in record.items()}
        rows.append(tuple(as_text(stripped.get(column)) for column in columns))
    return columns, rows, [number for number, _ in records], ()


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"This line is not JSON: {error.msg} at column {error.colno}.",
            where=where,
            how='Write one object a line, such as {"text": "...", "label": "..."}.',
        ) from None
    except RecursionError:
        raise DataError("This line is nested too deeply.", where=where, how="Write one flat object a line.") from None
    if not isinstance(record, dict):
        raise DataError(
            f"This line is a JSON {type(record).__name__}, not an object.",
            where=where,
            how='Write one object a line, such as {"text": "...", "label": "..."}.',
        )
    return record


def as_text(value: Any) -> str:
    """A cell's value as the text a person would see; nothing for null."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
