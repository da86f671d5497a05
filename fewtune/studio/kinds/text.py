"""Texts, one label each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fewtune.data.columns import find_columns
from fewtune.data.read import read_table
from fewtune.errors import DataError
from fewtune.report.phrase import Phrase, say
from fewtune.report.wording import note
from fewtune.studio import limits
from fewtune.studio.examples import NewExample, clean
from fewtune.studio.kinds.kind import Kind, Read, refuse_bomb
from fewtune.studio.refusals import StudioRefusal
from fewtune.types import Table

_TABLES = (".csv", ".tsv", ".xlsx", ".jsonl", ".txt")


class TextKind(Kind):
    """Texts, one label each."""

    task = "text-classification"
    column = "text"
    label_studio = "text"

    def read(self, path: Path, name: str, folder: Path, options: Mapping[str, str]) -> Read:
        """A table: labelled, unlabelled or mixed."""
        if Path(name).suffix.lower() not in _TABLES:
            raise StudioRefusal(
                415,
                "not-a-table",
                "This is no table of texts.",
                where=Path(name).name,
                how="Bring a CSV, TSV, XLSX or JSONL file. Pictures need a project of their own.",
            )
        refuse_bomb(path, name)
        table = read_table(path, name=Path(name).name)
        text, label, notes = _columns(table, options.get("text", ""), options.get("label", ""))
        labels = table.column(label) if label else [""] * len(table.rows)
        pairs = [(clean(value), clean(given).strip()) for value, given in zip(table.column(text), labels, strict=True)]
        kept = [(value, given) for value, given in pairs if value.strip()]
        notes = (*map(note, (*table.notes, *notes)), *_left_out(len(pairs) - len(kept)), *_cut(kept))
        if not kept:
            raise DataError("No row has a text.", where=name, how="Check the columns.")
        return Read([NewExample(value[: limits.TEXT_CHARACTERS], given or None) for value, given in kept], notes)

    def place(self, folder: Path, stored: str) -> str:
        """The text itself."""
        del folder
        return stored

    def in_run(self, stored: str) -> str:
        """The text itself."""
        return stored

    def exported(self, row: Mapping[str, Any]) -> str:
        """The text itself."""
        return row["input"]


def _columns(table: Table, text: str, label: str) -> tuple[str, str | None, tuple[str, ...]]:
    """The columns of the text and, if there is one, of the label, and how they were found."""
    try:
        found = find_columns(table, text=text, label=label)
    except DataError:
        if label:
            raise
        found = find_columns(table, text=text, need_label=False)
    return found.text, found.label, found.notes


def _left_out(count: int) -> list[Phrase]:
    told = say("left out {count} rows without a text", "略去 {count} 行没有文本的数据", count=count)
    return [told] if count else []


def _cut(pairs: Sequence[tuple[str, str]]) -> list[Phrase]:
    count, most = sum(len(text) > limits.TEXT_CHARACTERS for text, _ in pairs), limits.TEXT_CHARACTERS
    told = say("cut {count} texts at {most} characters", "{count} 条文本截短为 {most} 个字符", count=count, most=most)
    return [told] if count else []
