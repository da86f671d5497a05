"""Trainings as the page starts, follows, stops and resumes them; each runs in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

from fewtune.studio.examples import labelled
from fewtune.studio.projects import Project
from fewtune.studio.refusals import StudioRefusal
from fewtune.studio.runs import Run, begin, is_held, runs_of

_UNDER_WAY = ("running", "ordering")
_FEWEST = 4
# What a worker may take to end, once it was told to, before it is killed; nothing finished is lost by that.
_PATIENCE_SECONDS = 20.0


class Trainings:
    """The workers that this studio started: one at a time."""

    def __init__(self) -> None:
        """None runs."""
        self._worker: subprocess.Popen[bytes] | None = None
        self._trains = ""
        self._lock = threading.Lock()

    def start(self, project: Project, minutes: float, method: str) -> None:
        """Begin to train on what is labelled now.

        Raises:
            StudioRefusal: a training runs, or too little is labelled.
        """
        with self._lock:
            self._check_free(project)
            rows = labelled(project.database)
            used = project.kind.labels_used([dict(row) for row in rows])
            if project.kind.draws and (len(rows) < _FEWEST or not used):
                raise StudioRefusal(
                    422,
                    "too-few-drawn",
                    f"To train, draw on at least {_FEWEST} pictures.",
                    how="Twenty are a good start.",
                )
            if not project.kind.draws and (len(rows) < _FEWEST or len(used) < 2):
                raise StudioRefusal(
                    422,
                    "too-few",
                    "To train, label at least two examples of each of two labels.",
                    how="Five of each are a good start; twenty are better.",
                )
            wish = {"budget": f"{60 * minutes:g}s", "method": method}
            self._spawn(project, begin(project.folder, project.kind, rows, sorted(used), wish))

    def resume(self, project: Project) -> None:
        """Go on with the training that was stopped or interrupted.

        Raises:
            StudioRefusal: a training runs, or there is none to go on with.
        """
        with self._lock:
            self._check_free(project)
            runs = runs_of(project.folder)
            if not runs or runs[0].state().get("status") not in ("stopped", "failed", *_UNDER_WAY):
                raise StudioRefusal(409, "nothing-to-resume", "There is no training to go on with.", how="Start one.")
            self._spawn(project, runs[0])

    def stop(self, project: Project) -> None:
        """Interrupt the training, and wait until it has ended; what is finished is kept."""
        with self._lock:
            if self._trains == project.name:
                self._end()
            elif is_held(project.folder):
                raise self._elsewhere()

    def close(self) -> None:
        """Interrupt whatever runs."""
        with self._lock:
            self._end()

    def state(self, project: Project) -> dict[str, Any]:
        """How far the latest training is; its status is "none" where there was none."""
        runs = runs_of(project.folder)
        if not runs:
            return {"status": "none"}
        told = {"status": "running", "rungs": [], "said": [], "step": None, "seconds": 0.0, **runs[0].state()}
        if told["status"] in _UNDER_WAY and not self._runs(project):
            # Read once more: it may have ended between the two looks.
            told |= runs[0].state()
            if told["status"] in _UNDER_WAY:
                told["status"] = "interrupted"
        wish = runs[0].wish
        budget = runs[0].recipe().budget_seconds
        return {**told, "number": runs[0].number, "budget_seconds": budget, "method": wish["method"]}

    def _runs(self, project: Project) -> bool:
        if self._trains == project.name and self._worker is not None and self._worker.poll() is None:
            return True
        return is_held(project.folder)

    def _check_free(self, project: Project) -> None:
        if self._worker is not None and self._worker.poll() is None:
            raise StudioRefusal(
                409, "training-runs", "A training is under way.", how="Wait for it, or stop it. There is one at a time."
            )
        if is_held(project.folder):
            raise self._elsewhere()

    def _spawn(self, project: Project, run: Run) -> None:
        run.set_state({**run.state(), "status": "running", "step": None})
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "fewtune.studio.worker", str(run.folder.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=None if os.environ.get("FEWTUNE_DEBUG") else subprocess.DEVNULL,
            # Ctrl-C in the terminal is for the studio, which then lets go of the worker.
            start_new_session=True,
        )
        self._trains = project.name

    def _end(self) -> None:
        if self._worker is None:
            return
        if self._worker.stdin is not None:
            with suppress(OSError):
                self._worker.stdin.close()
        try:
            self._worker.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()
        self._worker, self._trains = None, ""

    @staticmethod
    def _elsewhere() -> StudioRefusal:
        return StudioRefusal(
            409,
            "training-elsewhere",
            "Another studio, or one that was just ended, is training this project.",
            how="Try again in a moment, or stop it there.",
        )
