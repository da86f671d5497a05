"""The process that trains or makes a bundle smaller: one at a time, for both keep the whole machine busy."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from fewtune.studio.projects import Project
from fewtune.studio.refusals import StudioRefusal
from fewtune.studio.runs import Job, is_held, runs_of
from fewtune.studio.smaller import shrinkings_of

_UNDER_WAY = ("running", "ordering")
# What a worker may take to end, once it was told to, before it is killed; nothing finished is lost by that.
_PATIENCE_SECONDS = 20.0


class Workers:
    """The worker that this studio started, if there is one."""

    def __init__(self) -> None:
        """None works."""
        self._worker: subprocess.Popen[bytes] | None = None
        self._job: Job | None = None
        self._lock = threading.Lock()

    @contextmanager
    def free(self, project: Project) -> Iterator[None]:
        """While the block lasts nobody else starts a worker.

        Raises:
            StudioRefusal: one is at work.
        """
        with self._lock:
            worker, job = self._worker, self._job
            if worker is not None and job is not None and job.state().get("status") not in _UNDER_WAY:
                # It has told its last, and is on its way out.
                _await(worker)
            if worker is not None and worker.poll() is None:
                raise StudioRefusal(
                    409,
                    "training-runs",
                    "A training is under way, or a model is being made smaller.",
                    how="Wait for it, or stop it. There is one at a time.",
                )
            if is_held(project.folder):
                raise _elsewhere()
            yield

    def start(self, project: Project, job: Job) -> None:
        """Set a worker to a job, in a block of `free`."""
        for other in _jobs(project):
            # Whatever was under way was killed: from now on it cannot be told by there being no worker.
            if other.state().get("status") in _UNDER_WAY:
                other.set_state({**other.state(), "status": "interrupted"})
        self._end()
        job.set_state({**job.state(), "status": "running", "step": None})
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "fewtune.studio.worker", str(job.folder.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=None if os.environ.get("FEWTUNE_DEBUG") else subprocess.DEVNULL,
            # Ctrl-C in the terminal is for the studio, which then lets go of the worker.
            start_new_session=True,
        )
        self._job = job

    def stop(self, project: Project) -> None:
        """Interrupt what is done for a project, and wait until it has ended; what is finished is kept."""
        with self._lock:
            job = self._job
            if job is not None and self._works_on(project):
                self._end()
                if job.state().get("status") in _UNDER_WAY:
                    # It took too long to end, and could not tell.
                    job.set_state({**job.state(), "status": "stopped", "step": None})
            elif is_held(project.folder):
                raise _elsewhere()

    def close(self) -> None:
        """Interrupt whatever runs."""
        with self._lock:
            self._end()

    def state(self, project: Project, job: Job) -> dict[str, Any]:
        """How far a job is."""
        told = {"status": "running", "rungs": [], "said": [], "step": None, "seconds": 0.0, **job.state()}
        if told["status"] in _UNDER_WAY and not self._runs(project):
            # Read once more: it may have ended between the two looks.
            told |= job.state()
            if told["status"] in _UNDER_WAY:
                told["status"] = "interrupted"
        elif told["status"] in _UNDER_WAY:
            # A long step says nothing for a while, but time goes on.
            told["seconds"] = round(told["seconds"] + job.quiet_seconds(), 1)
        return told

    def _runs(self, project: Project) -> bool:
        is_ours = self._works_on(project) and self._worker is not None and self._worker.poll() is None
        return is_ours or is_held(project.folder)

    def _works_on(self, project: Project) -> bool:
        return self._job is not None and self._job.project == project.folder

    def _end(self) -> None:
        if self._worker is None:
            return
        if self._worker.stdin is not None:
            with suppress(OSError):
                self._worker.stdin.close()
        _await(self._worker)
        self._worker, self._job = None, None


def _await(worker: subprocess.Popen[bytes]) -> None:
    try:
        worker.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _jobs(project: Project) -> list[Job]:
    runs = runs_of(project.folder)
    return [*runs, *(shrinking for run in runs for shrinking in shrinkings_of(run))]


def _elsewhere() -> StudioRefusal:
    return StudioRefusal(
        409,
        "training-elsewhere",
        "Another studio, or one that was just ended, is at work on this project.",
        how="Try again in a moment, or stop it there.",
    )
