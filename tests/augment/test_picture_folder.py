"""`fewtune augment PICTURES`: what it writes is read again as the same kind of data."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torchvision")

from fewtune import catalog, pipeline
from fewtune.augment.picture_folder import SHEET
from fewtune.data.boxes import Boxes
from fewtune.data.mask import read_mask
from fewtune.errors import OutputError, RecipeError
from fewtune.recipe import Recipe
from fewtune.types import Dataset
from tests.pictures import class_folders, coco_folder
from tests.tasks.test_segmentation import masked_folder


def augmented(data: Path, out: Path, names: str = "auto", copies: int = 2) -> Dataset:
    made = pipeline.augment_pictures_into(Recipe(data=str(data), augment=names), out, copies=copies)
    with Image.open(out / SHEET) as sheet:
        assert sheet.width >= 160 * 2
    (out / SHEET).unlink()
    task = catalog.find_task("auto", str(out))
    dataset = task.read(str(out), Recipe(data=str(out)), "fit")
    assert len(dataset) == made.pictures
    assert made.views + made.unchanged == copies * (made.pictures - made.views)
    return dataset


def test_classes(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "shapes", 3)
    dataset = augmented(folder, tmp_path / "more", "flip", copies=3)
    assert dataset.labels == ("disc", "lines")
    # A picture has but one mirror image.
    assert sorted(path.name for path in (tmp_path / "more" / "disc").iterdir())[:2] == [
        "000-of-1-1.png",
        "000-of-1.png",
    ]
    plain, mirrored = (np.asarray(Image.open(tmp_path / "more/disc" / f"000-of-1{end}.png")) for end in ("", "-1"))
    assert np.array_equal(plain[:, ::-1], mirrored)


def test_a_listing_keeps_views_together(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "shapes", 2)
    paths = sorted(folder.glob("*/*.png"))
    listing = tmp_path / "list.csv"
    listing.write_text("path,label\n" + "".join(f"{path.relative_to(tmp_path)},{path.parent.name}\n" for path in paths))
    pipeline.augment_pictures_into(Recipe(data=str(listing), augment="crop"), tmp_path / "more", copies=2)
    rows = (tmp_path / "more" / "pictures.csv").read_text().splitlines()
    assert rows[0] == "path,label,group"
    assert len(rows) == 1 + 3 * 4
    assert len({row.split(",")[2] for row in rows[1:]}) == 4


def test_a_view_never_takes_the_name_of_another_picture(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "shapes", 2)
    for number, path in enumerate(sorted(folder.glob("*/*.png"))):
        # The names of views come after a hyphen, too, and some systems take A for a.
        path.rename(path.with_name(("a.png", "A-1.png", "a-2.png", "A.png")[number]))
    augmented(folder, tmp_path / "more", "crop", copies=2)
    names = [path.stem.casefold() for path in (tmp_path / "more").glob("*/*.png")]
    assert len(names) == len(set(names)) == 4 * 3


def test_what_stands_beside_the_result_stays(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "shapes", 2)
    kept = tmp_path / "more.work" / "mine.txt"
    kept.parent.mkdir()
    kept.touch()
    augmented(folder, tmp_path / "more", "flip", copies=1)
    assert kept.is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"shapes", "more", "more.work"}


@pytest.mark.parametrize("form", ["coco", "voc", "yolo"])
def test_boxes(tmp_path: Path, form: str) -> None:
    data = coco_folder(tmp_path / "boxes", 4)
    if form != "coco":
        from fewtune.augment.picture_folder import augment_pictures
        from fewtune.augment.picture_policy import PicturePolicy
        from fewtune.data.write_pictures import write_voc, write_yolo
        from fewtune.interfaces import RunContext

        write = {"voc": write_voc, "yolo": write_yolo}[form]
        dataset = catalog.find_task("detection").read(str(data), Recipe(), "fit")
        (tmp_path / form).mkdir()
        augment_pictures(
            dataset, PicturePolicy(), 1, tmp_path / form, lambda f, p: write(f, p, dataset.labels), RunContext(tmp_path)
        )
        (tmp_path / form / SHEET).unlink()
        again = catalog.find_task("auto", str(tmp_path / form)).read(str(tmp_path / form), Recipe(), "fit")
        for ours, theirs in zip(dataset, again, strict=True):
            assert np.allclose(ours.target.boxes_xyxy, theirs.target.boxes_xyxy, atol=0.02)
        data = tmp_path / form
    dataset = augmented(data, tmp_path / "more", "flip,rotation:40,mosaic")
    assert dataset.task == "object-detection"
    assert sum(len(example.target) for example in dataset if isinstance(example.target, Boxes)) > 6
    assert {"coco": "annotations.json", "voc": "Annotations", "yolo": "classes.txt"}[form] in {
        path.name for path in (tmp_path / "more").iterdir()
    }


def test_masks(tmp_path: Path) -> None:
    data = masked_folder(tmp_path / "masked", 3)
    dataset = augmented(data, tmp_path / "more")
    assert dataset.task == "segmentation"
    for example in dataset:
        with Image.open(example.input) as picture:
            assert picture.size == read_mask(example.target).shape[::-1]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "shapes", 2)

    def sums(out: Path, seed: int) -> list[str]:
        recipe = Recipe(data=str(folder), augment="crop,rotation,light,erasing,trivial", seed=seed)
        pipeline.augment_pictures_into(recipe, out, copies=3)
        return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.rglob("*.png"))]

    first = sums(tmp_path / "a", 0)
    assert first == sums(tmp_path / "b", 0)
    assert first != sums(tmp_path / "c", 1)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "shapes", 2)
    with pytest.raises(RecipeError, match="mixup mixes labels"):
        pipeline.augment_pictures_into(Recipe(data=str(folder), augment="mixup"), tmp_path / "x", copies=2)
    with pytest.raises(RecipeError, match="copies"):
        pipeline.augment_pictures_into(Recipe(data=str(folder), augment="flip"), tmp_path / "x", copies=0)
    with pytest.raises(OutputError):
        pipeline.augment_pictures_into(Recipe(data=str(folder)), folder, copies=1)
    with pytest.raises(OutputError, match="part of the data"):
        pipeline.augment_pictures_into(Recipe(data=str(folder)), folder / "more", copies=1)
    assert not (folder / "more").exists()
    assert not (tmp_path / "x").exists()
