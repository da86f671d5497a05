"""Attempts to make a training's bundle smaller, on the disk.

runs/3/smaller/2/wish.json                what is tried, and how much may be lost
runs/3/smaller/2/state.json               how far it is, and what it cost
runs/3/smaller/2/tickets-small.fewtune    the smaller bundle, where it keeps its promise
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.read import read_manifest
from fewtune.bundle.write import write_atomically
from fewtune.compress.path import Wishes
from fewtune.compress.promise import FEWEST_FOR_A_BOUND
from fewtune.interfaces import Compressor
from fewtune.studio.database import Database
from fewtune.studio.examples import unlabelled
from fewtune.studio.kinds import KINDS
from fewtune.studio.runs import WISH, Job, Run, begun, numbered

_SMALLER = "smaller"
# Of what is not labelled, at most: it takes seconds, and proves a drop of one point.
_MEASURED = 400
_LEARNT = 2_000


class Shrinking(Job):
    """One attempt."""

    @property
    def run(self) -> Run:
        """The training."""
        return Run(self.folder.parent.parent)

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.run.project

    @property
    def bundle(self) -> Path:
        """Where the smaller one is put when it is whole."""
        return self.folder / f"{self.run.bundle.stem}-small.fewtune"

    @property
    def has_bundle(self) -> bool:
        """Whether there is a smaller one: what lies there for a moment may be the original that was kept."""
        if not super().has_bundle:
            return False
        compression = read_manifest(self.bundle).compression
        return compression is not None and compression.kept

    def wishes(self) -> Wishes:
        """What `compress` is asked to do."""
        return Wishes(**self.wish)

    @property
    def litter(self) -> list[Path]:
        """What an attempt left behind that was killed."""
        return [] if self.has_bundle else [entry for entry in self.folder.iterdir() if entry.is_dir()]

    def sweep(self) -> None:
        """Delete that."""
        for folder in self.litter:
            shutil.rmtree(folder, ignore_errors=True)


def is_shrinking(folder: Path) -> bool:
    """Whether a job's folder is that of an attempt, and not of a training."""
    return folder.parent.name == _SMALLER


def shrinkings_of(run: Run) -> list[Shrinking]:
    """All attempts with a training's bundle, the latest first."""
    return [Shrinking(folder) for folder in numbered(run.folder / _SMALLER)]


def newest_smaller(run: Run) -> Shrinking | None:
    """The latest attempt that gave a smaller bundle."""
    return next((some for some in shrinkings_of(run) if some.has_bundle), None)


def begin_shrinking(run: Run, way: Compressor | None, max_drop: float) -> Shrinking:
    """Write down what is to be tried.

    Args:
        run: whose bundle is to become smaller.
        way: how; None: whatever suits it.
        max_drop: the share of the metric that may be lost.
    """
    wish = {"max_drop": max_drop, **({way.option: way.name} if way else {})}
    content = json.dumps(wish).encode()
    return Shrinking(begun(run.folder / _SMALLER, lambda made: write_atomically(made / WISH, content)))


def material_of(run: Run) -> tuple[Any, Any]:
    """What shows how much is lost, and what a smaller model may learn from beside the bundle's own.

    Examples without labels are new to the model: where there are enough they show it, and the others are learnt from.
    None stands for what the bundle keeps of its training, and for nothing.
    """
    kind = KINDS[read_manifest(run.bundle).task]
    if kind.draws:
        return str(run.data), None
    database = Database(run.project / "project.db")
    try:
        rows = unlabelled(database)
    finally:
        database.close()
    shuffled = np.random.default_rng(run.recipe().seed).permutation(len(rows))
    inputs = [kind.place(run.project, rows[place]["input"]) for place in shuffled[: _MEASURED + _LEARNT]]
    if len(inputs) < FEWEST_FOR_A_BOUND:
        return None, inputs or None
    return inputs[:_MEASURED], inputs[_MEASURED:] or None
