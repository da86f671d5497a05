"""The smaller bundle beside the trained one: made in the background, measured, taken away."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

import fewtune
from fewtune.bundle.read import read_manifest
from fewtune.studio.runs import Run, is_held, trained
from fewtune.studio.smaller import material_of, newest_smaller, shrinkings_of
from fewtune.types import Compression, Evidence, Footprint, Trade
from tests.conftest import needs_encoder
from tests.studio.conftest import Client, Desk, ended, project_of, studio

pytestmark = needs_encoder
LARGE = Footprint(size_mb=20.0, p50_ms=5.0, p95_ms=6.0, per_second=200.0, load_ms=90.0, peak_memory_mb=100.0)
SMALL = replace(LARGE, size_mb=8.0, p50_ms=4.0, per_second=250.0)


def compression(name: str, *failed: str) -> Compression:
    evidence = Evidence("labels", 400, 0.05, 0.02, 0.03, 0.04, not failed, True)
    trades = (Trade("original", LARGE, 0.9), Trade("vocabulary", SMALL, 0.87, evidence, failed))
    return Compression(name, 0.01, "on 400 examples", 2, trades, "words")


@pytest.fixture(scope="module")
def trained_desk(tmp_path_factory: pytest.TempPathFactory, tickets: list[tuple[str, str]]) -> Iterator[Desk]:
    """A project whose model has an encoder."""
    with studio(tmp_path_factory.mktemp("studio")) as client:
        desk = Desk(client)
        desk.bring("\n".join(["text,label", *(f'"{text}",{label}' for text, label in tickets[:40])]).encode(), "t.csv")
        desk.post("/training", {"minutes": 1, "method": "head"})
        assert desk.trained(300)["status"] == "done"
        yield desk


def run_of(desk: Desk) -> Run:
    run = trained(project_of(desk).folder)
    assert run is not None
    return run


def shrunk(desk: Desk, seconds: float = 300) -> Any:
    """What there is once an attempt has ended."""
    return ended(lambda: desk.get("/smaller"), seconds)


def test_it_is_made_measured_and_taken_away(trained_desk: Desk, tmp_path: Path) -> None:
    desk = trained_desk
    told = desk.get("/smaller")
    assert (told["status"], told["ways"][:2], told["by_fit"], told["taken"]) == (
        "none",
        ["auto", "vocabulary"],
        None,
        None,
    )
    assert desk.client.get(f"{desk.at}/smaller.zip").json()["error"]["code"] == "no-smaller"
    # Half of the score: the clock alone may speak against it, on a busy machine.
    assert desk.post("/smaller", {"max_drop": 0.5})["status"] == "running"
    busy = desk.client.post(f"{desk.at}/training", json={"minutes": 1})
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "training-runs")
    assert desk.get("/training")["status"] == "done"
    told = shrunk(desk)
    assert told["status"] == "done", told
    assert desk.get("")["smaller"]["status"] == "done"
    if told["taken"] is None:
        assert "slower" in told["refused"]["words"]["en"]
        return
    original, smaller = told["taken"]["models"]
    assert smaller["size_mb"] < original["size_mb"]
    assert (original["name"]["zh"], smaller["taken"]) == ("原模型", True)
    assert original["per_second"] > 0 < smaller["p50_ms"]
    answer = desk.client.get(f"{desk.at}/smaller.zip")
    assert "tickets-small.fewtune.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert not any("private" in name for name in archive.namelist())
        archive.extractall(tmp_path)
    assert len(answer.content) < len(desk.client.get(f"{desk.at}/bundle.zip").content)
    assert fewtune.load(tmp_path / "tickets-small.fewtune").predict(["where is my parcel"])
    assert (
        "fewtune compress tickets.fewtune --out tickets-small.fewtune --max-drop 0.5" in desk.get("/commands")["shell"]
    )
    assert left_over(desk) == []


def left_over(desk: Desk) -> list[str]:
    """Folders of attempts that are no whole bundles."""
    folders = [entry for some in shrinkings_of(run_of(desk)) for entry in some.folder.iterdir() if entry.is_dir()]
    return [folder.name for folder in folders if not (folder / "bundle.json").is_file()]


def test_a_stop_and_a_kill_leave_the_model_and_nothing_half(
    trained_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, workers = trained_desk, list[Any]()

    def start(*arguments: Any, **options: Any) -> Any:
        workers.append(popen(*arguments, **options))
        return workers[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    before = run_of(desk).folder, newest_smaller(run_of(desk))
    desk.post("/smaller", {"way": "vocabulary"})
    until_it_works(desk)
    assert desk.post("/smaller/stop")["status"] == "stopped"
    assert left_over(desk) == []
    desk.post("/smaller", {"way": "vocabulary"})
    until_it_works(desk)
    workers[-1].kill()  # as when the power goes
    workers[-1].wait()
    assert left_over(desk) != []
    assert desk.get("/smaller")["status"] == "interrupted"
    assert left_over(desk) == []
    assert (run_of(desk).folder, newest_smaller(run_of(desk))) == before
    assert desk.get("/training")["status"] == "done"


def until_it_works(desk: Desk) -> None:
    until = time.monotonic() + 60
    while not (is_held(project_of(desk).folder) and left_over(desk)):
        assert time.monotonic() < until, desk.get("/smaller")
        time.sleep(0.02)


def test_what_was_under_way_in_a_training_that_was_killed_is_not_taken_for_this(trained_desk: Desk) -> None:
    desk, run = trained_desk, run_of(trained_desk)
    run.set_state({**run.state(), "status": "ordering"})
    desk.post("/smaller", {"way": "vocabulary"})
    assert desk.get("/training")["status"] == "interrupted"
    desk.post("/smaller/stop")
    assert desk.post("/training/resume")["status"] == "running"
    state = desk.trained(300)
    assert (state["status"], len(state["rungs"])) == ("done", 1)


def test_why_it_was_not_taken_is_told_in_both_languages(trained_desk: Desk) -> None:
    desk, run = trained_desk, run_of(trained_desk)
    attempt = run.folder / "smaller" / "9"
    attempt.mkdir(parents=True)
    (attempt / "wish.json").write_text("{}")
    found = asdict(compression("", "score", "speed"))
    (attempt / "state.json").write_text(json.dumps({"status": "done", "compression": found}))
    refused = desk.get("/smaller")["refused"]
    shutil.rmtree(attempt)
    assert "vocabulary: it answers too differently, it is slower here (accuracy drops by 3.0%" in refused["words"]["en"]
    assert "它的回答相差太大、它在这台机器上更慢" in refused["words"]["zh"]
    assert [model["taken"] for model in refused["models"]] == [False, False]


def test_what_a_training_made_smaller_already_says_so(trained_desk: Desk) -> None:
    desk, run = trained_desk, run_of(trained_desk)
    manifest = read_manifest(run.bundle)
    project = project_of(desk).folder
    shutil.copytree(project, project.with_name("p-fitted"))
    other = Run(project.with_name("p-fitted") / "runs" / run.folder.name)
    shutil.move(other.folder / run.bundle.name, other.bundle)
    shutil.rmtree(other.folder / "smaller", ignore_errors=True)
    fitted = replace(manifest, compression=compression("vocabulary"))
    (other.bundle / "bundle.json").write_bytes(fitted.to_json().encode())
    told = desk.client.get("/api/projects/p-fitted/smaller").json()
    assert (told["ways"], told["status"], told["by_fit"]["models"][1]["taken"]) == ([], "none", True)
    refused = desk.client.post("/api/projects/p-fitted/smaller", json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "no-way")


def test_many_unlabelled_texts_are_what_it_is_measured_on(trained_desk: Desk) -> None:
    desk, run = trained_desk, run_of(trained_desk)
    assert material_of(run) == (None, None)
    batch = desk.bring("\n".join(["text", *(f"parcel {i} is late" for i in range(500))]).encode(), "m.csv").json()
    measured, learnt = material_of(run)
    assert (len(measured), len(learnt)) == (400, 100)
    assert not set(measured) & set(learnt)
    desk.post(f"/import/{batch['batch']}/undo")


def test_words_alone_cannot_become_smaller(client: Client, tickets: list[tuple[str, str]]) -> None:
    desk = Desk(client)
    assert desk.get("/smaller") == {"status": "none", "ways": [], "by_fit": None, "taken": None, "refused": None}
    for text, label in tickets[:20]:
        desk.post("/examples", {"text": text, "label": label})
    desk.post("/training", {"minutes": 1, "method": "tfidf"})
    assert desk.trained(300)["status"] == "done"
    assert desk.get("/smaller")["ways"] == []
    for way in ("auto", "vocabulary", "nonsense"):
        refused = desk.client.post(f"{desk.at}/smaller", json={"way": way})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "no-way")
