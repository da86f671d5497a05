"""Pictures with boxes to a bundle and its answers, on real weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("timm")

import fewtune
from fewtune.data.boxes import Detections
from fewtune.errors import RecipeError, UserError
from fewtune.runtime.detector_graph import DetectorGraph, selection_from_json
from fewtune.runtime.letterbox import letterbox_from_json
from fewtune.tasks.object_detection import ObjectDetection
from tests.pictures import coco_folder, needs_network, odd_pictures

QUICK = {"steps": 24, "width_px": 96, "height_px": 64, "augment": "crop,light,flip,vertical-flip"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boxes")
    coco_folder(folder / "train", 12)
    coco_folder(folder / "test", 4, start=100)
    return folder


@pytest.fixture(scope="module")
def model(place: Path) -> fewtune.Model:
    return fewtune.fit(
        place / "train",
        test=str(place / "test"),
        out=place / "m.fewtune",
        method="partial",
        budget="20m",
        threads=1,
        settings=QUICK,
    )


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fewtune", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_network
def test_it_learns_to_find_things(model: fewtune.Model, place: Path) -> None:
    assert model.task == "object-detection"
    assert model.labels == ("disc", "square")
    assert model.manifest.primary_metric == "map"
    assert model.evaluate(place / "test").scores["map_50"].value > 0.3
    assert set(model.evaluate(place / "test").scores.per_class["disc"]) == {"ap", "ap_50"}


@needs_network
def test_boxes_are_in_the_pixels_of_any_picture(model: fewtune.Model, tmp_path: Path) -> None:
    from PIL import Image

    from tests.pictures import scene

    picture, _ = scene(101)
    (small,), (large,) = model.predict([picture]), model.predict([picture.resize((384, 256), Image.Resampling.BICUBIC)])
    assert isinstance(small, Detections)
    sure = small.scores > 0.4
    assert sure.any()
    for box, score in zip(small.boxes_xyxy[sure], small.scores[sure], strict=True):
        nearest = np.abs(large.boxes_xyxy / 4 - box).max(axis=1).min()
        assert nearest < 3, score
    for name, path in odd_pictures(tmp_path):
        (answer,) = model.predict([path])
        assert np.isfinite(answer.boxes_xyxy).all(), name


@needs_network
def test_predict_writes_coco_results(model: fewtune.Model, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    done = cli("predict", model.bundle, place / "test" / "images", "--out", out)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())
    assert rows
    assert set(rows[0]) == {"image_id", "file_name", "category_id", "category", "bbox", "score"}
    printed = json.loads(cli("predict", model.bundle, place / "test", "--json").stdout)["predictions"]
    assert [row["bbox"] for row in printed] == [row["bbox"] for row in rows]
    assert {row["image_id"] for row in printed} <= {101, 102, 103, 104}  # the COCO file's own
    (one,) = {
        row["file_name"] for row in json.loads(cli("predict", model.bundle, place / "test/images/101.png").stdout)
    }
    assert one == "101.png"
    refused = cli("predict", model.bundle, place / "test", "--out", tmp_path / "found.csv")
    assert refused.returncode == 2
    assert ".json" in refused.stderr


@needs_network
def test_a_bundle_runs_without_torch_as_its_files_say(model: fewtune.Model, place: Path) -> None:
    code = (
        f"import sys, fewtune; m = fewtune.load({str(model.bundle)!r});"
        f"m.predict([{str(place / 'test/images/101.png')!r}]); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    letterbox = letterbox_from_json((model.bundle / "preprocess.json").read_bytes(), where="")
    selection = selection_from_json((model.bundle / "postprocess.json").read_bytes(), where="")
    graph = DetectorGraph(model.bundle / "model.onnx", letterbox, selection, threads=1)
    picture = place / "test/images/102.png"
    (ours,), (theirs,) = graph.find([picture]), model.predict([picture])
    assert ObjectDetection().gap(ours, theirs) < 1e-3


@needs_network
def test_the_report_shows_pictures_and_curves(model: fewtune.Model) -> None:
    page = (model.bundle / "private" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") >= 2
    assert "Precision over recall" in page


@needs_network
def test_folds_score_it_where_there_is_no_test(place: Path, tmp_path: Path) -> None:
    tuned = fewtune.fit(
        place / "train",
        out=tmp_path / "f.fewtune",
        method="full",
        budget="60s",
        threads=1,
        settings={**QUICK, "steps": 4},
    )
    assert tuned.result is not None
    assert tuned.result.method == "full"
    assert "out of fold" in tuned.result.scores.how


@needs_network
def test_a_training_that_becomes_slower_ends_in_its_time_and_its_recipe_gives_the_same(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fewtune.journal import Journal
    from fewtune.tune.detection_objective import DetectionObjective

    lost = [0.0]
    elapsed: Any = Journal.elapsed.fget
    after_step = DetectionObjective.after_step

    def slower(objective: DetectionObjective) -> None:
        lost[0] += 3.0
        after_step(objective)

    small = {name: value for name, value in QUICK.items() if name != "steps"} | {"stages": 1, "frozen": 0.0}
    options = {"test": str(place / "test"), "method": "partial", "budget": "60s", "threads": 1, "compress": "none"}
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "elapsed", property(lambda journal: elapsed(journal) + lost[0]))
        patch.setattr(DetectionObjective, "after_step", slower)
        held_up = fewtune.fit(place / "train", out=tmp_path / "a.fewtune", settings=small, **options)
    settings = held_up.manifest.recipe["settings"]
    last = settings["pace"].rpartition(":")[2]
    assert 3 * int(last) < settings["steps"]
    again = fewtune.fit(place / "train", out=tmp_path / "b.fewtune", settings=settings, **options)
    for name in ("model.onnx", "postprocess.json"):
        assert (again.bundle / name).read_bytes() == (held_up.bundle / name).read_bytes()


@needs_network
def test_steps_of_both_kinds_are_timed(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fewtune.tune import detection

    frozen: list[bool] = []

    def timed(objective: Any, batch: int) -> float:
        frozen.append(batch < objective._phases.first)
        return 1e3

    monkeypatch.setattr(detection, "_step_seconds", timed)
    settings = {"width_px": 96, "height_px": 64, "frozen": 0.5}
    with pytest.raises(UserError, match="too little time"):
        fewtune.fit(place / "train", out=tmp_path / "m.fewtune", method="partial", budget="60s", settings=settings)
    assert frozen == [True, False]


def test_what_is_not_right_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="multiple of 32"):
        fewtune.fit(place / "train", out=tmp_path / "x", method="partial", settings={**QUICK, "width_px": 100})
    with pytest.raises(UserError, match=r"COCO|form"):
        fewtune.fit(place / "train" / "images", out=tmp_path / "x", task="object-detection")
    with pytest.raises(RecipeError, match="pace cannot be '30:20'"):
        fewtune.fit(place / "train", out=tmp_path / "x", method="partial", settings={**QUICK, "pace": "30:20"})


def test_gap_is_none_to_itself_and_infinite_to_nothing() -> None:
    task = ObjectDetection()
    some = Detections(np.array([[0.0, 0, 9, 9]]), np.array([0]), np.array([0.8]))
    moved = Detections(some.boxes_xyxy + 1, some.labels, some.scores)
    assert task.gap(some, some) == 0
    assert task.gap(some, moved) == pytest.approx(2)
    assert task.gap(some, Detections()) == float("inf")
