"""The folder of projects: each a folder with an SQLite file, its pictures, and what was trained."""

from __future__ import annotations

import re
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from fewtune.bundle.write import output_errors
from fewtune.errors import UserError
from fewtune.studio import limits
from fewtune.studio.database import Database
from fewtune.studio.examples import clean
from fewtune.studio.kinds import KINDS
from fewtune.studio.kinds.kind import Kind
from fewtune.studio.refusals import StudioRefusal, no_project

_FILE = "project.db"
_LONGEST_FOLDER = 40
_MOST_OF_A_NAME = 1_000


class Project:
    """One project, opened."""

    def __init__(self, folder: Path) -> None:
        """Open the project in a folder."""
        self.folder = folder
        self.name = folder.name
        self.database = Database(folder / _FILE)

    @cached_property
    def kind(self) -> Kind:
        """What it is of."""
        return KINDS[self.database.fact("task")]

    @property
    def title(self) -> str:
        """What its owner calls it."""
        return self.database.fact("title")


class Workspace:
    """All projects of a folder."""

    def __init__(self, folder: Path) -> None:
        """Open or make the folder.

        Raises:
            UserError: it cannot be made or written to.
        """
        if folder.exists() and not folder.is_dir():
            raise UserError("This is a file, not a folder.", where=str(folder), how="Name a folder for the projects.")
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # What uploads that were broken off left behind.
            self.uploads = folder / ".uploads"
            self.uploads.mkdir(exist_ok=True)
            for left in self.uploads.iterdir():
                if left.is_file():
                    left.unlink(missing_ok=True)
        self.folder = folder
        self._opened: dict[str, Project] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            for project in self._opened.values():
                project.database.close()
            self._opened.clear()

    def names(self) -> list[str]:
        """Of the projects' folders."""
        return sorted(entry.name for entry in self.folder.iterdir() if (entry / _FILE).is_file())

    def find(self, name: str) -> Project:
        """A project by the name of its folder, which is looked up, never put together. Raises a refusal if none."""
        with self._lock:
            if name not in self._opened:
                if name not in self.names():
                    raise no_project()
                self._opened[name] = Project(self.folder / name)
            return self._opened[name]

    def create(self, title: str, task: str) -> Project:
        """Make an empty project.

        Raises:
            StudioRefusal: it has no title, or is of a task that the studio does not know.
        """
        title = clean(title).strip()
        if not title or len(title) > limits.NAME_CHARACTERS:
            raise StudioRefusal(
                422, "title-length", f"A project's name has 1 to {limits.NAME_CHARACTERS} characters.", where="title"
            )
        if task not in KINDS:
            raise StudioRefusal(422, "no-task", "There is no such kind of project.", where="task")
        folder = self._new_folder(title)
        database = Database(folder / _FILE)
        try:
            facts: dict[str, Any] = {"title": title, "task": task, "revision": 0}
            with database.writing() as connection:
                connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
        finally:
            database.close()
        return self.find(folder.name)

    def _new_folder(self, title: str) -> Path:
        """A folder of a name that every file system takes."""
        # The first letter keeps the names that mean devices on Windows, such as "con", from being one.
        name = "p-" + (re.sub(r"[^\w-]+", "-", title)[:_LONGEST_FOLDER].strip("-_").lower() or "project")
        for number in range(1, _MOST_OF_A_NAME):
            folder = self.folder / (name if number == 1 else f"{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
        raise StudioRefusal(409, "name-taken", "There are too many projects of this name.", how="Give another name.")
