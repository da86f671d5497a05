"""Projects, examples and labels: what is saved, what is refused, and in what words."""

from __future__ import annotations

import csv
import errno
import io
import json
import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from fewtune.studio.examples import Suggested, keep_suggestions
from tests.studio.conftest import FILE, TEXTS, Client, Desk, project_of, studio

HOSTILE = "<script>alert(1)</script> \0 ../../etc/passwd"
KNOWN = "<script>alert(1)</script> \ufffd ../../etc/passwd"


def test_a_project_is_there_again_after_a_restart(tmp_path: Path) -> None:
    with studio(tmp_path) as client:
        desk = Desk(client, title="工单 / tickets: <b>")
        desk.post("/labels", {"name": "billing"})
        desk.post("/examples", {"text": "where is my refund", "label": "billing"})
    with studio(tmp_path) as client:
        (project,) = client.get("/api/projects").json()["projects"]
        assert project["title"] == "工单 / tickets: <b>"
        assert project["counts"] == {"all": 1, "labelled": 1, "skipped": 0, "unlabelled": 0}


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_project_that_is_no_whole_one_hides_no_other(tmp_path: Path, content: bytes) -> None:
    half = tmp_path / "p-half"
    half.mkdir()
    (half / "project.db").write_bytes(content)
    with studio(tmp_path) as client:
        whole = Desk(client, title="Half")
        assert whole.name == "p-half-2"
        assert [project["name"] for project in client.get("/api/projects").json()["projects"]] == [whole.name]
        assert client.get("/api/projects/p-half").json()["error"]["code"] == "damaged"


def test_a_project_whose_making_fails_is_not_there(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", fails)
        answer = client.post("/api/projects", json={"title": "a", "task": TEXTS})
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk-full")
    assert [entry.name for entry in client.workspace.folder.iterdir()] == [".uploads"]
    assert list(client.workspace.uploads.iterdir()) == []
    assert Desk(client, title="a").name == "p-a"


def test_two_projects_of_one_name_are_two(client: Client) -> None:
    assert Desk(client, title="CON").name == "p-con"
    assert Desk(client, title="con").name == "p-con-2"
    assert Desk(client, title="///").name == "p-project"


@pytest.mark.parametrize("name", ["..", "%2e%2e", "p-no", "....%2f", ".uploads", "%00"])
def test_a_name_never_becomes_a_path(client: Client, name: str) -> None:
    answer = client.get(f"/api/projects/{name}")
    assert answer.status_code in (200, 404)
    if answer.status_code == 200:  # the client made /api/projects of it
        assert answer.json() == {"projects": []}


def test_hostile_texts_come_back_as_they_were(desk: Desk) -> None:
    body = json.dumps({"text": HOSTILE, "label": HOSTILE})
    answer = desk.client.post(f"{desk.at}/examples", content=body, headers={"content-type": "application/json"})
    assert answer.json()["input"] == KNOWN
    assert desk.get("/examples")["rows"][0]["label"] == KNOWN
    assert desk.get("/examples", params={"search": "<SCRIPT>"})["total"] == 1
    assert desk.get("/examples", params={"search": "100%"})["total"] == 0
    assert desk.get("/examples", params={"label": "' OR 1 = 1 --"})["total"] == 0


def test_a_change_and_its_undoing(desk: Desk) -> None:
    desk.post("/labels", {"name": "a"})
    row = desk.post("/examples", {"text": "one"})
    named = desk.change(row, label="a").json()
    assert (named["label"], named["version"]) == ("a", 2)
    assert desk.change(named, label=None).json()["label"] is None
    gone = desk.change(desk.get(f"/examples/{row['id']}"), deleted=True).json()
    assert desk.get("/examples")["total"] == 0
    assert desk.change(gone, deleted=False).json()["deleted"] == 0
    assert desk.get("/examples")["total"] == 1


def test_a_change_of_nothing_is_refused(desk: Desk) -> None:
    row = desk.post("/examples", {"text": "one"})
    assert desk.change(row).status_code == 422
    assert desk.get(f"/examples/{row['id']}") == row


def test_a_number_beyond_all_is_refused(desk: Desk) -> None:
    many = 10**30
    for path in (f"/examples/{many}", f"/pictures/{many}", f"/masks/{many}", f"/examples/{-many}"):
        assert desk.client.get(desk.at + path).status_code == 422
    assert desk.change({"id": many, "version": 1}, deleted=True).status_code == 422
    assert desk.client.post(f"{desk.at}/import/{many}/undo", json={}).status_code == 422


def test_of_two_windows_the_slower_is_told(desk: Desk) -> None:
    for label in ("a", "b"):
        desk.post("/labels", {"name": label})
    row = desk.post("/examples", {"text": "one"})
    assert desk.change(row, label="a").status_code == 200
    refused = desk.change(row, label="b")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "changed-elsewhere")
    assert desk.get(f"/examples/{row['id']}")["label"] == "a"


def test_what_is_skipped_comes_last(desk: Desk) -> None:
    first = desk.post("/examples", {"text": "one"})
    desk.post("/examples", {"text": "two"})
    desk.change(first, skipped=True)
    assert [row["input"] for row in desk.get("/waiting")["rows"]] == ["two"]
    assert desk.post("/unskip") == {"changed": 1}
    assert [row["input"] for row in desk.get("/waiting")["rows"]] == ["one", "two"]


