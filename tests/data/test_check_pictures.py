"""What is wrong with pictures is told, with places."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fewtune import pipeline
from fewtune.errors import DataError
from fewtune.recipe import Recipe
from fewtune.types import Finding
from tests.data.test_picture import bomb
from tests.pictures import class_folders, draw, odd_pictures


def findings(folder: Path, test: Path | None = None) -> dict[str, Finding]:
    recipe = Recipe(data=str(folder), test=str(test) if test else "")
    _, found = pipeline.check(recipe)
    return {finding.code: finding for finding in found}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "shapes", 5)


def test_nothing_is_wrong_with_good_pictures(folder: Path) -> None:
    assert [code for code, finding in findings(folder).items() if finding.level != "info"] == []


def test_unreadable_pictures_stop_a_fit(folder: Path, tmp_path: Path) -> None:
    (folder / "disc" / "text.jpg").write_text("no picture")
    bomb(folder / "lines" / "bomb.png", 20_000)
    finding = findings(folder)["picture-unreadable"]
    assert (finding.level, finding.count) == ("error", 2)
    assert set(finding.places) == {"disc/text.jpg", "lines/bomb.png"}
    with pytest.raises(DataError, match="cannot be used"):
        pipeline.fit(Recipe(data=str(folder)), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_odd_kinds_are_told(folder: Path) -> None:
    list(odd_pictures(folder / "disc"))
    found = findings(folder)
    for kind in ("tiny", "animated", "transparent", "cmyk", "16-bit", "float", "rotated"):
        assert f"picture-{kind}" in found, kind
    assert found["picture-16-bit"].count == found["picture-float"].count == 1
    assert found["picture-rotated"].places == ("disc/rotated.jpg",)


def test_the_same_picture_under_two_labels(folder: Path) -> None:
    draw("disc", 1).save(folder / "lines" / "nearly.jpg", quality=90)
    finding = findings(folder)["same-picture-two-labels"]
    assert set(finding.places) == {"disc/001.png", "lines/nearly.jpg"}


def test_a_repeat_is_told_and_kept_together(folder: Path) -> None:
    draw("disc", 1).resize((50, 50)).save(folder / "disc" / "again.png")
    assert findings(folder)["duplicate-picture"].count == 1


def test_pictures_in_both_training_and_test(folder: Path, tmp_path: Path) -> None:
    test = class_folders(tmp_path / "test", 3, start=50)
    draw("disc", 1).save(test / "disc" / "seen.jpg", quality=90)
    finding = findings(folder, test)["test-in-training"]
    assert finding.places == ("disc/seen.jpg = disc/001.png",)


def test_classes_of_one_and_classes_alike(folder: Path) -> None:
    (folder / "Disc").mkdir()
    Image.new("RGB", (60, 30), "red").save(folder / "Disc" / "a.png")
    found = findings(folder)
    assert found["class-with-one-example"].places == ("Disc/a.png",)
    assert "'Disc' and 'disc'" in found["labels-alike"].what


def test_one_class_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shapes" / "disc").mkdir(parents=True)
    for number in range(3):
        draw("disc", number).save(tmp_path / "shapes" / "disc" / f"{number}.png")
    with pytest.raises(DataError, match="one class only"):
        findings(tmp_path / "shapes")
