"""COCO, Pascal VOC and YOLO: the same boxes read alike, and what is wrong is told."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fewtune import catalog
from fewtune.errors import DataError
from fewtune.interfaces import Purpose
from fewtune.recipe import Recipe
from fewtune.tasks.object_detection import ObjectDetection
from fewtune.types import Dataset
from tests.pictures import class_folders, coco_folder, draw

TASK = ObjectDetection()


def read(source: Path, purpose: Purpose = "fit") -> Dataset:
    assert TASK.recognises(source)
    return TASK.read(str(source), Recipe(), purpose)


def codes(dataset: Dataset, test: Dataset | None = None) -> dict[str, str]:
    return {finding.code: finding.level for finding in TASK.check(dataset, test)}


def rewritten(path: Path, **changes: Any) -> Path:
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, **changes}))
    return path


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    return coco_folder(tmp_path / "coco", 5)


def as_voc(dataset: Dataset, folder: Path, *, first: int = 1) -> Path:
    (folder / "Annotations").mkdir(parents=True)
    (folder / "JPEGImages").mkdir()
    for example in dataset:
        picture = Path(example.input)
        (folder / "JPEGImages" / picture.name).write_bytes(picture.read_bytes())
        objects = ""
        for box, label in zip(example.target.boxes_xyxy, example.target.labels, strict=True):
            left, top, right, bottom = (int(value) for value in box)
            edges = (left + first, top + first, right, bottom) if first else (left, top, right, bottom)
            inner = "".join(f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
            objects += (
                f"<object><name>{dataset.labels[label]}</name><difficult>0</difficult><bndbox>{inner}</bndbox></object>"
            )
        xml = f"<annotation><filename>{picture.name}</filename>{objects}</annotation>"
        (folder / "Annotations" / f"{picture.stem}.xml").write_text(xml)
    return folder


def as_yolo(dataset: Dataset, folder: Path, names: str = "data.yaml") -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for example in dataset:
        picture = Path(example.input)
        (folder / "images" / picture.name).write_bytes(picture.read_bytes())
        width, height = Image.open(picture).size
        lines = []
        for (left, top, right, bottom), label in zip(example.target.boxes_xyxy, example.target.labels, strict=True):
            middle = ((left + right) / 2 / width, (top + bottom) / 2 / height)
            lines.append(f"{label} {middle[0]} {middle[1]} {(right - left) / width} {(bottom - top) / height}")
        (folder / "labels" / f"{picture.stem}.txt").write_text("\n".join(lines))
    if names == "data.yaml":
        (folder / names).write_text(f"names: {json.dumps(list(dataset.labels))}\nnc: 2\n")
    elif names:
        (folder / names).write_text("\n".join(dataset.labels))
    return folder


def assert_same(first: Dataset, second: Dataset) -> None:
    assert first.labels == second.labels
    by_name = {Path(example.input).name: example.target for example in second}
    assert len(first) == len(second)
    for example in first:
        other = by_name[Path(example.input).name]
        assert np.allclose(example.target.boxes_xyxy, other.boxes_xyxy, atol=1e-6)
        assert example.target.labels.tolist() == other.labels.tolist()


def test_coco_by_its_file_its_folder_and_its_zip(coco: Path, tmp_path: Path) -> None:
    dataset = read(coco / "boxes.json")
    assert dataset.labels == ("disc", "square")
    assert any("unused" in note for note in dataset.notes)
    assert len(dataset) == 5
    assert not len(dataset.examples[0].target)
    assert_same(dataset, read(coco))
    with zipfile.ZipFile(tmp_path / "coco.zip", "w") as archive:
        for path in sorted(coco.rglob("*.*")):
            archive.write(path, path.relative_to(coco))
    assert_same(dataset, read(tmp_path / "coco.zip"))
    assert catalog.find_task("auto", str(coco)).name == "object-detection"
    assert catalog.find_task("detection").name == "object-detection"


@pytest.mark.parametrize("first", [0, 1])
def test_voc_counts_pixels_from_one_unless_an_edge_is_zero(coco: Path, tmp_path: Path, first: int) -> None:
    dataset = read(coco)
    folder = as_voc(dataset, tmp_path / "voc", first=first)
    if not first:
        any_file = sorted((folder / "Annotations").glob("*.xml"))[1]
        any_file.write_text(
            any_file.read_text().replace(
                "</annotation>",
                "<object><name>disc</name><bndbox><xmin>0</xmin>"
                "<ymin>0</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>",
            )
        )
        boxes = np.concatenate([example.target.boxes_xyxy for example in read(folder)])
        assert [0.0, 0.0, 9.0, 9.0] in boxes.tolist()
        return
    assert_same(dataset, read(folder))
    assert catalog.find_task("auto", str(folder)).name == "object-detection"


@pytest.mark.parametrize("names", ["data.yaml", "classes.txt", ""])
def test_yolo(coco: Path, tmp_path: Path, names: str) -> None:
    dataset = read(coco)
    folder = as_yolo(dataset, tmp_path / "yolo", names)
    found = read(folder)
    if names:
        assert_same(dataset, found)
    else:
        assert found.labels == ("0", "1")
        assert any("numbers" in note for note in found.notes)


def test_folders_of_classes_are_left_to_classification(tmp_path: Path) -> None:
    class_folders(tmp_path / "shapes", 2)
    (tmp_path / "shapes" / "disc" / "notes.txt").write_text("the camera was cold")
    assert not TASK.recognises(tmp_path / "shapes")
    assert catalog.find_task("auto", str(tmp_path / "shapes")).name == "image-classification"


def test_a_folder_with_several_splits(coco: Path) -> None:
    content = json.loads((coco / "boxes.json").read_text())
    (coco / "boxes.json").rename(coco / "train.json")
    (coco / "test.json").write_text(
        json.dumps({**content, "images": content["images"][:2], "annotations": content["annotations"][:1]})
    )
    assert len(read(coco)) == 5
    assert len(read(coco, "evaluate")) == 2
    (coco / "train.json").rename(coco / "a.json")
    (coco / "test.json").rename(coco / "b.json")
    with pytest.raises(DataError, match="several COCO files"):
        read(coco)


def test_boxes_that_are_not_right_are_told_and_never_dropped_in_silence(coco: Path) -> None:
    annotations = json.loads((coco / "boxes.json").read_text())["annotations"]
    for number, box in enumerate([[-9, 4, 20, 20], [5, 5, 0, 9], [500, 5, 9, 9], [5, 5, 10, 10]]):
        annotations.append(
            {"id": 100 + number, "image_id": 2, "category_id": 3, "bbox": box, "iscrowd": int(number == 3)}
        )
    before = len(read(coco).examples[1].target)
    dataset = read(rewritten(coco / "boxes.json", annotations=annotations).parent)
    target = dataset.examples[1].target
    assert len(target) == before + 2
    assert [0.0, 4.0, 11.0, 24.0] in target.boxes_xyxy.tolist()
    assert target.ignored.sum() == 1
    found = {finding.code: finding for finding in TASK.check(dataset)}
    assert {"box-outside", "box-empty", "box-beyond", "box-ignored", "picture-without-boxes"} <= found.keys()
    assert "annotation 100 (disc)" in found["box-outside"].what
    assert "001.png" in found["box-empty"].what
    assert TASK.counts(dataset)["disc"] + TASK.counts(dataset)["square"] == sum(
        int((~example.target.ignored).sum()) for example in dataset
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 77}, "no category 77"),
        ({"image_id": 999}, "not listed"),
        ({"bbox": [1, 2, 3]}, r"not \[x, y, width, height\]"),
        ({"bbox": [1, 2, 3, "wide"]}, r"not \[x, y, width, height\]"),
    ],
)
def test_annotations_that_do_not_match_are_refused(coco: Path, change: dict[str, Any], message: str) -> None:
    annotations = json.loads((coco / "boxes.json").read_text())["annotations"]
    annotations[1] = {**annotations[1], **change}
    with pytest.raises(DataError, match=message) as refused:
        read(rewritten(coco / "boxes.json", annotations=annotations))
    assert "annotation 2" in refused.value.where
    assert refused.value.how


def test_pictures_that_are_missing_or_damaged_stop_a_fit(coco: Path) -> None:
    (coco / "images" / "001.png").unlink()
    (coco / "images" / "002.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    draw("disc", 1).save(coco / "images" / "extra.png")
    dataset = read(coco)
    assert codes(dataset)["picture-unreadable"] == "error"
    assert any("does not name" in note for note in dataset.notes)


def test_text_without_a_picture_is_told(coco: Path, tmp_path: Path) -> None:
    folder = as_yolo(read(coco), tmp_path / "yolo")
    (folder / "labels" / "lost.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert codes(read(folder))["picture-unreadable"] == "error"


@pytest.mark.parametrize(
    ("line", "message"), [("7 0.5 0.5 0.1 0.1", "no class 7"), ("0 0.5 0.5", "no box"), ("0 300 200 40 40", "pixels")]
)
def test_lines_of_yolo_that_are_not_right(coco: Path, tmp_path: Path, line: str, message: str) -> None:
    folder = as_yolo(read(coco), tmp_path / "yolo")
    with (folder / "labels" / "003.txt").open("a") as file:
        file.write("\n" + line)
    with pytest.raises(DataError, match=message) as refused:
        TASK.read(str(folder), Recipe(), "fit")
    assert refused.value.where.startswith("003.txt:")


def test_damaged_xml_is_told(coco: Path, tmp_path: Path) -> None:
    folder = as_voc(read(coco), tmp_path / "voc")
    (folder / "Annotations" / "004.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match="damaged"):
        TASK.read(str(folder), Recipe(), "fit")


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_boxes_of_pictures_that_exif_turns(tmp_path: Path, orientation: int) -> None:
    """A red square is where its box says, in the upright picture."""
    picture = Image.new("RGB", (60, 40), "white")
    picture.paste("red", (4, 6, 16, 26))
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    picture.save(tmp_path / "images" / "a.png", exif=exif)
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 6, 12, 20]}],
        "categories": [{"id": 1, "name": "red"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    dataset = read(tmp_path)
    if orientation == 3:  # width and height do not tell whether it was turned: boxes are in the upright picture
        assert dataset.examples[0].target.boxes_xyxy.tolist() == [[4.0, 6.0, 16.0, 26.0]]
        return
    assert codes(dataset)["box-turned"] == "info"
    from fewtune.data.picture import open_picture

    left, top, right, bottom = map(int, dataset.examples[0].target.boxes_xyxy[0])
    upright = np.asarray(open_picture(tmp_path / "images" / "a.png"))
    red = upright[..., 1] < 128
    assert red.sum() == 12 * 20
    assert red[top:bottom, left:right].all()


def test_sizes_that_the_file_has_wrong(coco: Path) -> None:
    images = json.loads((coco / "boxes.json").read_text())["images"]
    right = read(coco)
    images[1] |= {"width": 48, "height": 32}
    images[2] |= {"width": 96, "height": 96}
    dataset = read(rewritten(coco / "boxes.json", images=images).parent)
    assert codes(dataset)["size-scaled"] == "warning"
    assert codes(dataset)["size-differs"] == "error"
    scaled = dataset.examples[1].target.boxes_xyxy
    assert (
        np.allclose(scaled[0], np.minimum(right.examples[1].target.boxes_xyxy[0] * 2, [96, 64, 96, 64]))
        or len(scaled) == 0
    )


def test_the_same_picture_in_train_and_test(coco: Path, tmp_path: Path) -> None:
    other = coco_folder(tmp_path / "other", 3, start=4)
    assert codes(read(coco), read(other))["test-in-training"] == "warning"


def test_tiny_few_and_double_boxes(coco: Path) -> None:
    annotations = json.loads((coco / "boxes.json").read_text())["annotations"]
    tiny = [
        {"id": 200 + n, "image_id": 2 + n % 3, "category_id": 9, "bbox": [8 + 2 * n, 9, 0.4, 0.4]} for n in range(4)
    ]
    double = {**annotations[0], "id": 300}
    found = codes(read(rewritten(coco / "boxes.json", annotations=[*annotations, *tiny, double]).parent))
    assert {"box-tiny", "few-boxes", "box-twice"} <= found.keys()


def test_a_name_in_a_zip_does_not_lead_out(coco: Path, tmp_path: Path) -> None:
    images = json.loads((coco / "boxes.json").read_text())["images"]
    images[0]["file_name"] = "../../secret.png"
    rewritten(coco / "boxes.json", images=images)
    with zipfile.ZipFile(tmp_path / "coco.zip", "w") as archive:
        for path in sorted(coco.rglob("*.*")):
            archive.write(path, path.relative_to(coco))
    with pytest.raises(DataError, match="leads out"):
        TASK.read(str(tmp_path / "coco.zip"), Recipe(), "fit")