def test_labels_are_renamed_merged_and_deleted(desk: Desk) -> None:
    for text, label in (("one", "Bill"), ("two", "bill"), ("three", "other")):
        desk.post("/examples", {"text": text, "label": label})
    assert desk.post("/labels/rename", {"name": "Bill", "new": "bill"})["changed"] == 1
    assert desk.post("/labels/rename", {"name": "bill", "new": "账单"})["changed"] == 2
    found = desk.get("")["labels"]
    assert sorted((label["name"], label["count"]) for label in found) == [("other", 1), ("账单", 2)]
    refused = desk.client.post(f"{desk.at}/labels/delete", json={"name": "other"})
    assert refused.json()["error"]["code"] == "label-in-use"
    desk.change(desk.get("/examples", params={"label": "other"})["rows"][0], label="账单")
    assert [label["name"] for label in desk.post("/labels/delete", {"name": "other"})["labels"]] == ["账单"]


def test_a_suggestion_is_renamed_with_its_label(desk: Desk) -> None:
    for name in ("old", "other"):
        desk.post("/labels", {"name": name})
    rows = [desk.post("/examples", {"text": text}) for text in ("one", "two")]
    told = zip(rows, ("old", "other"), strict=True)
    keep_suggestions(project_of(desk).database, [Suggested(row["id"], label, 0.9) for row, label in told])
    desk.post("/labels/rename", {"name": "old", "new": "new"})
    first, second = desk.get("/waiting")["rows"]
    assert (first["prediction"], second["prediction"]) == ("new", "other")
    assert desk.change(first, label=first["prediction"]).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/labels", {"name": " "}, 422, "label-length"),
        ("/labels/rename", {"name": "no", "new": "a"}, 404, "no-label"),
        ("/training", {"minutes": 1}, 422, "too-few"),
        ("/training/resume", {}, 409, "nothing-to-resume"),
        ("/try", {"text": "a"}, 404, "no-model"),
    ],
)
def test_refusals_have_a_reason(desk: Desk, path: str, body: dict, status: int, code: str) -> None:
    answer = desk.client.post(desk.at + path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["what"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"text": 1}',
        b'{"text": ""}',
        b'{"text": " \\n "}',
        b'{"text": "a", "more": 1}',
        b'{"text": "\\ud800"}',
        b'{"text": "' + b"a" * 100_001 + b'"}',
    ],
)
def test_what_does_not_fit_is_refused(desk: Desk, body: bytes) -> None:
    answer = desk.client.post(f"{desk.at}/examples", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()["error"]) >= {"what", "where", "how"}
    # What the services of a bundle have, the studio has not.
    assert "/docs" not in answer.text
    assert "a text" not in answer.text


def test_a_strangers_page_gets_nowhere(desk: Desk) -> None:
    for path in ("/examples", "/training/stop", "/unskip"):
        assert (
            desk.client.post(desk.at + path, content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
        )
    assert desk.client.post(f"{desk.at}/import?file=a.csv", content=b"text\na").status_code == 415
    assert desk.client.get("/api/projects", headers={"host": "evil.example"}).status_code == 403
    policy = desk.client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    with studio(tmp_path, token="secret") as client:
        assert client.get("/").status_code == 200
        assert client.get("/api/projects").status_code == 401
        assert client.get("/api/projects", headers={"authorization": "Bearer secret"}).status_code == 200


def test_a_full_disk_is_told_and_nothing_is_half_saved(desk: Desk, tmp_path: Path) -> None:
    desk.post("/examples", {"text": "kept"})
    project = next((tmp_path / "studio").glob("p-*/project.db"))
    with sqlite3.connect(project) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    # SQLite says the same of a file that may not grow as of a disk that is full.
    project_of(desk).database.rows(f"PRAGMA max_page_count = {pages + 1}")
    answer = desk.bring(b"text\n" + b"\n".join(b"%d %s" % (i, b"x" * 500) for i in range(2000)), "many.csv")
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk-full")
    assert desk.get("/examples")["total"] == 1


def test_what_was_typed_is_exported(desk: Desk) -> None:
    texts = [('a "quoted", text\nof two lines', "x"), ("逗号，", "y"), ("nothing known", None)]
    for text, label in texts:
        desk.post("/examples", {"text": text, "label": label})
    listed = list(csv.reader(io.StringIO(desk.client.get(f"{desk.at}/data.csv").text)))
    assert listed == [["text", "label"], *([text, label or ""] for text, label in texts)]
    tasks = desk.client.get(f"{desk.at}/label-studio.json").json()
    assert [task["data"]["text"] for task in tasks] == [text for text, _ in texts]
    assert tasks[1]["annotations"][0]["result"][0]["value"] == {"choices": ["y"]}
    assert "annotations" not in tasks[2]


def test_a_hundred_thousand_rows_stay_quick_to_page(desk: Desk) -> None:
    content = b"text,label\n" + b"".join(
        b"row number %d of many,%s\n" % (i, b"a" if i % 10 == 0 else b"") for i in range(100_000)
    )
    assert desk.bring(content, "many.csv").json()["added"] == 100_000
    assert desk.get("")["counts"] == {"all": 100_000, "labelled": 10_000, "skipped": 0, "unlabelled": 90_000}
    page = desk.get("/examples", params={"show": "unlabelled", "offset": 89_950})
    assert (len(page["rows"]), page["total"]) == (50, 90_000)
    assert desk.get("/examples", params={"search": "number 99999 "})["total"] == 1
    assert desk.get("/waiting")["rows"][0]["input"] == "row number 1 of many"


@pytest.mark.parametrize("path", ["/examples/99", "/pictures/1", "/result", "/bundle.zip", "/nothing"])
def test_what_is_not_there_is_told(desk: Desk, path: str) -> None:
    answer = desk.client.get(desk.at + path, headers=FILE)
    assert answer.status_code == 404
    assert answer.json()["error"]["what"]
