"""Trainings: followed, stopped, killed, resumed; and what comes out of them."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytest.importorskip("fastapi")

import fewtune
from fewtune.progress import SilentProgress
from fewtune.studio import order, runs
from fewtune.studio.examples import NewExample, add_examples, labelled, waiting
from fewtune.studio.projects import Project
from fewtune.studio.runs import is_held, runs_of
from tests.conftest import needs_encoder
from tests.studio.conftest import FILE, TEXTS, Client, Desk, ended, project_of, running, studio


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tickets: list[tuple[str, str]]):
    """A project with a model, 20 texts without a label, and one with a wrong one."""
    with studio(tmp_path_factory.mktemp("studio")) as client:
        desk = Desk(client)
        rows = [f'"{text}",{label}' for text, label in tickets[:60]]
        rows += [f'"{text}",' for text, _ in tickets[60:80]]
        assert desk.bring("\n".join(["text,label", *rows]).encode(), "tickets.csv").json()["added"] == 80
        state = desk.client.post(f"{desk.at}/training", json={"minutes": 1, "method": "tfidf"}).json()
        assert state["status"] == "running"
        assert desk.client.post(f"{desk.at}/training", json={"minutes": 1}).json()["error"]["code"] == "training-runs"
        yield desk, desk.trained()


def test_it_tells_its_rungs(trained) -> None:
    _, state = trained
    assert state["status"] == "done", state
    (rung,) = state["rungs"]
    assert rung["name"] == "tfidf"
    accuracy = rung["scores"]["accuracy"]
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert state["seconds"] > 0
    assert state["budget_seconds"] == 60


def test_the_result_is_in_words_and_its_errors_are_rows(trained) -> None:
    desk, _ = trained
    result = desk.get("/result")
    assert "60 labelled texts" in result["sentences"][0]["en"]
    assert "<" not in result["sentences"][0]["en"] + result["sentences"][0]["zh"]
    assert "已标注" in result["sentences"][0]["zh"]
    assert "labels a class" in result["forecast"]["en"]
    assert [rung["taken"] for rung in result["rungs"]] == [True]
    for error in result["errors"]:
        assert error["row"]["label"] == error["label"] != error["prediction"]
    confusion = result["scores"]["confusion"]
    truth, predicted = next(
        (i, j) for i, row in enumerate(confusion) for j, count in enumerate(row) if i != j and count
    )
    labels = {"truth": result["labels"][truth], "predicted": result["labels"][predicted]}
    assert {error["prediction"] for error in desk.get("/errors", params=labels)["errors"]} == {labels["predicted"]}


def test_the_learning_curve_is_drawn_with_its_band(trained) -> None:
    desk, _ = trained
    figure = desk.get("/curve")["figure"]
    drawn = ElementTree.fromstring(f"<svg>{figure['drawing']['content']}</svg>")
    assert [some.get("class") for some in drawn.iter("polygon")] == ["band"]
    assert {some.get("class") for some in drawn.iter("polyline")} == {"measured", "foreseen"}
    assert len(figure["columns"]) == len(figure["rows"][0])
    assert {row[1]["zh"] for row in figure["rows"]} == {"实测", "预测"}


@needs_encoder
def test_what_is_not_labelled_is_ordered_as_the_library_suggests(trained, tickets: list[tuple[str, str]]) -> None:
    desk, _ = trained
    waiting = desk.get("/waiting", params={"limit": 20})["rows"]
    run = runs_of(project_of(desk).folder)[0]
    suggested = [some.input for some in fewtune.load(run.bundle).suggest([text for text, _ in tickets[60:80]], 20)]
    assert sorted(row["input"] for row in waiting if row["prediction"]) == sorted(suggested)
    assert [row["input"] for row in waiting[:5]] == suggested[:5]
    assert all(0 < row["confidence"] <= 1 for row in waiting if row["prediction"])


@needs_encoder
def test_of_many_rows_a_part_is_looked_at(trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, _ = trained
    shutil.copytree(project_of(desk).folder, tmp_path / "p-tickets")
    project = Project(tmp_path / "p-tickets")
    with closing(project.database) as database:
        add_examples(database, (NewExample(f"row {i} of many, about {i * i}") for i in range(20_000)))
        monkeypatch.setattr(order, "_FIRST", 40)
        monkeypatch.setattr(order, "_SECONDS", 0.0)
        monkeypatch.setattr(order, "_WANTED", 10)
        many: list[Any] = list(range(100))
        assert [len(some) for some in order._more_and_more(many)] == [40]
        order.order_unlabelled(runs_of(project.folder)[0], SilentProgress())
        rows = waiting(database, 30)
        assert [row["prediction"] is not None for row in rows] == [True] * 10 + [False] * 20
        monkeypatch.setattr(order, "_SECONDS", 60.0)
        assert [len(some) for some in order._more_and_more(many)] == [40, 80, 100]


def test_it_can_be_tried(trained) -> None:
    desk, _ = trained
    answer = desk.post("/try", {"text": "where is my parcel"})
    assert answer["prediction"] in answer["probabilities"]
    assert "".join(part["text"] for part in answer["parts"]) == "where is my parcel"
    assert desk.client.post(f"{desk.at}/try-picture?file=a.png", content=b"no", headers=FILE).status_code == 422


def test_the_bundle_leaves_as_a_zip_and_runs(trained, tmp_path: Path) -> None:
    desk, _ = trained
    answer = desk.client.get(f"{desk.at}/bundle.zip")
    assert "tickets.fewtune.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert not any("private" in name for name in archive.namelist())
        archive.extractall(tmp_path)
    assert fewtune.load(tmp_path / "tickets.fewtune").predict(["where is my parcel"])
    assert str(project_of(desk).folder) not in answer.text
    with_private = desk.client.get(f"{desk.at}/bundle.zip?private=true")
    with zipfile.ZipFile(io.BytesIO(with_private.content)) as archive:
        assert "tickets.fewtune/private/report.html" in archive.namelist()
    assert list(desk.client.workspace.uploads.iterdir()) == []


def test_the_commands_do_the_same(trained, tmp_path: Path) -> None:
    desk, _ = trained
    commands = desk.get("/commands")
    assert commands["shell"].startswith("fewtune fit tickets.csv --budget 60s --method tfidf\n")
    (tmp_path / "tickets.csv").write_text(desk.client.get(f"{desk.at}/data.csv").text, encoding="utf-8")
    command = [sys.executable, "-m", *commands["shell"].splitlines()[0].split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = fewtune.load(tmp_path / "tickets.fewtune")
    ours = fewtune.load(runs_of(project_of(desk).folder)[0].bundle)
    assert theirs.scores["accuracy"] == ours.scores["accuracy"]


def test_a_failure_is_told_without_a_path(client: Client) -> None:
    desk = Desk(client)
    for label in ("a", "b"):
        for text in ("x", "y"):
            desk.post("/examples", {"text": f"{text} {label}", "label": label})
    desk.post("/training", {"minutes": 1, "method": "nonsense"})
    state = desk.trained()
    assert state["status"] == "failed"
    assert "nonsense" in state["error"]["what"]
    assert "/tmp" not in str(state)


@pytest.mark.parametrize("fails", ["write_atomically", "rename"])
def test_a_training_that_fails_at_its_start_is_none(
    client: Client, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def full(*arguments: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    desk = _with(client, [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")])
    with monkeypatch.context() as patched:
        patched.setattr(runs if fails == "write_atomically" else Path, fails, full)
        answer = client.post(f"{desk.at}/training", json={"minutes": 1})
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk-full")
    assert list((project_of(desk).folder / "runs").iterdir()) == []
    assert desk.get("")["training"] == {"status": "none"}


def test_half_a_training_is_passed_over(client: Client) -> None:
    desk = _with(client, [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")])
    project = project_of(desk)
    (project.folder / "runs" / "1").mkdir(parents=True)
    assert desk.get("")["training"] == {"status": "none"}
    wish = {"budget": "60s", "method": "tfidf"}
    run = runs.begin(project.folder, project.kind, labelled(project.database), ["x", "y"], wish)
    assert (run.number, [some.number for some in runs_of(project.folder)]) == (2, [2])
    assert run.wish["task"] == TEXTS
    assert len(run.examples) == 4


def test_neither_a_stop_nor_a_kill_is_the_end(
    client: Client, tickets: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[Any] = []

    def start(*arguments: Any, **options: Any) -> Any:
        workers.append(popen(*arguments, **options))
        return workers[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    desk = _with(client, tickets)
    # Seconds of work, so that it cannot be done before it is stopped.
    desk.post("/training", {"minutes": 1, "method": "contrastive"})
    _until_it_works(desk)
    state = desk.post("/training/stop")
    assert state["status"] in ("stopped", "interrupted"), state
    assert desk.post("/training/resume")["status"] == "running"
    # Then the process that trains is killed, as when the power goes.
    until = time.monotonic() + 30
    while not is_held(project_of(desk).folder) and time.monotonic() < until:
        time.sleep(0.05)
    workers[-1].kill()
    workers[-1].wait()
    assert desk.get("/training")["status"] == "interrupted"
    assert desk.post("/training/resume")["status"] == "running"
    assert desk.trained(seconds=300)["status"] == "done"
    assert desk.get("/result")["examples"] == 20


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_studio_goes_on(tmp_path: Path, tickets: list[tuple[str, str]]) -> None:
    import httpx

    with studio(tmp_path) as client:
        name = _with(client, tickets).name
    at = f"/api/projects/{name}/training"
    with running(tmp_path) as (process, url):
        httpx.post(url + at, json={"minutes": 1, "method": "contrastive"})
        time.sleep(1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with running(tmp_path) as (_, url):
        state = httpx.get(url + at).json()
        until = time.monotonic() + 60
        while state["status"] == "running" and time.monotonic() < until:  # the worker is still on its way out
            time.sleep(0.2)
            state = httpx.get(url + at).json()
        assert state["status"] in ("stopped", "interrupted"), state
        assert httpx.post(f"{url}{at}/resume", json={}).json()["status"] == "running"
        assert ended(lambda: httpx.get(url + at).json(), 300)["status"] == "done"


def _with(client: Client, tickets: list[tuple[str, str]]) -> Desk:
    desk = Desk(client)
    for text, label in tickets[:20]:
        desk.post("/examples", {"text": text, "label": label})
    return desk


def _until_it_works(desk: Desk) -> None:
    until = time.monotonic() + 30
    while "seconds" not in runs_of(project_of(desk).folder)[0].state() and time.monotonic() < until:
        time.sleep(0.05)
