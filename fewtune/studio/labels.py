"""The labels of a project, in the order of their keys."""

from __future__ import annotations

import sqlite3
from typing import Any

from fewtune.studio import limits
from fewtune.studio.database import Database
from fewtune.studio.refusals import StudioRefusal


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


def label_counts(database: Database) -> list[dict[str, Any]]:
    """Every label with the number of its examples, in the order of their keys."""
    rows = database.rows(
        "SELECT name, (SELECT count(*) FROM examples WHERE deleted = 0 AND label = labels.name) AS count"
        " FROM labels ORDER BY place, name"
    )
    return [dict(row) for row in rows]


def rename_label(database: Database, name: str, new: str) -> int:
    """Call a label something else everywhere; where there is one of that name already the two become one.

    Returns:
        How many examples had it.

    Raises:
        StudioRefusal: there is no such label, or the new name does not fit.
    """
    with database.writing() as connection:
        _check_there(connection, name)
        changed = connection.execute(
            "SELECT count(*) FROM examples WHERE label = ? AND deleted = 0", (name,)
        ).fetchone()[0]
        if name == new:
            return changed
        place = connection.execute("SELECT place FROM labels WHERE name = ?", (name,)).fetchone()["place"]
        is_new = connection.execute("SELECT 1 FROM labels WHERE name = ?", (new,)).fetchone() is None
        add_label(connection, new)
        connection.execute("UPDATE examples SET label = ?, version = version + 1 WHERE label = ?", (new, name))
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
        count = connection.execute("SELECT count(*) FROM examples WHERE label = ? AND deleted = 0", (name,)).fetchone()[
            0
        ]
        if count:
            raise StudioRefusal(
                409,
                "label-in-use",
                f"{count} examples have this label.",
                how="Give them another label first, or rename it.",
            )
        # What was deleted and may come back by an undo comes back without it.
        connection.execute("UPDATE examples SET label = NULL, version = version + 1 WHERE label = ?", (name,))
        connection.execute("DELETE FROM labels WHERE name = ?", (name,))


def _check_there(connection: sqlite3.Connection, name: str) -> None:
    if connection.execute("SELECT 1 FROM labels WHERE name = ?", (name,)).fetchone() is None:
        raise StudioRefusal(404, "no-label", "There is no such label.", how="Reload the page.")
