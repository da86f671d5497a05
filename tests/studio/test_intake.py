"""Files that are brought: tables, pictures, and what must not come in."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from openpyxl import Workbook

from fewtune import pipeline
from fewtune.recipe import Recipe
from fewtune.studio import limits
from fewtune.studio.examples import NewExample, add_examples
from fewtune.studio.refusals import StudioRefusal
from tests.pictures import draw
from tests.studio.conftest import FILE, PICTURES, TEXTS, Client, Desk, project_of

BOXES = "object-detection"
# Each entity is ten of the one before: a billion letters, were they put in.
_LAUGHS = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
_LAUGHS += b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(8))
_LAUGHS += b"]><annotation><filename>a.png</filename><object><name>&i;</name></object></annotation>"


@pytest.fixture
def pictures(client: Client) -> Desk:
    return Desk(client, PICTURES, "Parts")


def png(kind: str = "disc", number: int = 0) -> bytes:
    content = io.BytesIO()
    draw(kind, number).save(content, "PNG")
    return content.getvalue()


def zipped(files: dict[str, bytes], form: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", form) as archive:
        for name, some in files.items():
            archive.writestr(name, some)
    return content.getvalue()


def notes_of(answer: dict[str, Any]) -> list[str]:
    """In English; the page has them in Chinese too."""
    assert all(note["zh"] for note in answer["notes"]), answer
    return [note["en"] for note in answer["notes"]]


def left_behind(folder: Path) -> list[Path]:
    return list((folder / "studio" / ".uploads").iterdir())


@pytest.mark.parametrize(
    ("file", "content", "added", "given"),
    [
        ("labelled.csv", "text,label\none,a\ntwo,b\n", 2, 2),
        ("mixed.tsv", "text\tlabel\none\ta\ntwo\t\n", 2, 1),
        ("plain.csv", "text\none\ntwo\n\n", 2, 0),
        ("lines.jsonl", '{"text": "one"}\n{"text": "two", "label": "a"}\n', 2, 1),
    ],
)
def test_tables(desk: Desk, file: str, content: str, added: int, given: int) -> None:
    answer = desk.bring(content.encode(), file).json()
    assert (answer["added"], answer["labelled"]) == (added, given)
    assert any("text" in note for note in notes_of(answer))


def test_a_workbook_and_columns_that_are_named(desk: Desk) -> None:
    book, content = Workbook(), io.BytesIO()
    book.active.append(["Anliegen", "Art"])  # type: ignore[union-attr]
    book.active.append(["Wo ist mein Paket?", "Lieferung"])  # type: ignore[union-attr]
    book.save(content)
    answer = desk.bring(content.getvalue(), "book.xlsx", text="anliegen", label="ART").json()
    assert (answer["added"], answer["labelled"]) == (1, 1)
    assert desk.post(f"/import/{answer['batch']}/undo") == {"changed": 1}
    assert desk.get("/examples")["total"] == 0


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b"\x00\x01\x02\xff\xfe binary"),
        ("a.xlsx", b"PK\x03\x04 broken"),
        ("a.jsonl", b"[1, 2]\n"),
        ("a.exe", b"MZ"),
        ("../../etc/passwd", b"root:x:0"),
        ("a.csv", b"text,label\n,\n,\n"),
    ],
)
def test_broken_tables_are_refused_without_a_path(desk: Desk, tmp_path: Path, file: str, content: bytes) -> None:
    answer = desk.bring(content, file)
    if answer.status_code != 200:
        assert answer.status_code in (415, 422)
        assert answer.json()["error"]["what"]
    assert str(tmp_path) not in answer.text
    assert ".uploads" not in answer.text
    assert left_behind(tmp_path) == []


def workbook(cell: str) -> bytes:
    """A table of one row in which a cell holds something else."""
    content, changed = io.BytesIO(), io.BytesIO()
    book = Workbook()
    book.active.append(["text", "label"])  # type: ignore[union-attr]
    book.active.append(["CELL", "a"])  # type: ignore[union-attr]
    book.save(content)
    with zipfile.ZipFile(content) as archive, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in archive.namelist():
            copy.writestr(name, archive.read(name).replace(b"CELL", cell.encode()))
    return changed.getvalue()


def declared(width: int, height: int) -> bytes:
    """A PNG of a few bytes that calls itself as large as this."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("task", "file", "content", "status"),
    [
        (TEXTS, "bomb.xlsx", lambda: workbook("a" * 2_000_000), 413),
        (TEXTS, "deep.jsonl", lambda: b'{"text": ' + b"[" * 200_000, 422),
        (TEXTS, "wide.csv", lambda: b",".join(b"c%d" % i for i in range(100_000)) + b"\n1\n", 422),
        (TEXTS, "long.csv", lambda: b"text,label\n" + b"a" * 20_000_000, 422),
        (PICTURES, "large.png", lambda: declared(60_000, 60_000), 422),
        (BOXES, "deep.zip", lambda: zipped({"a.json": b"[" * 200_000}), 422),
        (BOXES, "entities.zip", lambda: zipped({"a.xml": _LAUGHS, "a.png": png()}), 422),
    ],
    ids=lambda some: some if isinstance(some, str) and "." in some else "",
)
def test_bombs_are_refused(
    client: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    file: str,
    content: Any,
    status: int,
) -> None:
    monkeypatch.setattr(limits, "UNPACKED_BYTES", 1_000_000)
    desk = Desk(client, task)
    answer = desk.bring(content(), file)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["what"]
    assert str(tmp_path) not in answer.text
    assert left_behind(tmp_path) == []
    assert desk.get("/examples")["total"] == 0


