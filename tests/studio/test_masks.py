"""Masks: kept, renamed with their labels, brought by a zip, taken away, learnt from."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import fewtune
from fewtune.data.mask import IGNORE, read_mask
from fewtune.data.read.masks import read_masked_pictures
from fewtune.studio.examples import labelled
from fewtune.studio.masks import as_runs, foreground, kept, painted
from fewtune.studio.runs import begin
from tests.pictures import MASK_CLASSES, coco_folder, masked_folder, needs_network, scene
from tests.studio.conftest import FILE, Client, Desk, project_of, studio
from tests.studio.test_boxes import png
from tests.studio.test_intake import notes_of, zipped

TASK = "segmentation"
# Two rows of disc in a picture that is otherwise not painted.
PAINTED = {"width": 96, "height": 64, "runs": [0, 96 * 62, 1, 96 * 2], "labels": ["disc"]}


def mask_zip(folder: Path, count: int, **more: bytes) -> bytes:
    masked_folder(folder, count)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return zipped({**files, **more})


@pytest.fixture
def masks(client: Client) -> Desk:
    desk = Desk(client, TASK, "Ground")
    for name in ("disc", "square"):
        desk.post("/labels", {"name": name})
    return desk


@given(
    st.lists(st.integers(0, 3) | st.just(IGNORE), min_size=12, max_size=12), st.permutations(["a", "b", "background"])
)
def test_what_is_painted_comes_back(numbers: list[int], labels: list[str]) -> None:
    ids = np.array(numbers, np.uint8).reshape(3, 4)
    sent = as_runs(ids, labels)
    content, shapes = kept(sent)
    back = painted(content, shapes, (4, 3), 1024)
    names = {0: "", IGNORE: "passed over"} | dict(enumerate(labels, start=1))
    returned = np.repeat(back["runs"][::2], back["runs"][1::2]).reshape(3, 4)
    again = {0: "", IGNORE: "passed over"} | dict(enumerate(back["labels"], start=1))
    assert [[names[number] for number in row] for row in ids.tolist()] == [
        [again[number] for number in row] for row in returned.tolist()
    ]
    assert {shape["label"] for shape in shapes} == {labels[n - 1] for n in numbers if 0 < n < IGNORE}


def test_background_is_what_is_not_painted() -> None:
    ids, names = foreground(np.array([[0, 1, 2, IGNORE]], np.uint8), ("disc", "Background", "square"))
    assert (ids.tolist(), names) == ([[1, 0, 2, IGNORE]], ["disc", "square"])


def test_masks_are_kept_over_a_restart(tmp_path: Path) -> None:
    with studio(tmp_path) as client:
        desk = Desk(client, TASK, "Ground")
        desk.post("/labels", {"name": "disc"})
        desk.bring(png(), "a.png")
        (row,) = desk.get("/waiting")["rows"]
        blank = desk.get(f"/masks/{row['id']}", params={"px": 48})
        assert blank == {"width": 48, "height": 32, "runs": [0, 48 * 32], "labels": []}
        now = desk.change(row, mask=PAINTED).json()
        assert [shape["label"] for shape in now["shapes"]] == ["disc"]
        assert desk.change(row, mask=None).json()["error"]["code"] == "changed-elsewhere"
    with studio(tmp_path) as client:
        assert client.get(f"{desk.at}/masks/{row['id']}?px=1024").json() == PAINTED
        state = client.get(desk.at).json()
        assert state["counts"]["labelled"] == 1
        assert state["labels"] == [{"name": "disc", "count": 1}]
        change = {"version": now["version"], "mask": None}
        taken_back = client.patch(f"{desk.at}/examples/{row['id']}", json=change).json()
        assert taken_back["shapes"] is None
        assert client.get(f"{desk.at}/masks/{row['id']}").json()["labels"] == []


def test_labels_of_masks_are_renamed_and_merged(masks: Desk) -> None:
    masks.bring(png(), "a.png")
    (row,) = masks.get("/waiting")["rows"]
    both = {**PAINTED, "runs": [2, 96 * 62, 1, 96, IGNORE, 96], "labels": ["disc", "square"]}
    masks.change(row, mask=both)
    masks.post("/labels/rename", {"name": "square", "new": "disc"})
    assert masks.get("")["labels"] == [{"name": "disc", "count": 2}]
    found = masks.get(f"/masks/{row['id']}", params={"px": 96})
    assert (found["labels"], found["runs"]) == (["disc"], [1, 96 * 63, IGNORE, 96])
    refused = masks.client.post(f"{masks.at}/labels/delete", json={"name": "disc"})
    assert refused.json()["error"]["code"] == "label-in-use"


@pytest.mark.parametrize(
    "wanted",
    [
        {"mask": {**PAINTED, "labels": ["no such label"]}},
        {"mask": {**PAINTED, "labels": []}},
        {"mask": {**PAINTED, "labels": [""]}},
        {"mask": {**PAINTED, "runs": [0, 5]}},
        {"mask": {**PAINTED, "runs": [0, 96 * 64, 1]}},
        {"mask": {**PAINTED, "runs": [-1, 96 * 64]}},
        {"mask": {**PAINTED, "runs": [0, 96 * 65, 1, -96]}},
        {"mask": {**PAINTED, "runs": [9, 96 * 64]}},
        {"mask": {**PAINTED, "width": 1_000_000}},
        {"mask": {**PAINTED, "runs": [0, 1] * 300_000}},
        {"mask": {**PAINTED, "more": 1}},
        {"shapes": []},
        {"label": "disc"},
        {"mask": PAINTED, "label": "disc"},
    ],
    ids=range(14),
)
def test_masks_that_do_not_fit_are_refused(masks: Desk, wanted: dict) -> None:
    masks.bring(png(), "a.png")
    (row,) = masks.get("/waiting")["rows"]
    answer = masks.change(row, **wanted)
    assert answer.status_code == 422
    assert answer.json()["error"]["what"]
    assert masks.get(f"/examples/{row['id']}")["version"] == row["version"]


def test_a_zip_with_masks_comes_and_goes(masks: Desk, tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("L", (5, 5)).save(content, "PNG")
    more = {"images/odd.png": png(), "masks/odd.png": content.getvalue(), "images/alone.png": png(9)}
    brought = masks.bring(mask_zip(tmp_path / "masked", 5, **more), "ground.zip").json()
    assert (brought["added"], brought["labelled"]) == (5, 5)
    assert any("5 x 5" in note for note in notes_of(brought))
    masks.bring(png(20), "not painted.png")
    path = tmp_path / "taken.zip"
    path.write_bytes(masks.client.get(f"{masks.at}/data.zip").content)
    again = read_masked_pictures(str(path))
    assert set(again.labels) == set(MASK_CLASSES)
    assert len(again.masks) == 5
    for place, mask in zip(again.places, again.masks, strict=True):
        before = read_mask(str(tmp_path / "masked" / "masks" / place.partition("-")[2]))
        names = dict(enumerate(MASK_CLASSES)) | {IGNORE: ""}
        now = dict(enumerate(again.labels)) | {IGNORE: ""}
        assert [names[some] for some in before.ravel().tolist()] == [
            now[some] for some in read_mask(mask).ravel().tolist()
        ]
    coco = json.loads(masks.client.get(f"{masks.at}/coco.json").text)
    assert coco["annotations"][0]["segmentation"]["size"] == [64, 96]
    assert masks.client.get(f"{masks.at}/label-studio.json").status_code == 404


def test_a_zip_with_segmentations_is_painted(masks: Desk, tmp_path: Path) -> None:
    coco_folder(tmp_path / "coco", 3)
    listing = json.loads((tmp_path / "coco" / "boxes.json").read_text())
    for annotation in listing["annotations"]:
        left, top, width, height = annotation["bbox"]
        right, bottom = left + width, top + height
        annotation["segmentation"] = [[left, top, right, top, right, bottom, left, bottom]]
    files = {f"images/{number:03d}.png": png(number) for number in range(3)}
    brought = masks.bring(zipped({"a.json": json.dumps(listing).encode(), **files}), "coco.zip").json()
    assert (brought["added"], brought["labelled"]) == (3, 3)
    (row,) = [row for row in masks.get("/examples")["rows"] if row["name"].endswith("001.png")]
    found = masks.get(f"/masks/{row['id']}", params={"px": 96})
    ids = np.repeat(found["runs"][::2], found["runs"][1::2]).reshape(64, 96)
    for kind, (left, top, right, bottom) in scene(1)[1]:
        assert found["labels"][ids[(top + bottom) // 2, (left + right) // 2] - 1] == kind


def test_names_in_a_zip_do_not_lead_out(masks: Desk, tmp_path: Path) -> None:
    content = {"images": [{"id": 1, "file_name": "../../../../etc/hostname.png"}], "annotations": [], "categories": []}
    for files in ({"a.json": json.dumps(content).encode()}, {"a.json": b"[" * 100_000, "a.txt": b""}):
        answer = masks.bring(zipped({**files, "images/a.txt": b"no picture"}), "out.zip")
        assert answer.status_code == 422
        assert str(tmp_path) not in answer.text
    assert masks.get("")["counts"]["all"] == 0
    assert list(masks.client.workspace.uploads.iterdir()) == []


@needs_network
def test_it_is_learnt_from(masks: Desk, tmp_path: Path) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    masks.bring(mask_zip(tmp_path / "masked", 6), "ground.zip")
    masks.bring(png(50), "new.png")
    project, quick = project_of(masks), {"steps": 4, "size_px": 96, "crop_px": 64, "batch_size": 2}
    used = sorted(project.kind.labels_used([dict(row) for row in labelled(project.database)]))
    wish = {"budget": "60s", "method": "head", "settings": quick}
    begin(project.folder, project.kind, labelled(project.database), used, wish).set_state({"status": "stopped"})
    masks.post("/training/resume")
    state = masks.trained(600)
    assert state["status"] == "done", state
    result = masks.get("/result")
    assert "miou" in result["scores"]
    assert result["drawn_errors"]
    for some in result["drawn_errors"]:
        assert 0 < some["wrong"] <= 1
        assert some["row"]["id"] <= 6
        assert set(some["mask"]["labels"]) <= set(MASK_CLASSES)
    (row,) = masks.get("/waiting")["rows"]
    assert {"width", "height", "runs", "labels"} == json.loads(row["prediction"]).keys()
    tried = masks.client.post(f"{masks.at}/try-picture?file=a.png", content=png(51), headers=FILE)
    assert tried.json()["mask"]["width"] == 96
    with zipfile.ZipFile(io.BytesIO(masks.client.get(f"{masks.at}/bundle.zip").content)) as archive:
        archive.extractall(tmp_path / "bundle")
    (bundle,) = (tmp_path / "bundle").iterdir()
    assert fewtune.load(bundle).predict([scene(51)[0]])
