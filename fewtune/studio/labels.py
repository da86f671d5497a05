"""The labels of a project, in the order of their keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from fewtune.studio import limits
from fewtune.studio.database import Database
from fewtune.studio.refusals import StudioRefusal
from fewtune.studio.shapes import DRAWN, shapes_of, stored

# The shapes of all pictures on which something was drawn.
_SHAPES = "FROM examples, json_each(shapes) WHERE label = ? AND shapes IS NOT NULL"


def add_label(connection: sqlite3.Connection, name: str) -> None:
    """Add a label behind the others; one that is there stays where it is.

    Raises:
        StudioRefusal: the name is empty or too long, or there are too many.
    """
    if not name.strip() or len(name) > limits.NAME_CHARACTERS:
        raise StudioRefusal(
            422,
            "label-length",
            f"A label has 1 to {limits.NAME_CHARACTERS} characters.",
            where="label",
            how="Shorten it.",
        )
    count = connection.execute("SELECT count(*) FROM labels").fetchone()[0]
    if count >= limits.LABELS:
        raise StudioRefusal(
            422,
            "too-many-labels",
            f"There are more than {limits.LABELS} different labels.",
            where="label",
            how="Check whether the right column was taken for the label.",
        )
    connection.execute(
        "INSERT INTO labels SELECT ?, coalesce(max(place), 0) + 1 FROM labels WHERE true ON CONFLICT DO NOTHING",
        (name,),
    )


def note_drawn(connection: sqlite3.Connection) -> None:
    """Make sure that there is the label of pictures on which something was drawn."""
    connection.execute("INSERT INTO labels VALUES (?, 0) ON CONFLICT DO NOTHING", (DRAWN,))


def check_known(connection: sqlite3.Connection, names: Sequence[str]) -> None:
    """Refuse labels that are not there."""
    for name in names:
        if name == DRAWN or not connection.execute("SELECT 1 FROM labels WHERE name = ?", (name,)).fetchone():
            raise StudioRefusal(422, "no-label", "There is no such label.", how="Add the label first.")


def label_counts(database: Database) -> list[dict[str, Any]]:
    """Every label with the number of its examples, in the order of their keys."""
    rows = database.rows(
        "SELECT name, (SELECT count(*) FROM examples WHERE deleted = 0 AND label = labels.name) AS count"
        " FROM labels WHERE name <> ? ORDER BY place, name",
        (DRAWN,),
    )
    drawn = database.rows(
        f"SELECT json_extract(value, '$.label') AS name, count(*) AS count {_SHAPES} AND deleted = 0 GROUP BY 1",
        (DRAWN,),
    )
    shapes = {row["name"]: row["count"] for row in drawn}
    return [{"name": row["name"], "count": row["count"] + shapes.get(row["name"], 0)} for row in rows]


def rename_label(database: Database, name: str, new: str, *, is_drawn: bool) -> int:
    """Call a label something else everywhere; where there is one of that name already the two become one.

    Args:
        database: of the project.
        name: of the label.
        new: its name from now on.
        is_drawn: whether shapes have labels, and predictions are shapes, which stay: the page passes over them.

    Returns:
        How many examples had it.

    Raises:
        StudioRefusal: there is no such label, or the new name does not fit.
    """
    with database.writing() as connection:
        _check_there(connection, name)
        changed = _count(connection, name)
        if name == new:
            return changed
        place = connection.execute("SELECT place FROM labels WHERE name = ?", (name,)).fetchone()["place"]
        is_new = connection.execute("SELECT 1 FROM labels WHERE name = ?", (new,)).fetchone() is None
        add_label(connection, new)
        connection.execute("UPDATE examples SET label = ?, version = version + 1 WHERE label = ?", (new, name))
        _rename_shapes(connection, name, new)
        if not is_drawn:
            connection.execute("UPDATE examples SET prediction = ? WHERE prediction = ?", (new, name))
        connection.execute("DELETE FROM labels WHERE name = ?", (name,))
        if is_new:
            connection.execute("UPDATE labels SET place = ? WHERE name = ?", (place, new))
        return changed


def delete_label(database: Database, name: str) -> None:
    """Delete a label that no example has.

    Raises:
        StudioRefusal: there is no such label, or examples have it.
    """
    with database.writing() as connection:
        _check_there(connection, name)
        count = _count(connection, name)
        if count:
            raise StudioRefusal(
                409,
                "label-in-use",
                f"{count} examples have this label.",
                how="Give them another label first, or rename it.",
            )
        # What was deleted and may come back by an undo comes back without it.
        _rename_shapes(connection, name, None)
        connection.execute("UPDATE examples SET label = NULL, version = version + 1 WHERE label = ?", (name,))
        connection.execute("DELETE FROM labels WHERE name = ?", (name,))


def _check_there(connection: sqlite3.Connection, name: str) -> None:
    if connection.execute("SELECT 1 FROM labels WHERE name = ?", (name,)).fetchone() is None or name == DRAWN:
        raise StudioRefusal(404, "no-label", "There is no such label.", how="Reload the page.")


def _count(connection: sqlite3.Connection, name: str) -> int:
    """Examples and shapes that have a label."""
    with_label = "SELECT count(*) FROM examples WHERE label = ? AND deleted = 0"
    of_shapes = f"SELECT count(*) {_SHAPES} AND deleted = 0 AND json_extract(value, '$.label') = ?"
    examples = connection.execute(with_label, (name,)).fetchone()[0]
    return examples + connection.execute(of_shapes, (DRAWN, name)).fetchone()[0]


def _rename_shapes(connection: sqlite3.Connection, name: str, new: str | None) -> None:
    """Give shapes another label; with None they go."""
    having = f"SELECT DISTINCT examples.id, shapes {_SHAPES} AND json_extract(value, '$.label') = ?"
    for row in connection.execute(having, (DRAWN, name)).fetchall():
        shapes = [
            {**shape, "label": new if shape["label"] == name else shape["label"]}
            for shape in shapes_of(row["shapes"])
            if new is not None or shape["label"] != name
        ]
        connection.execute(
            "UPDATE examples SET shapes = ?, version = version + 1 WHERE id = ?", (stored(shapes), row["id"])
        )
