"""What a worker writes down for the page."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from fewtune.studio.runs import Run
from fewtune.studio.told import FileProgress, Told
from fewtune.types import Rung, Score, Scores

SCORES = Scores({"accuracy": Score(0.5, None, None, 4)})


def test_a_rung_that_is_scored_on_more_folds_stays_one_row(tmp_path: Path) -> None:
    folder = tmp_path / "p-tickets" / "runs" / "1"
    folder.mkdir(parents=True)
    run = Run(folder)
    progress = FileProgress(Told(run))
    for name, folds in (("head:x", "5"), ("contrastive:x", "1"), ("lora:x", "1"), ("contrastive:x", "5")):
        rung = Rung(name, "", "x", {}, SCORES, 0.5, 1.0, None, folds)
        progress.rung(lambda rung=rung: rung)
    told = [(rung["name"], rung["resampling"]) for rung in run.state()["rungs"]]
    assert told == [("head:x", "5"), ("contrastive:x", "5"), ("lora:x", "1")]
