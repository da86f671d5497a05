"""The examples of a project and their labels, as the page shows and changes them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fewtune.studio import limits
from fewtune.studio.database import LAST_RANK, Database, Row
from fewtune.studio.labels import add_label, check_known, note_drawn
from fewtune.studio.masks import kept
from fewtune.studio.refusals import changed_elsewhere, no_example
from fewtune.studio.shapes import DRAWN, Shape, labels_in, shapes_of, stored

_SHOWN = "id, input, name, label, shapes, skipped, deleted, version, prediction, confidence"
_FILTERS = {
    "all": "deleted = 0",
    "labelled": "deleted = 0 AND label IS NOT NULL",
    "unlabelled": "deleted = 0 AND label IS NULL AND skipped = 0",
    "skipped": "deleted = 0 AND label IS NULL AND skipped = 1",
}
_UNPAIRED = re.compile("[\ud800-\udfff\0]")
_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class NewExample:
    """Something to be added.

    Attributes:
        input: the text, or the name of a stored picture.
        label: None: not labelled.
        name: what the picture's file was called; empty for texts.
        shapes: what is drawn on the picture; None: nothing was yet.
        mask: the index PNG that the numbers of the shapes are in.
    """

    input: str
    label: str | None = None
    name: str = ""
    shapes: Sequence[Shape] | None = None
    mask: bytes | None = None


def clean(text: str) -> str:
    """A text as it can be kept: halves of surrogate pairs and NUL characters become the replacement character."""
    return _UNPAIRED.sub("\ufffd", text)


def add_examples(database: Database, new: Iterable[NewExample], batch: int = 0) -> list[int]:
    """Add examples, and the labels that are not known yet, in one step; their numbers."""
    found: list[int] = []
    with database.writing() as connection:
        known: set[str] = {row["name"] for row in connection.execute("SELECT name FROM labels")}
        for some in new:
            label = some.label if some.shapes is None else DRAWN
            wanted = labels_in(some.shapes or ()) if some.label is None else {some.label}
            for needed in sorted(wanted):
                if needed not in known:
                    add_label(connection, needed)
                    known.add(needed)
            if label == DRAWN:
                note_drawn(connection)
            shapes = None if some.shapes is None else stored(some.shapes)
            cursor = connection.execute(
                "INSERT INTO examples (input, name, label, shapes, mask, batch) VALUES (?, ?, ?, ?, ?, ?)",
                (some.input, some.name, label, shapes, some.mask, batch),
            )
            found.append(int(cursor.lastrowid or 0))
    return found


def next_batch(database: Database) -> int:
    """A number for what comes with one file."""
    row = database.row("SELECT max(batch) AS last FROM examples")
    return int(row["last"] or 0) + 1 if row else 1


def remove_batch(database: Database, batch: int) -> int:
    """Take back what came with one file; how many examples that were."""
    with database.writing() as connection:
        changed = connection.execute(
            "UPDATE examples SET deleted = 1, version = version + 1 WHERE batch = ? AND deleted = 0", (batch,)
        )
        return changed.rowcount


def example(database: Database, number: int) -> dict[str, Any]:
    """One example. Raises a refusal where there is none."""
    row = database.row(f"SELECT {_SHOWN} FROM examples WHERE id = ?", (number,))
    if row is None:
        raise no_example()
    return _shown(row)


def _shown(row: Row) -> dict[str, Any]:
    found = dict(row)
    return {**found, "shapes": None if found["shapes"] is None else shapes_of(found["shapes"])}


def change_example(database: Database, number: int, version: int, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Change one example, as somebody saw it.

    Args:
        database: of the project.
        number: of the example.
        version: that was seen.
        wanted: new values of label, shapes, mask, skipped, deleted.

    Returns:
        The example as it is now, on the disk.

    Raises:
        StudioRefusal: it is not there, was changed by others since, or there is no such label.
    """
    with database.writing() as connection:
        row = connection.execute("SELECT version FROM examples WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise no_example()
        if row["version"] != version:
            raise changed_elsewhere()
        if "mask" in wanted:
            wanted = {**wanted, **_painted(connection, wanted["mask"])}
        elif "shapes" in wanted:
            wanted = {**wanted, **_drawn(connection, wanted["shapes"])}
        elif wanted.get("label") is not None:
            check_known(connection, [wanted["label"]])
        columns = [name for name in ("label", "shapes", "mask", "skipped", "deleted") if name in wanted]
        changes = ", ".join(f"{name} = ?" for name in columns)
        connection.execute(
            f"UPDATE examples SET {changes}, version = version + 1 WHERE id = ?",
            (*(wanted[name] for name in columns), number),
        )
    return example(database, number)


def _drawn(connection: sqlite3.Connection, shapes: Sequence[Shape] | None) -> dict[str, Any]:
    """The columns of a picture on which these shapes are drawn."""
    if shapes is None:
        return {"label": None, "shapes": None}
    check_known(connection, sorted(labels_in(shapes)))
    note_drawn(connection)
    return {"label": DRAWN, "shapes": stored(shapes)}


def _painted(connection: sqlite3.Connection, painted: Mapping[str, Any] | None) -> dict[str, Any]:
    """The columns of a picture on which this is painted."""
    if painted is None:
        return {**_drawn(connection, None), "mask": None}
    png, shapes = kept(painted)
    return {**_drawn(connection, shapes), "mask": png}


def mask_of(database: Database, number: int) -> bytes | None:
    """The index PNG of an example; None where nothing is painted."""
    row = database.row("SELECT mask FROM examples WHERE id = ?", (number,))
    return None if row is None else row["mask"]


def list_examples(database: Database, *, show: str, label: str, search: str, offset: int, limit: int) -> dict[str, Any]:
    """A page of the examples.

    Args:
        database: of the project.
        show: "all", "labelled", "unlabelled" or "skipped".
        label: only those of this label; empty: of any.
        search: only those that hold this; empty: all.
        offset, limit: which of them.

    Returns:
        The rows, long texts cut; and how many there are in all.
    """
    where, values = _FILTERS.get(show, _FILTERS["all"]), list[Any]()
    if label:
        where, values = f"{where} AND label = ?", [label]
    if search:
        pattern = re.sub(r"([\\%_])", r"\\\1", search)
        where, values = (
            f"{where} AND (input LIKE ? ESCAPE '\\' OR name LIKE ? ESCAPE '\\')",
            [
                *values,
                f"%{pattern}%",
                f"%{pattern}%",
            ],
        )
    total = database.row(f"SELECT count(*) AS count FROM examples WHERE {where}", values)
    # Left to itself SQLite would sort all of them: an index in the order of the page ends where the page does.
    index = "kept" if label or show in ("unlabelled", "skipped") else "newest"
    page = f"SELECT id FROM examples INDEXED BY {index} WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?"
    rows = database.rows(
        f"SELECT {_SHOWN} FROM examples WHERE id IN ({page}) ORDER BY id DESC", [*values, limit, offset]
    )
    return {"rows": [_listed(row) for row in rows], "total": total["count"] if total else 0}


def _listed(row: Row) -> dict[str, Any]:
    found = _shown(row)
    is_cut = len(found["input"]) > limits.LISTED_CHARACTERS
    return {**found, "input": found["input"][: limits.LISTED_CHARACTERS], "is_cut": is_cut}


def waiting(database: Database, limit: int) -> list[dict[str, Any]]:
    """What is to be labelled next: what was suggested first, then in the order of coming."""
    rows = database.rows(
        f"SELECT {_SHOWN} FROM examples INDEXED BY waiting"
        " WHERE label IS NULL AND deleted = 0 AND skipped = 0 ORDER BY rank, id LIMIT ?",
        (limit,),
    )
    return [_shown(row) for row in rows]


def unskip(database: Database) -> int:
    """Put what was skipped back among what is to be labelled; how many that were."""
    with database.writing() as connection:
        changed = connection.execute(
            "UPDATE examples SET skipped = 0, version = version + 1 WHERE skipped = 1 AND deleted = 0"
        )
        return changed.rowcount


def counts(database: Database) -> dict[str, int]:
    """How many examples there are of each kind."""
    of_each = ", ".join(
        f'(SELECT count(*) FROM examples WHERE {where}) AS "{name}"' for name, where in _FILTERS.items()
    )
    row = database.row(f"SELECT {of_each}")
    assert row is not None
    return dict(row)


def labelled(database: Database) -> list[Row]:
    """All labelled examples, in the order of coming."""
    return database.rows(
        "SELECT id, input, name, label, shapes, mask FROM examples WHERE deleted = 0 AND label IS NOT NULL ORDER BY id"
    )


def every(database: Database) -> Iterator[Row]:
    """All examples in the order of coming, read in parts."""
    last = 0
    while rows := database.rows(
        "SELECT id, input, name, label, shapes, mask FROM examples WHERE deleted = 0 AND id > ? ORDER BY id LIMIT ?",
        (last, _CHUNK),
    ):
        yield from rows
        last = rows[-1]["id"]


def unlabelled(database: Database) -> list[Row]:
    """What a model may be asked about: everything without a label."""
    return database.rows("SELECT id, input FROM examples WHERE deleted = 0 AND label IS NULL ORDER BY id")


@dataclass(frozen=True, slots=True)
class Suggested:
    """What a model said of an example without a label, if it did; of several, the first is to be labelled first."""

    id: int
    prediction: str | None
    confidence: float | None


def keep_suggestions(database: Database, suggested: Iterable[Suggested]) -> None:
    """Order what is not labelled, and note what the model took it for; what was suggested before is forgotten."""
    with database.writing() as connection:
        connection.execute(
            "UPDATE examples SET rank = ?, prediction = NULL, confidence = NULL WHERE rank < ?", (LAST_RANK, LAST_RANK)
        )
        connection.executemany(
            "UPDATE examples SET rank = ?, prediction = ?, confidence = ? WHERE id = ?",
            ((rank, some.prediction, some.confidence, some.id) for rank, some in enumerate(suggested)),
        )
