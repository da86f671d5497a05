"""Models made smaller as the page starts and follows it; what each cost, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from fewtune import catalog
from fewtune.bundle.read import read_manifest
from fewtune.compress.path import usable
from fewtune.interfaces import Compressor
from fewtune.report.sections.compression import compression_in_words, model_title
from fewtune.studio.plain import in_both
from fewtune.studio.projects import Project
from fewtune.studio.refusals import StudioRefusal, no_model
from fewtune.studio.runs import Run, held, trained
from fewtune.studio.smaller import Shrinking, begin_shrinking, newest_smaller, shrinkings_of
from fewtune.studio.workers import Workers

# What fits a bundle is tried in turn.
AUTO = "auto"


class Shrinkings:
    """The smaller models of all projects."""

    def __init__(self, workers: Workers) -> None:
        """Let the workers make them."""
        self._workers = workers

    def start(self, project: Project, way: str, max_drop: float) -> None:
        """Begin to make the newest model smaller.

        Raises:
            StudioRefusal: a worker is busy, there is no model, or it cannot be made smaller in that way.
        """
        with self._workers.free(project):
            run = trained(project.folder)
            if run is None:
                raise no_model()
            known = {some.name: some for some in _usable(run.bundle)}
            if way not in (known if way != AUTO else _names(run)):
                raise StudioRefusal(
                    422, "no-way", "This model cannot be made smaller in this way.", where="way", how="Reload the page."
                )
            self._workers.start(project, begin_shrinking(run, known.get(way), max_drop))

    def state(self, project: Project) -> dict[str, Any]:
        """How far the latest attempt is; its status is "none" where there was none."""
        run = trained(project.folder)
        attempts = shrinkings_of(run) if run else []
        if not attempts:
            return {"status": "none"}
        told = self._workers.state(project, attempts[0])
        if told["status"] in ("stopped", "interrupted"):
            if attempts[0].has_bundle:
                told["status"] = "done"
            elif attempts[0].litter:
                _sweep(project, attempts[0])
        kept = ("status", "step", "seconds", "error")
        return {"number": attempts[0].number, **{name: told[name] for name in kept if name in told}}

    def told(self, project: Project) -> dict[str, Any]:
        """How far it is, what came of it, and what can be tried."""
        state, run = self.state(project), trained(project.folder)
        if run is None:
            return {**state, "ways": [], "by_fit": None, "taken": None, "refused": None}
        delivered = newest_smaller(run)
        refused = None if state["status"] == "none" else shrinkings_of(run)[0].state().get("compression")
        return {
            **state,
            "ways": _names(run),
            "by_fit": _kept(run.bundle),
            "taken": None if delivered is None else _kept(delivered.bundle),
            "refused": None if refused is None or refused["name"] else _cost(refused),
        }


def _names(run: Run) -> list[str]:
    """Of the ways that can be tried: first that of whatever suits the bundle, where something does."""
    found = _usable(run.bundle)
    return [*([AUTO] if any(some.by_itself for some in found) else []), *(some.name for some in found)]


@lru_cache(maxsize=16)
def _usable(bundle: Path) -> tuple[Compressor, ...]:
    """A bundle stays as it is, and its graphs take a while to read."""
    return usable(bundle, catalog.compressors())


def _sweep(project: Project, attempt: Shrinking) -> None:
    with held(project.folder, 0) as is_ours:
        if is_ours:
            attempt.sweep()


def _kept(bundle: Path) -> dict[str, Any] | None:
    found = read_manifest(bundle).compression
    return None if found is None or not found.kept else _cost(asdict(found))


def _cost(found: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes, times and scores, the original first, and what is known of the drop."""
    names = ("size_mb", "p50_ms", "per_second")
    return {
        "words": in_both(compression_in_words(found)),
        "metric": found["metric"],
        "models": [
            {
                "name": in_both(model_title(trade)),
                "taken": trade["name"] == found["name"],
                "score": trade["score"],
                **{name: trade["footprint"][name] for name in names},
            }
            for trade in found["trades"]
        ],
    }
