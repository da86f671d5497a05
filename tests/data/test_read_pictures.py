"""Class folders, listings, zips and lists of pictures."""

from __future__ import annotations

import errno
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewtune import catalog
from fewtune.data.read import zip_file
from fewtune.data.read.pictures import holds_pictures, read_pictures
from fewtune.errors import DataError
from fewtune.recipe import Recipe
from fewtune.types import Dataset
from tests.pictures import class_folders, draw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return class_folders(tmp_path / "shapes", 3)


def read(source: object) -> Dataset:
    task = catalog.find_task("auto", source)
    assert task.name == "image-classification"
    return task.read(source, Recipe(), "fit")


def listing(folder: Path) -> Path:
    path = folder / "list.csv"
    rows = [f"{p.relative_to(folder).as_posix()},{p.parent.name},{p.stem}" for p in sorted(folder.glob("*/*.png"))]
    path.write_text("\n".join(["photo,label,group", *rows]))
    return path


def pngs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.png"))


def zipped(folder: Path, path: Path, *, inside: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{inside}{file.relative_to(folder).as_posix()}")
    return path


def test_class_folders(folder: Path) -> None:
    dataset = read(str(folder))
    assert dataset.labels == ("disc", "lines")
    assert len(dataset) == 6
    assert dataset.notes == ("labels are the folders' names",)
    assert dataset.examples[0].place == "disc/000.png"


def test_what_stands_in_a_class_folder_is_not_dropped(folder: Path) -> None:
    (folder / "disc" / "notes.doc").write_text("no picture")
    (folder / "disc" / ".hidden").write_text("")
    (folder / "empty").mkdir()
    dataset = read(str(folder))
    assert len(dataset) == 7
    assert any("'empty'" in note for note in dataset.notes)


def test_a_listing_is_relative_to_itself_and_has_groups(folder: Path, tmp_path: Path) -> None:
    dataset = read(str(listing(folder)))
    assert len(dataset) == 6
    assert dataset.examples[0].group == "000"
    assert Path(dataset.examples[0].input).is_file()
    assert dataset.examples[0].place == "list.csv:2"


@pytest.mark.parametrize("inside", ["", "top/"])
def test_a_zip_of_either(folder: Path, tmp_path: Path, inside: str) -> None:
    plain = read(str(folder))
    of_folders = read(str(zipped(folder, tmp_path / "a.zip", inside=inside)))
    assert of_folders.sha256 == plain.sha256
    listing(folder)
    of_listing = read(str(zipped(folder, tmp_path / "b.zip", inside=inside)))
    assert of_listing.labels == plain.labels
    assert of_listing.source == "b.zip"


def test_pairs_and_globs(folder: Path) -> None:
    pairs = [(path, path.parent.name) for path in sorted(folder.glob("*/*.png"))]
    assert read(pairs).sha256 == read(str(folder)).sha256
    assert len(read_pictures(str(folder / "disc" / "*.png")).paths) == 3
    assert read_pictures(str(folder / "disc")).table.columns == ("path",)
    assert read_pictures(str(folder / "disc" / "000.png")).table.rows == (("000.png",),)


def test_the_digest_is_over_contents(folder: Path, tmp_path: Path) -> None:
    before = read(str(folder)).sha256
    draw("disc", 77).save(folder / "disc" / "000.png")
    assert read(str(folder)).sha256 != before


def test_texts_stay_texts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nsee photo.jpg for it,a\nhello,b\n")
    for source in (str(tmp_path / "a.csv"), [("hello", "a"), ("bye", "b")], str(tmp_path / "none.csv"), "-", 3):
        assert not holds_pictures(source)


@pytest.mark.parametrize("source", ["none.zip", "none/*.png", "none"])
def test_nothing_there_is_said(tmp_path: Path, source: str) -> None:
    with pytest.raises(DataError):
        read_pictures(str(tmp_path / source))


def test_pictures_without_labels_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="no labels"):
        read(str(folder / "disc"))


