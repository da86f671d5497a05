"""Trainings as the page starts, follows, stops and resumes them; each runs in a process of its own."""

from __future__ import annotations

from typing import Any

from fewtune.studio.examples import labelled
from fewtune.studio.projects import Project
from fewtune.studio.refusals import StudioRefusal
from fewtune.studio.runs import begin, runs_of
from fewtune.studio.workers import Workers

_FEWEST = 4


class Trainings:
    """The trainings of all projects."""

    def __init__(self, workers: Workers) -> None:
        """Let the workers do them."""
        self._workers = workers

    def start(self, project: Project, minutes: float, method: str) -> None:
        """Begin to train on what is labelled now.

        Raises:
            StudioRefusal: a worker is busy, or too little is labelled.
        """
        with self._workers.free(project):
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
            self._workers.start(project, begin(project.folder, project.kind, rows, sorted(used), wish))

    def resume(self, project: Project) -> None:
        """Go on with the training that was stopped or interrupted.

        Raises:
            StudioRefusal: a worker is busy, or there is nothing to go on with.
        """
        with self._workers.free(project):
            runs = runs_of(project.folder)
            if not runs or self._workers.state(project, runs[0])["status"] not in ("stopped", "failed", "interrupted"):
                raise StudioRefusal(409, "nothing-to-resume", "There is no training to go on with.", how="Start one.")
            self._workers.start(project, runs[0])

    def state(self, project: Project) -> dict[str, Any]:
        """How far the latest training is; its status is "none" where there was none."""
        runs = runs_of(project.folder)
        if not runs:
            return {"status": "none"}
        budget, method = runs[0].recipe().budget_seconds, runs[0].wish["method"]
        told = self._workers.state(project, runs[0])
        return {**told, "number": runs[0].number, "budget_seconds": budget, "method": method}
