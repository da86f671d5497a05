"""Tables as files: CSV, TSV or JSONL, by the ending of the name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fewtune.errors import OutputError

Rows = Iterable[Sequence[Any]]


def table_form(out: Path | None) -> Callable[[Sequence[str], Rows], str]:
    """What turns columns and rows into the text of a file of that name; CSV where there is none.

    In CSV and TSV fractions have six places, yes and no stand for what is true or false, and bars part lists.

    Raises:
        OutputError: the ending is of no known form.
    """
    suffix = out.suffix.lower() if out else ".csv"
    forms: dict[str, Callable[[Sequence[str], Rows], str]] = {
        ".csv": lambda columns, rows: _delimited(columns, rows, ","),
        ".tsv": lambda columns, rows: _delimited(columns, rows, "\t"),
        ".jsonl": _json_lines,
    }
    if suffix not in forms:
        raise OutputError(
            f"Tables are not written as {suffix or 'a file without ending'}.",
            where=str(out),
            how=f"Use one of: {', '.join(forms)}.",
        )
    return forms[suffix]


def _delimited(columns: Sequence[str], rows: Rows, delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(map(_cell, row))
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6f}"
    return " | ".join(value) if isinstance(value, list) else value


def _json_lines(columns: Sequence[str], rows: Rows) -> str:
    lines = [json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows]
    return "\n".join(lines) + "\n"
