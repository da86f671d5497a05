"""The folder of projects: each a folder with an SQLite file, its pictures, and what was trained."""

from __future__ import annotations

import re
import shutil
import threading
import uuid
from contextlib import closing
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
from fewtune.studio.refusals import StudioRefusal, damaged, no_project

_FILE = "project.db"
_LONGEST_FOLDER = 40
_MOST_OF_A_NAME = 1_000


class Project:
    """One project, opened."""

    def __init__(self, folder: Path) -> None:
        """Open the project in a folder. Raises a refusal where its file is damaged, or does not say what it is of."""
        self.folder = folder
        self.name = folder.name
        self.database = Database(folder / _FILE)
        try:
            if self.database.fact("task") not in KINDS:
                raise damaged()
        except BaseException:
            self.database.close()
            raise

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
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
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
        # Whole before it has its name: whatever happens here leaves no project that cannot be opened.
        made = self.uploads / uuid.uuid4().hex
        made.mkdir()
        try:
            with closing(Database(made / _FILE)) as database, database.writing() as connection:
                facts: dict[str, Any] = {"title": title, "task": task, "revision": 0}
                connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
            return self.find(self._named(made, title).name)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _named(self, made: Path, title: str) -> Path:
        """Give a folder a name that every file system takes; where it is then."""
        # The first letter keeps the names that mean devices on Windows, such as "con", from being one.
        name = "p-" + (re.sub(r"[^\w-]+", "-", title)[:_LONGEST_FOLDER].strip("-_").lower() or "project")
        for number in range(1, _MOST_OF_A_NAME):
            folder = self.folder / (name if number == 1 else f"{name}-{number}")
            if folder.exists():
                continue
            try:
                return made.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
                # Another studio was quicker.
        raise StudioRefusal(409, "name-taken", "There are too many projects of this name.", how="Give another name.")