@pytest.mark.parametrize("name", ["../out.png", "/out.png", "a/../../out.png", "c:\\out.png", "a\\..\\out.png"])
def test_no_name_leads_out_of_a_zip(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(DataError, match="leads out"):
        read_pictures(str(tmp_path / "a.zip"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@given(name=st.text(min_size=1, max_size=30))
def test_what_is_inside_stays_inside(name: str) -> None:
    if zip_file._is_inside(name):
        assert Path("/root-of-zip", name).resolve().is_relative_to("/root-of-zip")


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/a.png", b"\0" * 20_000_000)
    with pytest.raises(DataError, match="grows"):
        read_pictures(str(tmp_path / "a.zip"))
    monkeypatch.setattr(zip_file, "_MOST_BYTES", 1000)
    with pytest.raises(DataError, match="larger"):
        read_pictures(str(tmp_path / "a.zip"))
    monkeypatch.setattr(zip_file, "_MOST_FILES", 0)
    with pytest.raises(DataError, match="files"):
        read_pictures(str(tmp_path / "a.zip"))


def test_a_zip_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_pictures(str(tmp_path / "a.zip"))


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str
)
def test_a_damaged_zip_is_refused_or_read(folder: Path, tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", method) as archive:
        for file in sorted(folder.glob("*/*.png")):
            archive.write(file, file.relative_to(folder).as_posix())
    whole = (tmp_path / "whole.zip").read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for number in range(60):
        content = bytearray(whole)
        for place in generator.integers(0, len(content), 1 + number):
            content[place] = generator.integers(256)
        path = tmp_path / f"{number}.zip"
        path.write_bytes(content)
        try:
            zip_file.unpack(path)
        except DataError as error:
            refused += "damaged" in error.how
    assert refused


def test_what_mends_a_zip_is_told_by_what_is_wrong_with_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(folder, tmp_path / "a.zip")
    locked = bytearray(path.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(magic) + flags] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    with pytest.raises(DataError, match="without a password"):
        read_pictures(tmp_path / "locked.zip")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zip_file, "_extract", full)
    with pytest.raises(DataError, match="TMPDIR"):
        read_pictures(path)


@pytest.mark.parametrize("name", ["{outside}/secret.png", "../../secret.png", "disc/../../secret.png"])
def test_a_list_in_a_zip_opens_nothing_outside_of_it(folder: Path, tmp_path: Path, name: str) -> None:
    draw("disc", 1).save(tmp_path / "secret.png")
    with listing(folder).open("a") as file:
        file.write("\n" + name.format(outside=tmp_path) + ",disc,z")
    with pytest.raises(DataError, match="outside of the zip") as caught:
        read_pictures(str(zipped(folder, tmp_path / "a.zip")))
    assert caught.value.where == "list.csv:8"
    assert len(read_pictures(str(folder / "list.csv")).paths) == 7


def test_another_column_called_path_is_not_taken_for_the_pictures(folder: Path) -> None:
    rows = [
        f"s3://store/{i % 2},{p.relative_to(folder).as_posix()},{p.parent.name}" for i, p in enumerate(pngs(folder))
    ]
    (folder / "list.csv").write_text("\n".join(["path,photo,label", *rows]))
    dataset = read(str(folder / "list.csv"))
    assert [Path(example.input) for example in dataset] == pngs(folder)
    assert any("'path_2'" in note for note in dataset.notes)
    table = read_pictures(str(folder / "list.csv")).table
    assert table.columns == ("path_2", "path", "label")
    digest = dataset.sha256
    for path in pngs(folder):
        path.rename(path.with_name(f"x{path.name}"))
    rows = [row.replace("/00", "/x00") for row in rows]
    (folder / "list.csv").write_text("\n".join(["path,photo,label", *rows]))
    assert read(str(folder / "list.csv")).sha256 == digest


def test_pictures_beside_class_folders_are_told_of_and_predicted(folder: Path, tmp_path: Path) -> None:
    for name in ("loose.png", ".hidden.png", "disc/deep/one.png", ".cache/one.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        draw("disc", 50).save(folder / name)
    for source in (folder, zipped(folder, tmp_path / "a.zip")):
        dataset = read(str(source))
        assert len(dataset) == 7
        assert "left out 1 picture outside class folders" in dataset.notes
        inputs = catalog.find_task("image-classification").inputs(str(source), Recipe())
        names = [row[0] for row in inputs.table.rows]
        assert inputs.table.columns == ("path",)
        assert len(names) == 8
        assert {"loose.png", "disc/000.png", "disc/deep/one.png"} < set(names)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
@pytest.mark.parametrize(("encoding", "name"), [("gb18030", "瑕疵"), ("latin-1", "écran"), ("utf-8", "良品")])
def test_folders_whose_names_are_not_utf_8_have_readable_labels(folder: Path, encoding: str, name: str) -> None:
    (folder / "disc").rename(folder / os.fsdecode(name.encode(encoding)))
    dataset = read(str(folder))
    assert dataset.labels == tuple(sorted(("lines", name)))
    assert {example.place for example in dataset} >= {f"{name}/000.png"}
    assert all(Path(example.input).is_file() for example in dataset)
    json.dumps([dataset.notes, dataset.labels], ensure_ascii=False).encode()
    pairs = [(path, path.parent.name) for path in pngs(folder)]
    assert read(pairs).labels == dataset.labels
    assert read_pictures(folder, labelled=False).table.column("path")[-1].encode()


@pytest.mark.parametrize(
    ("encoding", "name"), [("gb18030", "瑕疵"), ("gb18030", "数据十"), ("cp437", "écran"), ("utf-8", "良品")]
)
def test_names_in_a_zip_are_decoded(folder: Path, tmp_path: Path, encoding: str, name: str) -> None:
    path = tmp_path / "a.zip"
    standing_in = b"x" * len(name.encode(encoding))
    with zipfile.ZipFile(path, "w") as archive:
        for file in pngs(folder):
            label = standing_in.decode() if file.parent.name == "disc" else "lines"
            archive.write(file, f"{label}/{file.name}")
    path.write_bytes(path.read_bytes().replace(standing_in + b"/0", name.encode(encoding) + b"/0"))
    assert read(str(path)).labels == tuple(sorted(("lines", name)))
