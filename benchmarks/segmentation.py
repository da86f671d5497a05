"""Masks: CamVid, all 150 pictures and 20 of them, beside a plain script; same network, labels and minutes.

`partial` and `full` are ours, of few pictures without augmentation as well; `plain` is plain_masks.py. All are scored
on the set's own test pictures. Ours spend their minutes on planning, exporting and answering too; the script only
trains in them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from plain_masks import masks_of
from structured import NO_VIEWS, Suite

from fewtune.tasks.segmentation import Segmentation


def _some(folder: Path, pictures: int, draw: int, place: Path) -> Path:
    """A list of some of the pictures, beside all of them."""
    stems = (folder / "train.txt").read_text(encoding="utf-8").split()
    chosen = np.random.default_rng(draw).permutation(stems)[: pictures or None]
    for name in ("images", "masks", "classes.txt"):
        (place / name).symlink_to(folder / name)
    path = place / "train.txt"
    path.write_text("\n".join(sorted(chosen)), encoding="utf-8")
    return path


_SUITE = Suite(
    name="camvid",
    folder="seg_camvid",
    test="test.txt",
    task=Segmentation(),
    metrics=("miou", "pixel_accuracy"),
    methods=("full", f"full{NO_VIEWS}", "partial", "plain"),
    plain=masks_of,
    some=_some,
    minutes=(3, 20),
)
measurements, table = _SUITE.measurements, _SUITE.table
