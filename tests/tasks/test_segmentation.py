"""Masks, end to end: pictures of the tests' own, the embedded network, a few steps."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from sklearn.metrics import confusion_matrix

import fewtune
from fewtune import catalog, pipeline
from fewtune.data.mask import IGNORE, IndexMask, encode_mask
from fewtune.errors import UserError
from fewtune.evaluate.segmentation import confusion, count_masks, mask_metrics
from fewtune.recipe import Recipe
from fewtune.tasks.segmentation import Segmentation
from fewtune.types import Finding
from tests.pictures import MASK_CLASSES as CLASSES
from tests.pictures import coco_folder, masked_folder, needs_network

QUICK = {"steps": 4, "size_px": 96, "crop_px": 64, "batch_size": 2}


def codes(folder: Path) -> dict[str, Finding]:
    _, findings = pipeline.check(Recipe(data=str(folder)))
    return {finding.code: finding for finding in findings}


@needs_network
def test_fit_predict_evaluate(tmp_path: Path) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    train = masked_folder(tmp_path / "train", 10)
    test = masked_folder(tmp_path / "test", 4, start=50)
    model = fewtune.fit(train, out=tmp_path / "a", method="head", settings=QUICK)
    assert model.task == "segmentation"
    assert model.labels == CLASSES
    assert 0 <= model.scores["miou"].value <= 1
    assert set(model.manifest.data["per_class"]) <= set(CLASSES)

    # A picture of another size, and one that is turned by its EXIF: the mask is as large as what a person sees.
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (130, 70), (230, 40, 40)).save(tmp_path / "turned.jpg", exif=exif)
    (mask,) = model.predict([str(tmp_path / "turned.jpg")])
    assert mask.size == (70, 130)
    assert set(np.unique(mask.ids)) <= {0, 1, 2}

    task = Segmentation()
    inputs = model.read_inputs(str(test))
    answers = model.predict(inputs.values)
    task.write_answers(inputs, answers, model.labels, tmp_path / "masks")
    written = sorted(path for path in (tmp_path / "masks").glob("*.png"))
    assert [path.stem for path in written] == ["050", "051", "052", "053"]
    assert (np.asarray(Image.open(written[0])) == answers[0].ids).all()

    scores = model.evaluate(test).scores
    truths = [np.asarray(Image.open(path)) for path in sorted((test / "masks").iterdir())]
    right = [(answer.ids == truth)[truth != IGNORE] for answer, truth in zip(answers, truths, strict=True)]
    assert scores["pixel_accuracy"].value == pytest.approx(np.concatenate(right).mean())
    page = (tmp_path / "a" / "private" / "report.html").read_text()
    assert "data:image" in page


@needs_network
def test_a_recipe_makes_the_same_masks_again(tmp_path: Path) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    train = masked_folder(tmp_path / "train", 6)
    first, second = (
        fewtune.fit(train, out=tmp_path / name, method="partial", settings=QUICK, threads=1, compress="none")
        for name in ("a", "b")
    )
    graphs = [sorted(model.bundle.glob("*.onnx")) for model in (first, second)]
    assert [path.read_bytes() for path in graphs[0]] == [path.read_bytes() for path in graphs[1]]


def test_json_holds_the_masks_where_they_are_not_written(tmp_path: Path) -> None:
    task = Segmentation()
    inputs = task.inputs(str(masked_folder(tmp_path / "data", 2)), Recipe())
    answers = [IndexMask(encode_mask(np.full((4, 6), number, np.uint8))) for number in range(2)]
    loose = task.answers_as_json(inputs, answers, CLASSES, None)
    assert [base64.b64decode(row["png"]) for row in loose] == [answer.png for answer in answers]
    written = task.answers_as_json(inputs, answers, CLASSES, tmp_path)
    assert [row["png"] for row in written] == ["000.png", "001.png"]
    assert [row["file"] for row in written] == [row["file"] for row in loose]


def test_what_is_wrong_is_found_and_named(tmp_path: Path) -> None:
    folder = masked_folder(tmp_path / "data", 6)
    assert not [finding for finding in codes(folder).values() if finding.level == "error"]
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(folder / "masks" / "001.png")
    ids = np.zeros((64, 96), np.uint8)
    ids[0, :5] = 9
    Image.fromarray(ids).save(folder / "masks" / "002.png")
    (folder / "masks" / "003.png").write_bytes(b"no picture")
    (folder / "masks" / "004.png").unlink()
    Image.fromarray(np.full((64, 96), IGNORE, np.uint8)).save(folder / "masks" / "005.png")
    found = codes(folder)
    for code, name in (
        ("mask-of-another-size", "001"),
        ("unknown-class-id", "002"),
        ("mask-unreadable", "003"),
        ("mask-all-ignored", "005"),
    ):
        assert name in f"{found[code].what} {found[code].places}", code
    assert "9" in found["unknown-class-id"].what
    assert any("without-mask" in code for code in found), found.keys()
    with pytest.raises(UserError):
        fewtune.fit(folder, out=tmp_path / "out", method="head", settings=QUICK)
    assert not (tmp_path / "out").exists()


def test_boxes_alone_are_no_masks(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path / "boxes", 3)
    with pytest.raises(UserError):
        catalog.find_task("segmentation").read(str(folder / "boxes.json"), Recipe(), "fit")


def test_cocos_polygons_are_drawn(tmp_path: Path) -> None:
    folder = coco_folder(tmp_path / "polygons", 3)
    content = json.loads((folder / "boxes.json").read_text())
    for annotation in content["annotations"]:
        left, top, width, height = annotation["bbox"]
        right, bottom = left + width, top + height
        annotation["segmentation"] = [[left, top, right, top, right, bottom, left, bottom]]
    (folder / "boxes.json").write_text(json.dumps(content))
    dataset = catalog.find_task("segmentation").read(str(folder / "boxes.json"), Recipe(), "fit")
    first = content["annotations"][0]
    number = next(i for i, image in enumerate(content["images"]) if image["id"] == first["image_id"])
    ids = np.asarray(Image.open(dataset.examples[number].target))
    left, top, width, height = first["bbox"]
    name = {category["id"]: category["name"] for category in content["categories"]}[first["category_id"]]
    assert dataset.labels[int(ids[top + height // 2, left + width // 2])] == name
    assert dataset.labels[0] not in ("disc", "square"), "0 is what is not marked"


MASKS = arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 1, 2, IGNORE]))
ANSWERS = arrays(np.uint8, (5, 7), elements=st.sampled_from([0, 1, 2]))


@given(MASKS, ANSWERS)
def test_confusion_is_that_of_scikit_learn(truth: np.ndarray, answer: np.ndarray) -> None:
    kept = truth != IGNORE
    if kept.any():
        expected = confusion_matrix(truth[kept], answer[kept], labels=[0, 1, 2])
        assert (confusion(truth, answer, 3) == expected).all()


@settings(max_examples=50)
@given(st.lists(st.tuples(MASKS, ANSWERS), min_size=1, max_size=4))
def test_twice_the_weight_is_twice_the_picture(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    tables = [confusion(truth, answer, 3) for truth, answer in pairs]
    weights = np.ones((1, len(pairs)))
    weights[0, 0] = 2
    weighted, _ = mask_metrics(count_masks(tables), weights)
    repeated, _ = mask_metrics(count_masks([tables[0], *tables]), np.ones((1, len(pairs) + 1)))
    for name, values in weighted.items():
        assert values[0] == pytest.approx(repeated[name][0], nan_ok=True), name


@given(ANSWERS)
def test_a_mask_comes_back_from_its_png(ids: np.ndarray) -> None:
    assert (IndexMask.from_ids(ids).ids == ids).all()
