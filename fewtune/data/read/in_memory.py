"""Data that is already in Python: DataFrames, pairs, dictionaries, plain texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fewtune.data.read.json_lines import as_text
from fewtune.errors import DataError
from fewtune.types import Table


def is_frame(source: Any) -> bool:
    """Whether this is a pandas DataFrame (or one that behaves like it), without importing pandas."""
    return hasattr(source, "columns") and hasattr(source, "itertuples")


def frame_table(frame: Any, *, name: str) -> Table:
    """A DataFrame as a table; places are its row numbers."""
    columns = tuple(str(column).strip() for column in frame.columns)
    rows = tuple(
        tuple("" if value != value else as_text(value) for value in row)
        for row in frame.itertuples(index=False, name=None)
    )
    return _table(columns, rows, name)


def sequence_table(items: Sequence[Any], *, name: str) -> Table:
    """Pairs (text, label), dictionaries, or texts alone.

    Raises:
        DataError: there are none, or they are of different kinds.
    """
    if not len(items):
        raise DataError("There are no examples.", where=name, how="Give a list of (text, label) pairs.")
    if all(isinstance(item, str) for item in items):
        return _table(("text",), tuple((item,) for item in items), name)
    if all(isinstance(item, Mapping) for item in items):
        columns = tuple(dict.fromkeys(str(key) for item in items for key in item))
        return _table(columns, tuple(tuple(as_text(item.get(c)) for c in columns) for item in items), name)
    for number, item in enumerate(items):
        if isinstance(item, str | bytes | Mapping) or not isinstance(item, Sequence) or len(item) != 2:
            raise DataError(
                f"This is {item!r}, not a pair.", where=f"{name}[{number}]", how="Give (text, label) pairs throughout."
            )
    return _table(("text", "label"), tuple((as_text(text), as_text(label)) for text, label in items), name)


def _table(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], name: str) -> Table:
    if not rows:
        raise DataError("There are no rows.", where=name, how="Give at least a few labelled examples.")
    canonical = json.dumps([columns, rows], ensure_ascii=True, separators=(",", ":"))
    places = [f"{name}[{number}]" for number in range(len(rows))]
    return Table(columns, rows, places, name, hashlib.sha256(canonical.encode()).hexdigest())
