"""Boxes: BCCD, all 205 pictures and 20 of them, beside a plain torchvision script; same network, labels and minutes.

`partial` is what `fit` takes by itself; `full` tunes everything from the start; `plain` is plain_boxes.py. All are
scored on the set's own test pictures. Ours spend their minutes on planning, exporting and answering too; the script
only trains in them.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from plain_boxes import boxes_of
from structured import Measurement, fitted, table_of

from fewtune.recipe import Recipe
from fewtune.runtime.threads import usable_cores
from fewtune.tasks.object_detection import ObjectDetection

METRICS = ("map_50", "map")
METHODS = ("partial", "full", "plain")
# 0: all there are.
PICTURES = (20, 0)
DRAWS, MINUTES = 3, 10
QUICK_MINUTES = 3


def measurements(data: Path, quick: bool) -> Iterator[Measurement]:
    minutes = QUICK_MINUTES if quick else MINUTES
    for pictures in PICTURES[: 1 if quick else None]:
        for draw in range(DRAWS if pictures and not quick else 1):
            for method in METHODS:
                key = {"set": "bccd", "pictures": pictures, "draw": draw, "method": method, "minutes": minutes}
                yield key, partial(_measure, data / "det_bccd", pictures, draw, method, minutes)


def _measure(folder: Path, pictures: int, draw: int, method: str, minutes: float) -> dict[str, Any]:
    test = str(folder / "test.json")
    with tempfile.TemporaryDirectory() as place:
        train = str(_some(folder, pictures, draw, Path(place)))
        if method != "plain":
            return fitted(train, test, Path(place), METRICS, method=method, budget=f"{minutes}m", seed=draw)
        task, recipe = ObjectDetection(), Recipe()
        dataset, truth = task.read(train, recipe, "fit"), task.read(test, recipe, "evaluate")
        started = time.monotonic()
        paths = [example.input for example in truth]
        answers = boxes_of(dataset, paths, 60 * minutes, draw, usable_cores())
        seconds = time.monotonic() - started
    measured = task.measure(truth, dataset.labels, answers, np.ones((1, len(truth)))).metrics
    return {**{name: round(float(measured[name][0]), 4) for name in METRICS}, "seconds": round(seconds)}


def _some(folder: Path, pictures: int, draw: int, place: Path) -> Path:
    """COCO's JSON of some of the pictures, beside all of them."""
    listing = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    chosen = np.random.default_rng(draw).permutation([image["id"] for image in listing["images"]])
    kept = set(chosen[: pictures or None].tolist())
    listing["images"] = [image for image in listing["images"] if image["id"] in kept]
    listing["annotations"] = [box for box in listing["annotations"] if box["image_id"] in kept]
    (place / "images").symlink_to(folder / "images")
    path = place / "train.json"
    path.write_text(json.dumps(listing), encoding="utf-8")
    return path


table: Callable[[list[dict[str, Any]]], str] = partial(table_of, METRICS)
