"""A training on the disk: what it learns from, what it is asked, how far it is, and what came out.

What makes its bundle smaller lies in it (`smaller.py`).

runs/3/tickets.jsonl            the labelled examples as they were when it began, a line each; where they are drawn on,
                                a folder tickets/ with the pictures and COCO's JSON, or their masks
runs/3/wish.json                the recipe's settings
runs/3/state.json               how far it is
runs/3/tickets.fewtune.work     the work in progress; what makes it go on after an interruption
runs/3/tickets.fewtune          the bundle
runs/3/smaller                  attempts to make that smaller
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fewtune.bundle.write import MANIFEST, write_atomically
from fewtune.recipe import Recipe, make_recipe
from fewtune.studio.database import Row
from fewtune.studio.kinds.kind import Kind

_RUNS = "runs"
WISH = "wish.json"
_IMAGE = re.compile(r": image (\d+) |^images/(\d+)\.")


@dataclass(frozen=True)
class Job(ABC):
    """What a worker does, in a folder.

    Attributes:
        folder: its own.
    """

    folder: Path

    @property
    @abstractmethod
    def project(self) -> Path:
        """The project's folder."""

    @property
    @abstractmethod
    def bundle(self) -> Path:
        """Where the bundle is put when it is whole."""

    @property
    def number(self) -> int:
        """The later, the higher."""
        return int(self.folder.name)

    @cached_property
    def wish(self) -> dict[str, Any]:
        """What was asked for."""
        return json.loads((self.folder / WISH).read_text(encoding="utf-8"))

    @property
    def has_bundle(self) -> bool:
        """Whether there is one."""
        return (self.bundle / MANIFEST).is_file()

    def state(self) -> dict[str, Any]:
        """How far it is; empty where nothing is known."""
        try:
            return json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Note how far it is."""
        write_atomically(self.folder / "state.json", json.dumps(state, ensure_ascii=False).encode())

    def quiet_seconds(self) -> float:
        """Since its state was noted last."""
        try:
            return max(0.0, time.time() - (self.folder / "state.json").stat().st_mtime)
        except OSError:
            return 0.0

    def delete(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Run(Job):
    """One training."""

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.folder.parent.parent

    @property
    def data(self) -> Path:
        """What it learns from: a listing, or a folder."""
        folder = self.folder / self.project.name.removeprefix("p-")
        return folder if folder.is_dir() else folder.with_name(f"{folder.name}.jsonl")

    @property
    def bundle(self) -> Path:
        """Where the bundle is put when it is whole."""
        return self.folder / f"{self.project.name.removeprefix('p-')}.fewtune"

    def recipe(self) -> Recipe:
        """What `fit` is asked to do."""
        return make_recipe({**self.wish, "data": str(self.data)})

    @cached_property
    def examples(self) -> list[int]:
        """Of each line of the listing, the number of the example."""
        with self.data.open(encoding="utf-8") as file:
            return [json.loads(line)["id"] for line in file]

    def example_at(self, place: str) -> int | None:
        """The number of the example at a place that the bundle names: "tickets.jsonl:12", "images/7.png", ..."""
        of_image = _IMAGE.search(place)
        if of_image:
            return int(of_image[1] or of_image[2])
        line = place.rpartition(":")[2]
        return self.examples[int(line) - 1] if line.isdigit() and 0 < int(line) <= len(self.examples) else None


def runs_of(project: Path) -> list[Run]:
    """All trainings of a project, the latest first."""
    folder = project / _RUNS
    return [Run(entry) for entry in numbered(folder)]


def numbered(folder: Path) -> list[Path]:
    """The folders in a folder whose names are numbers, the highest first, without those that are no whole ones."""
    found = [entry for entry in folder.iterdir() if entry.name.isdigit()] if folder.is_dir() else []
    found = [entry for entry in found if (entry / WISH).is_file()]
    return sorted(found, key=lambda entry: -int(entry.name))


def begun(folder: Path, write: Callable[[Path], None]) -> Path:
    """A folder of the next number with what `write` puts there: whole before it has its number, or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()), default=0)
    made = folder / f"{number}.new"
    # A process that was killed may have left it.
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    try:
        write(made)
        return made.rename(folder / str(number))
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def trained(project: Path) -> Run | None:
    """The latest that gave a bundle."""
    return next((run for run in runs_of(project) if run.has_bundle), None)


def begin(project: Path, kind: Kind, rows: list[Row], labels: Sequence[str], wish: dict[str, Any]) -> Run:
    """Write down what is to be trained; unfinished trainings from before are given up."""
    before = runs_of(project)

    def write(made: Path) -> None:
        kind.write_data(project, made / project.name.removeprefix("p-"), [dict(row) for row in rows], labels)
        settings = {**wish, "task": kind.task, "text": "" if kind.column == "path" else "text", "label": "label"}
        write_atomically(made / WISH, json.dumps(settings, ensure_ascii=False).encode())

    run = Run(begun(project / _RUNS, write))
    for old in before:
        if not old.has_bundle:
            old.delete()
    return run


@contextmanager
def held(project: Path, patience_seconds: float) -> Iterator[bool]:
    """Hold the project for one's own work; false where another process holds it, and goes on doing so.

    A lock of SQLite's: it works on every system, and goes with the process that held it, however that ended.
    """
    connection = sqlite3.connect(project / "training.lock", timeout=patience_seconds, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        yield False
    else:
        yield True
    finally:
        connection.close()


def is_held(project: Path) -> bool:
    """Whether a process works on the project."""
    with held(project, 0) as free:
        return not free
