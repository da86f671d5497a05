"""Boxes: BCCD, all 205 pictures and 20 of them, beside a plain torchvision script; same network, labels and minutes.

`partial` is what `fit` takes by itself, of few pictures without augmentation as well; `full` tunes everything from the
start; `plain` is plain_boxes.py. All are scored on the set's own test pictures. Ours spend their minutes on planning,
exporting and answering too; the script only trains in them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from plain_boxes import boxes_of
from structured import NO_VIEWS, Suite

from fewtune.tasks.object_detection import ObjectDetection


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


_SUITE = Suite(
    name="bccd",
    folder="det_bccd",
    test="test.json",
    task=ObjectDetection(),
    metrics=("map_50", "map"),
    methods=("partial", f"partial{NO_VIEWS}", "full", "plain"),
    plain=boxes_of,
    some=_some,
    minutes=(3, 10),
)
measurements, table = _SUITE.measurements, _SUITE.table
