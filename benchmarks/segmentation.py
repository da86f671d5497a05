"""Masks: CamVid, all 150 pictures and 20 of them, beside a plain script; same network, labels and minutes.

`partial` and `full` are ours; `plain` is plain_masks.py. All are scored on the set's own test pictures. Ours spend
their minutes on planning, exporting and answering too; the script only trains in them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from plain_masks import masks_of
from structured import Measurement, fitted, table_of

from fewtune.recipe import Recipe
from fewtune.runtime.threads import usable_cores
from fewtune.tasks.segmentation import Segmentation

METRICS = ("miou", "pixel_accuracy")
METHODS = ("full", "partial", "plain")
# 0: all there are.
PICTURES = (20, 0)
DRAWS, MINUTES = 3, 10
QUICK_MINUTES = 3


def measurements(data: Path, quick: bool) -> Iterator[Measurement]:
    minutes = QUICK_MINUTES if quick else MINUTES
    for pictures in PICTURES[: 1 if quick else None]:
        for draw in range(DRAWS if pictures and not quick else 1):
            for method in METHODS:
                key = {"set": "camvid", "pictures": pictures, "draw": draw, "method": method, "minutes": minutes}
                yield key, partial(_measure, data / "seg_camvid", pictures, draw, method, minutes)


def _measure(folder: Path, pictures: int, draw: int, method: str, minutes: float) -> dict[str, Any]:
    test = str(folder / "test.txt")
    with tempfile.TemporaryDirectory() as place:
        train = str(_some(folder, pictures, draw, Path(place)))
        if method != "plain":
            return fitted(train, test, Path(place), METRICS, method=method, budget=f"{minutes}m", seed=draw)
        task, recipe = Segmentation(), Recipe()
        dataset, truth = task.read(train, recipe, "fit"), task.read(test, recipe, "evaluate")
        started = time.monotonic()
        paths = [example.input for example in truth]
        answers = masks_of(dataset, paths, 60 * minutes, draw, usable_cores())
        seconds = time.monotonic() - started
    measured = task.measure(truth, dataset.labels, answers, np.ones((1, len(truth)))).metrics
    return {**{name: round(float(measured[name][0]), 4) for name in METRICS}, "seconds": round(seconds)}


def _some(folder: Path, pictures: int, draw: int, place: Path) -> Path:
    """A list of some of the pictures, beside all of them."""
    stems = (folder / "train.txt").read_text(encoding="utf-8").split()
    chosen = np.random.default_rng(draw).permutation(stems)[: pictures or None]
    for name in ("images", "masks", "classes.txt"):
        (place / name).symlink_to(folder / name)
    path = place / "train.txt"
    path.write_text("\n".join(sorted(chosen)), encoding="utf-8")
    return path


table: Callable[[list[dict[str, Any]]], str] = partial(table_of, METRICS)