def test_a_zip_of_class_folders(pictures: Desk, tmp_path: Path) -> None:
    files = {f"{kind}/{number}.png": png(kind, number) for kind in ("disc", "lines") for number in range(2)}
    answer = pictures.bring(zipped({**files, "disc/broken.png": b"no picture"}), "parts.zip").json()
    assert (answer["added"], answer["labelled"]) == (4, 4)
    assert any("broken.png" in note for note in notes_of(answer))
    assert any("略去 1 个无法读取的文件" in note["zh"] for note in answer["notes"])
    row = pictures.get("/examples", params={"label": "disc"})["rows"][0]
    shown = pictures.client.get(f"{pictures.at}/pictures/{row['id']}?px=160")
    assert shown.headers["content-type"] == "image/jpeg"
    assert shown.content.startswith(b"\xff\xd8")
    assert left_behind(tmp_path) == []


def test_one_picture_with_a_hostile_name(pictures: Desk) -> None:
    name = "../<img src=x onerror=alert(1)>.png"
    assert pictures.bring(png(), name).json()["added"] == 1
    (row,) = pictures.get("/examples")["rows"]
    assert row["name"] == Path(name).name
    assert "/" not in row["input"]


@pytest.mark.parametrize(
    "content",
    [
        zipped({"../../out.png": png()}),
        zipped({"/etc/out.png": png()}),
        zipped({"a/..\\..\\out.png": png()}),
        zipped({"notes.txt": b"no pictures"}),
        zipped({"labels.csv": b"path,label\n../../../etc/passwd.png,a\n"}),
        zipped({f"a/{i}.png": bytes(9_000_000) for i in range(20)}),
        zipped({"a/big.png": bytes(90_000_000)}),
        b"PK\x03\x04",
        zipped({"a/svg.svg": b"<svg onload='alert(1)'/>"}),
    ],
    ids=["up", "root", "backslash", "no-pictures", "list-leads-out", "bomb-of-many", "bomb", "broken", "svg"],
)
def test_hostile_zips_are_refused(pictures: Desk, tmp_path: Path, content: bytes) -> None:
    answer = pictures.bring(content, "parts.zip")
    assert answer.status_code in (413, 422), answer.text
    assert answer.json()["error"]["what"]
    assert str(tmp_path) not in answer.text
    assert left_behind(tmp_path) == []
    assert not list(tmp_path.rglob("out.png"))
    assert pictures.get("/examples")["total"] == 0


def test_files_of_the_wrong_kind_name_the_right_one(desk: Desk, pictures: Desk) -> None:
    assert desk.bring(png(), "a.png").json()["error"]["code"] == "not-a-table"
    assert pictures.bring(b"text\na", "a.csv").json()["error"]["code"] == "not-pictures"


@pytest.mark.parametrize("task", [PICTURES, BOXES, "segmentation"])
def test_a_picture_is_never_a_path_that_was_typed(client: Client, tmp_path: Path, task: str) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png())
    desk = Desk(client, task)
    answer = client.post(f"{desk.at}/examples", json={"text": str(secret)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "other-input")
    assert desk.get("")["counts"]["all"] == 0
    for text in (str(secret), "../../../secret.png", "..", ""):
        (number,) = add_examples(project_of(desk).database, [NewExample(text)])
        assert client.get(f"{desk.at}/pictures/{number}").status_code == 404
        assert client.get(f"{desk.at}/data.zip").status_code == 404
        with pytest.raises(StudioRefusal):
            project_of(desk).kind.in_run(text)


def test_too_large_a_file_is_refused_early(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = {**FILE, "content-length": str(500_000_000)}
    answer = desk.client.post(f"{desk.at}/import?file=a.csv", content=b"a", headers=declared)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too-large")
    monkeypatch.setattr(limits, "UPLOAD_BYTES", 1_000)

    def endless():
        for _ in range(100):
            yield b"a" * 100

    answer = desk.client.post(f"{desk.at}/import?file=a.csv", content=endless(), headers=FILE)
    assert answer.status_code == 413
    assert left_behind(tmp_path) == []


def test_a_refused_import_leaves_no_pictures(pictures: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LABELS", 1)
    files = {f"{kind}/1.png": png(kind) for kind in ("disc", "lines")}
    assert pictures.bring(zipped(files), "parts.zip").json()["error"]["code"] == "too-many-labels"
    assert list((project_of(pictures).folder / "pictures").iterdir()) == []
    assert pictures.get("")["counts"]["all"] == 0


def test_a_zip_that_fails_leaves_nothing(pictures: Desk, tmp_path: Path) -> None:
    pictures.bring(png(), "a.png")
    (stored,) = (project_of(pictures).folder / "pictures").iterdir()
    stored.unlink()
    assert pictures.client.get(f"{pictures.at}/data.zip").status_code == 500
    assert left_behind(tmp_path) == []


def test_pictures_leave_with_a_listing_that_fit_reads(pictures: Desk, tmp_path: Path) -> None:
    files = {f"{kind}/same.png": png(kind) for kind in ("disc", "lines")}
    pictures.bring(zipped(files), "parts.zip")
    path = tmp_path / "taken.zip"
    path.write_bytes(pictures.client.get(f"{pictures.at}/data.zip").content)
    dataset, _ = pipeline.check(Recipe(data=str(path)))
    assert sorted(example.target for example in dataset) == ["disc", "lines"]
    tasks = json.loads(pictures.client.get(f"{pictures.at}/label-studio.json").content)
    assert {task["data"]["image"].split("-")[-1] for task in tasks} == {"same.png"}
