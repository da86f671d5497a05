"""The process that trains: python -m fewtune.studio.worker RUN. It ends, as by Ctrl-C, when its standard input does.

So it stops when the studio closes that, and when the studio is killed; what is finished by then is kept, and the
next worker on the same folder goes on from there.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fewtune import pipeline
from fewtune.bundle.manifest import left_out_as_json, scores_as_json
from fewtune.errors import UserError
from fewtune.progress import Step
from fewtune.studio.order import order_unlabelled
from fewtune.studio.plain import plain
from fewtune.studio.runs import Run, held, runs_of
from fewtune.types import Rung

# The worker before this one has been told to end; by then it is gone, or something is wrong.
_PATIENCE_SECONDS = 60.0
_WRITE_EVERY_SECONDS = 0.3


class Told:
    """What the page is told of a training, in the run's folder."""

    def __init__(self, run: Run) -> None:
        """Go on where the last sitting ended."""
        self._run = run
        before = run.state()
        self._before_seconds = float(before.get("seconds", 0.0))
        self._started = time.monotonic()
        self._written = 0.0
        self._state: dict[str, Any] = {"status": "running", "rungs": [], "said": [], "step": None}
        self.write()

    def note(self, **changes: Any) -> None:
        """Change what is told, and write it."""
        self._state.update(changes)
        self.write()

    def add(self, name: str, value: Any) -> None:
        """Add to a list of what is told."""
        self._state[name].append(value)
        self.write()

    def write_now_and_then(self) -> None:
        """Write, if that was not done a moment ago."""
        if time.monotonic() - self._written > _WRITE_EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """Write it all."""
        self._written = time.monotonic()
        seconds = self._before_seconds + self._written - self._started
        self._run.set_state({**self._state, "seconds": round(seconds, 1)})


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
        """Tell of a rung."""
        self._told.add("rungs", rung_for_page(make()))


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


# Set when the worker is to end: a library may turn the interrupt into an error of its own.
_is_to_end = threading.Event()


def main(folder: str) -> int:
    """Train, or go on training; the exit status is that of `fewtune fit`."""
    run = Run(Path(folder))
    _end_with_standard_input()
    with held(run.project, _PATIENCE_SECONDS) as is_ours:
        return _work(run) if is_ours else 1


def _end_with_standard_input() -> None:
    """Raise KeyboardInterrupt in the main thread when whoever holds the other end of standard input lets go."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 1):
                pass
        _is_to_end.set()
        _thread.interrupt_main()

    threading.Thread(target=wait, daemon=True).start()


def _work(run: Run) -> int:
    told = Told(run)
    try:
        if not run.is_trained:
            left_out = _fit(run, told)
            told.note(left_out=left_out)
        told.note(status="ordering")
        order_unlabelled(run, FileProgress(told))
        told.note(status="done", step=None)
        for old in runs_of(run.project):
            if old.number < run.number:
                old.delete()
        return 0
    except (KeyboardInterrupt, Exception) as error:
        return _told_why(run, told, error)


def _told_why(run: Run, told: Told, error: BaseException) -> int:
    if _is_to_end.is_set() or isinstance(error, KeyboardInterrupt):
        told.note(status="done" if run.is_trained else "stopped", step=None)
        return 130
    if isinstance(error, UserError):
        told.note(status="failed", step=None, error={name: plain(text) for name, text in error.as_dict().items()})
        return 2
    (run.folder / "fault.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    what = f"Something went wrong that should not have ({type(error).__name__})."
    how = "This is our fault. Please report it with the file fault.txt in the folder of the training."
    told.note(status="failed", step=None, error={"what": what, "where": f"runs/{run.number}", "how": how})
    return 1


def _fit(run: Run, told: Told) -> list[dict[str, str]]:
    result = pipeline.fit(run.recipe(), out=run.bundle, resume=True, progress=FileProgress(told))
    return [left_out_as_json(left_out) for left_out in result.left_out]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
