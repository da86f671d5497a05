"""A table with the views of its texts beside them, to look at or to learn from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fewtune.augment.policy import Policy
from fewtune.data.columns import Columns
from fewtune.errors import DataError
from fewtune.interfaces import RunContext
from fewtune.types import Table

COLUMN, GROUP = "augmentation", "group"


@dataclass(frozen=True, slots=True)
class AugmentedTable:
    """Every row, and after it its views.

    Attributes:
        columns: those of the data, `group` where it had none for groups, and `augmentation`.
        rows: a view has its row's other values, its row's group, and the name of what made it; a row of
            the data has "" there. A row whose group was blank has one of its own.
        counts: name of an augmentation to how many views were asked of it, are there, and came out unchanged.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    counts: dict[str, dict[str, int]]


def augment_table(table: Table, columns: Columns, policy: Policy, run: RunContext) -> AugmentedTable:
    """Put views beside the rows of a table.

    Raises:
        DataError: the table has a column `augmentation` already.
        MissingExtraError: the texts need something that is not installed.
    """
    if COLUMN in table.columns:
        raise DataError(
            f"The data has a column {COLUMN!r} already.",
            where=table.source,
            how="Augment the data as it was before, or rename the column.",
        )
    texts = table.column(columns.text)
    generator_of = partial(run.generator, "augment")
    made = policy.views(texts, generator_of, threads=run.threads, progress=run.progress)
    place = table.columns.index(columns.text)
    # Views must not be parted from their row by the folds of whoever learns from this table.
    grouped = columns.group is not None
    original = _grouped_rows(table, columns.group) if columns.group else table.rows
    rows: list[Sequence[Any]] = []
    views = iter(made.views)
    view = next(views, None)
    for number, row in enumerate(original):
        group = [] if grouped else [number + 1]
        rows.append([*row, *group, ""])
        while view is not None and view.of == number:
            rows.append([*row[:place], view.text, *row[place + 1 :], *group, view.by])
            view = next(views, None)
    found = Counter(view.by for view in made.views)
    counts = {
        name: {"wanted": wanted, "views": found[name], "unchanged": wanted - found[name]}
        for name, wanted in made.wanted.items()
    }
    return AugmentedTable([*table.columns, *([] if grouped else [GROUP]), COLUMN], rows, counts)


def _grouped_rows(table: Table, column: str) -> list[list[Any]]:
    """The rows, each that belongs to no group in one of its own: blank cells would not keep its views with it."""
    groups = table.column(column)
    place = table.columns.index(column)
    prefix = "row "
    while any(group.startswith(prefix) for group in groups):
        prefix = f"_{prefix}"
    rows = [list(row) for row in table.rows]
    for number, (row, group) in enumerate(zip(rows, groups, strict=True), start=1):
        if not group.strip():
            row[place] = f"{prefix}{number}"
    return rows
