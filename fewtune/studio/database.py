"""A project's SQLite file: what was committed is on the disk, whatever happens to the process next.

WAL with synchronous=FULL flushes the log to the disk at every commit (https://www.sqlite.org/pragma.html#pragma_synchronous),
so that a label is safe before its request is answered.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fewtune.studio.refusals import damaged, disk_full

# The rank of what was not suggested: behind everything that was.
LAST_RANK = 1_000_000_000
# Another process (the training, a second studio) holds the file for moments only.
_PATIENCE_SECONDS = 30.0
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (name TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS examples (
    id INTEGER PRIMARY KEY,
    input TEXT NOT NULL,
    name TEXT NOT NULL,
    label TEXT REFERENCES labels (name) ON UPDATE CASCADE,
    skipped INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    batch INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 1,
    rank INTEGER NOT NULL DEFAULT {LAST_RANK},
    prediction TEXT,
    confidence REAL,
    shapes TEXT,
    mask BLOB
);
CREATE INDEX IF NOT EXISTS waiting ON examples (rank, id) WHERE label IS NULL AND deleted = 0 AND skipped = 0;
CREATE INDEX IF NOT EXISTS kept ON examples (deleted, label, skipped, id);
CREATE INDEX IF NOT EXISTS newest ON examples (id) WHERE deleted = 0;
"""

Row = sqlite3.Row


class Database:
    """One connection that the threads of this process take in turn."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            StudioRefusal: 507 where the disk is full, 500 where the file is damaged.
        """
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._connection.row_factory = sqlite3.Row
        try:
            with _disk_errors():
                self._set_up()
        except BaseException:
            self._connection.close()
            raise

    def _set_up(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(_SCHEMA)
        # Projects from before anything was drawn.
        columns = {row["name"] for row in self._connection.execute("PRAGMA table_info (examples)")}
        for name, of in (("shapes", "TEXT"), ("mask", "BLOB")):
            if name not in columns:
                self._connection.execute(f"ALTER TABLE examples ADD COLUMN {name} {of}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query."""
        with self._lock, _disk_errors():
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """The first row of a query, if there is one."""
        with self._lock, _disk_errors():
            return self._connection.execute(sql, values).fetchone()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All of the changes in the block or none; on the disk when the block is left.

        Raises:
            StudioRefusal: 507 where the disk is full; nothing was changed.
        """
        with self._lock, _disk_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("UPDATE facts SET value = value + 1 WHERE name = 'revision'")
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def fact(self, name: str) -> Any:
        """What is noted under a name; None where nothing is."""
        found = self.row("SELECT value FROM facts WHERE name = ?", (name,))
        return None if found is None else found["value"]

    @property
    def revision(self) -> int:
        """Changes with every change."""
        return int(self.fact("revision") or 0)


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC):
            raise disk_full() from None
        # The lowest byte says what it is, the others which of its kind (https://www.sqlite.org/rescode.html).
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise damaged() from None
        raise
