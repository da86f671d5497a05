"""What the page is told of work in another process: a file in the work's folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fewtune.bundle.manifest import scores_as_json
from fewtune.progress import Step
from fewtune.studio.plain import plain
from fewtune.studio.runs import Job
from fewtune.types import Rung

_WRITE_EVERY_SECONDS = 0.3


class Told:
    """What the page is told of a job, in its folder."""

    def __init__(self, job: Job) -> None:
        """Go on where the last sitting ended."""
        self._job = job
        before = job.state()
        self._before_seconds = float(before.get("seconds", 0.0))
        self._started = time.monotonic()
        self._written = 0.0
        # Until there is a bundle its rungs are told again, from the journal.
        rungs = before.get("rungs", []) if job.has_bundle else []
        self._state: dict[str, Any] = {"status": "running", "rungs": rungs, "said": [], "step": None}
        self.write()

    def note(self, **changes: Any) -> None:
        """Change what is told, and write it."""
        self._state.update(changes)
        self.write()

    def add(self, name: str, value: Any) -> None:
        """Add to a list of what is told."""
        self._state[name].append(value)
        self.write()

    def put(self, name: str, value: Mapping[str, Any]) -> None:
        """Add to such a list, in the place of what has the same name."""
        listed = self._state[name]
        place = next((i for i, some in enumerate(listed) if some["name"] == value["name"]), len(listed))
        listed[place : place + 1] = [value]
        self.write()

    def write_now_and_then(self) -> None:
        """Write, if that was not done a moment ago."""
        if time.monotonic() - self._written > _WRITE_EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """Write it all."""
        self._written = time.monotonic()
        seconds = self._before_seconds + self._written - self._started
        self._job.set_state({**self._state, "seconds": round(seconds, 1)})


class _ToldStep:
    def __init__(self, told: Told, step: dict[str, Any]) -> None:
        self._told, self._step = told, step

    def advance(self, amount: float = 1) -> None:
        self._step["done"] += amount
        self._told.write_now_and_then()


class FileProgress:
    """Progress that a page in another process can read."""

    def __init__(self, told: Told) -> None:
        """Tell `told`."""
        self._told = told

    @contextmanager
    def step(self, name: str, total: float | None = None) -> Iterator[Step]:
        """Tell of the step while it lasts."""
        step = {"name": name, "done": 0.0, "total": total}
        self._told.note(step=step)
        yield _ToldStep(self._told, step)
        self._told.note(step=None)

    def say(self, text: str) -> None:
        """Tell one line."""
        self._told.add("said", plain(text))

    def rung(self, make: Callable[[], Rung]) -> None:
        """Tell of a rung; of one that was told of before, what is known now."""
        self._told.put("rungs", rung_for_page(make()))


def rung_for_page(rung: Rung) -> dict[str, Any]:
    """What the page shows of a rung; of its scores the first, which is the task's own."""
    metric = next(iter(rung.scores))
    return {
        "name": rung.name,
        "method": rung.method,
        "model": rung.model,
        "scores": {metric: scores_as_json(rung.scores)[metric]},
        "seconds": round(rung.seconds, 1),
        "resampling": rung.resampling,
    }
