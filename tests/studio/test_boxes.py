"""Boxes: stored, renamed with their labels, brought by a zip, taken away, learnt from."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

import fewtune
from fewtune.data.read.detection import read_boxes
from fewtune.studio.examples import labelled
from fewtune.studio.results import _unmatched
from fewtune.studio.runs import begin
from tests.pictures import coco_folder, needs_network, scene
from tests.studio.conftest import TEXTS, Client, Desk, project_of, studio
from tests.studio.test_intake import notes_of, zipped

BOXES = "object-detection"
DISC = {"label": "disc", "box": [10.0, 12.0, 30.0, 33.5]}


def png(number: int = 1) -> bytes:
    content = io.BytesIO()
    scene(number)[0].save(content, "PNG")
    return content.getvalue()


def coco_zip(folder: Path, count: int) -> bytes:
    coco_folder(folder, count)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return zipped(files)


@pytest.fixture
def boxes(client: Client) -> Desk:
    return Desk(client, BOXES, "Things")


def test_boxes_are_kept_over_a_restart(tmp_path: Path) -> None:
    with studio(tmp_path) as client:
        desk = Desk(client, BOXES, "Things")
        desk.post("/labels", {"name": "disc"})
        desk.bring(png(), "a.png")
        (row,) = desk.get("/waiting")["rows"]
        assert row["shapes"] is None
        now = desk.change(row, shapes=[DISC]).json()
        assert (now["shapes"], now["version"]) == ([DISC], row["version"] + 1)
        refused = desk.change(row, shapes=[])
        assert refused.json()["error"]["code"] == "changed-elsewhere"
    with studio(tmp_path) as client:
        at = desk.at
        assert client.get(f"{at}/examples/{row['id']}").json()["shapes"] == [DISC]
        state = client.get(at).json()
        assert state["counts"] == {"all": 1, "labelled": 1, "skipped": 0, "unlabelled": 0}
        assert state["labels"] == [{"name": "disc", "count": 1}]
        assert client.get(f"{at}/waiting").json()["rows"] == []
        taken_back = client.patch(f"{at}/examples/{row['id']}", json={"version": now["version"], "shapes": None}).json()
        assert taken_back["shapes"] is None
        assert [some["id"] for some in client.get(f"{at}/waiting").json()["rows"]] == [row["id"]]


def test_nothing_to_find_is_an_answer(boxes: Desk) -> None:
    boxes.bring(png(), "a.png")
    (row,) = boxes.get("/waiting")["rows"]
    assert boxes.change(row, shapes=[]).json()["shapes"] == []
    assert boxes.get("")["counts"]["labelled"] == 1
    assert boxes.get("")["labels"] == []


def test_labels_of_boxes_are_renamed_merged_and_deleted(boxes: Desk) -> None:
    for name in ("disc", "disk", "other"):
        boxes.post("/labels", {"name": name})
    boxes.bring(png(), "a.png")
    (row,) = boxes.get("/waiting")["rows"]
    boxes.change(row, shapes=[DISC, {**DISC, "label": "disk"}])
    assert boxes.post("/labels/rename", {"name": "disk", "new": "disc"})["changed"] == 1
    assert boxes.get("")["labels"] == [{"name": "disc", "count": 2}, {"name": "other", "count": 0}]
    refused = boxes.client.post(f"{boxes.at}/labels/delete", json={"name": "disc"})
    assert refused.json()["error"]["code"] == "label-in-use"
    assert [label["name"] for label in boxes.post("/labels/delete", {"name": "other"})["labels"]] == ["disc"]
    for name in ("", " "):
        assert boxes.client.post(f"{boxes.at}/labels/delete", json={"name": name}).status_code in (404, 422)


@pytest.mark.parametrize(
    "wanted",
    [
        {"shapes": [{"label": "no", "box": [0, 0, 5, 5]}]},
        {"shapes": [{"label": "", "box": [0, 0, 5, 5]}]},
        {"shapes": [{"label": "disc", "box": [5, 0, 5, 5]}]},
        {"shapes": [{"label": "disc", "box": [0, 0, 5]}]},
        {"shapes": [{"label": "disc", "box": [-1, 0, 5, 5]}]},
        {"shapes": [{"label": "disc", "box": [0, 0, 1e9, 5]}]},
        {"shapes": [{**DISC, "more": 1}]},
        {"shapes": [DISC] * 1_001},
        {"label": "disc"},
    ],
    ids=range(9),
)
def test_boxes_that_do_not_fit_are_refused(boxes: Desk, wanted: dict) -> None:
    boxes.post("/labels", {"name": "disc"})
    boxes.bring(png(), "a.png")
    (row,) = boxes.get("/waiting")["rows"]
    answer = boxes.change(row, **wanted)
    assert answer.status_code == 422
    assert answer.json()["error"]["what"]
    assert boxes.get(f"/examples/{row['id']}")["version"] == row["version"]


def test_texts_take_no_boxes(client: Client) -> None:
    desk = Desk(client, TEXTS)
    row = desk.post("/examples", {"text": "a"})
    assert desk.change(row, shapes=[]).json()["error"]["code"] == "other-input"


def test_a_zip_with_coco_comes_and_goes(boxes: Desk, tmp_path: Path) -> None:
    brought = boxes.bring(coco_zip(tmp_path / "coco", 5), "things.zip").json()
    assert (brought["added"], brought["labelled"]) == (5, 5)
    expected = read_boxes(tmp_path / "coco", for_test=False)
    state = boxes.get("")
    assert {label["name"] for label in state["labels"]} <= {"disc", "square"}
    assert sum(label["count"] for label in state["labels"]) == sum(len(some.boxes) for some in expected.pictures)
    path = tmp_path / "taken.zip"
    path.write_bytes(boxes.client.get(f"{boxes.at}/data.zip").content)
    again = read_boxes(path, for_test=False)
    assert [[box.box_xyxy for box in some.boxes] for some in again.pictures] == [
        [box.box_xyxy for box in some.boxes] for some in expected.pictures
    ]
    assert json.loads(boxes.client.get(f"{boxes.at}/coco.json").text)["images"][0]["width"] == 96
    tasks = json.loads(boxes.client.get(f"{boxes.at}/label-studio.json").text)
    (first, *_) = [task for task in tasks if task["annotations"][0]["result"]]
    value = first["annotations"][0]["result"][0]["value"]
    assert value["rectanglelabels"][0] in ("disc", "square")
    assert 0 <= value["x"] < value["x"] + value["width"] <= 100.001


def test_crowds_are_left_out_and_told_of(boxes: Desk) -> None:
    def box(number: int, is_crowd: int) -> dict:
        return {"id": number, "image_id": 1, "category_id": 1, "bbox": [number, 2, 20, 30], "iscrowd": is_crowd}

    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [box(5, 0), box(9, 1)],
        "categories": [{"id": 1, "name": "disc"}],
    }
    files = {"boxes.json": json.dumps(content).encode(), "images/a.png": png()}
    brought = boxes.bring(zipped(files), "crowd.zip").json()
    assert any("1 box" in note and "crowd" in note for note in notes_of(brought)), brought
    assert boxes.get("/examples")["rows"][0]["shapes"] == [{"label": "disc", "box": [5, 2, 25, 32]}]


def test_pictures_alone_wait_to_be_drawn_on(boxes: Desk) -> None:
    brought = boxes.bring(zipped({"a/1.png": png(1), "a/2.png": png(2)}), "some.zip").json()
    assert (brought["added"], brought["labelled"]) == (2, 0)
    assert boxes.get("")["counts"]["unlabelled"] == 2


def test_names_in_a_zip_do_not_lead_out(boxes: Desk, tmp_path: Path) -> None:
    content = {"images": [{"id": 1, "file_name": "../../../../etc/hostname.png"}], "annotations": [], "categories": []}
    files = {"boxes.json": json.dumps(content).encode(), "images/a.png": png()}
    answer = boxes.bring(zipped(files), "out.zip")
    assert answer.status_code == 422
    assert str(tmp_path) not in answer.text
    assert boxes.get("")["counts"]["all"] == 0
    assert list(boxes.client.workspace.uploads.iterdir()) == []


def test_mistakes_are_counted_each_box_once() -> None:
    def box(category: str, *bbox: float) -> dict:
        return {"category": category, "bbox": list(bbox)}

    truth = [box("disc", 0, 0, 10, 10), box("disc", 1, 0, 10, 10), box("square", 50, 50, 10, 10)]
    found = [box("disc", 0, 0, 10, 10), box("disc", 50, 50, 10, 10)]
    assert (_unmatched(truth, found), _unmatched(found, truth)) == (2, 1)


@needs_network
def test_it_is_learnt_from(boxes: Desk, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    assert boxes.client.post(f"{boxes.at}/training", json={"minutes": 1}).json()["error"]["code"] == "too-few-drawn"
    boxes.bring(coco_zip(tmp_path / "coco", 6), "things.zip")
    boxes.bring(png(50), "new.png")
    # A few steps instead of what the budget allows, by a training that is gone on with.
    project = project_of(boxes)
    quick = {"steps": 4, "width_px": 96, "height_px": 64, "augment": "crop,light,flip"}
    wish = {"budget": "60s", "method": "partial", "settings": quick}
    run = begin(project.folder, project.kind, labelled(project.database), ["disc", "square"], wish)
    run.set_state({"status": "stopped"})
    boxes.post("/training/resume")
    state = boxes.trained(600)
    assert state["status"] == "done", state
    result = boxes.get("/result")
    assert "6 labelled pictures" in result["sentences"][0]["en"] or "6 pictures" in result["sentences"][0]["en"]
    assert "map" in result["scores"]
    for some in result["drawn_errors"]:
        assert some["missed"] + some["extra"] > 0
        assert some["row"]["id"] <= 6
    assert boxes.get("")["model"]["words"]["en"]
    (row,) = boxes.get("/waiting")["rows"]
    assert isinstance(json.loads(row["prediction"]), list)
    headers = {"content-type": "application/octet-stream"}
    tried = boxes.client.post(f"{boxes.at}/try-picture?file=a.png", content=png(51), headers=headers)
    assert isinstance(tried.json()["shapes"], list)
    with zipfile.ZipFile(io.BytesIO(boxes.client.get(f"{boxes.at}/bundle.zip").content)) as archive:
        archive.extractall(tmp_path / "bundle")
    (bundle,) = (tmp_path / "bundle").iterdir()
    assert fewtune.load(bundle).predict([scene(51)[0]])
