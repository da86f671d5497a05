from __future__ import annotations

import asyncio
import hashlib
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

import fewtune
from fewtune.bundle.manifest import FileEntry
from fewtune.bundle.read import read_manifest
from fewtune.bundle.write import publish
from fewtune.errors import FewtuneError
from fewtune.serve.batcher import Batcher
from fewtune.serve.bundles import ServedBundle, Shelf
from tests.serve.conftest import service


@pytest.fixture
def newer(tfidf_model: fewtune.Model, tmp_path: Path) -> Path:
    """The same model, its labels called otherwise and its card rewritten."""
    folder = Path(shutil.copytree(tfidf_model.bundle, tmp_path / "newer"))
    card = b"# Another card"
    (folder / "README.md").write_bytes(card)
    manifest = read_manifest(folder)
    entry = FileEntry(hashlib.sha256(card).hexdigest(), len(card))
    renamed = tuple(f"{label} 2" for label in manifest.labels)
    newer = replace(manifest, labels=renamed, files={**manifest.files, "README.md": entry})
    (folder / "bundle.json").write_text(newer.to_json(), encoding="utf-8")
    return folder


@pytest.fixture
def served(tfidf_model: fewtune.Model, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tfidf_model.bundle, tmp_path / "tickets.fewtune"))


def test_a_new_version_is_taken_up(served: Path, newer: Path) -> None:
    bundle = ServedBundle(served, threads=1)
    before = bundle.version
    assert not bundle.refresh()
    publish(newer, served, overwrite=True)
    assert bundle.refresh()
    assert bundle.version.digest != before.digest
    assert bundle.version.manifest.labels[0].endswith(" 2")
    assert not bundle.refresh()
    assert len(before.probabilities(["what was asked of the old one is answered by it"])[0]) == 5


def test_what_is_not_whole_is_not_taken_up_until_it_is(served: Path, newer: Path) -> None:
    bundle = ServedBundle(served, threads=1)
    before = bundle.version
    shutil.copy(newer / "bundle.json", served)
    with pytest.raises(fewtune.BundleError, match="altered"):
        bundle.refresh()
    assert not bundle.refresh()
    assert bundle.version is before
    shutil.copytree(newer, served, dirs_exist_ok=True)
    assert bundle.refresh()
    shutil.rmtree(served)
    assert not bundle.refresh()
    assert bundle.version.manifest.labels[0].endswith(" 2")


def test_no_request_is_dropped_by_a_new_version(served: Path, newer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewtune.serve.bundles._LOOK_EVERY_SECONDS", 0.05)
    with service(served) as client:
        seen: list[tuple[int, str]] = []
        is_done = threading.Event()

        def ask() -> None:
            while not is_done.is_set():
                response = client.post("/predict", json={"inputs": ["where is my parcel"]})
                seen.append((response.status_code, response.json()["predictions"][0]["prediction"]))

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.1)
        publish(newer, served, overwrite=True)
        end = time.monotonic() + 10
        while time.monotonic() < end and not (seen and seen[-1][1].endswith(" 2")):
            time.sleep(0.02)
        is_done.set()
        asking.join()
        metrics = client.get("/metrics").text
    assert {status for status, _ in seen} == {200}
    first, last = seen[0][1], seen[-1][1]
    assert last == f"{first} 2"
    assert {label for _, label in seen} == {first, last}
    assert 'fewtune_reloads_total{model="tickets",outcome="taken up"} 1.0' in metrics


def test_a_task_that_is_not_known_is_not_served(served: Path) -> None:
    bundle = ServedBundle(served, threads=1)
    before = bundle.version
    manifest = replace(read_manifest(served), task="of-somebody")
    (served / "bundle.json").write_text(manifest.to_json(), encoding="utf-8")
    with pytest.raises(fewtune.BundleError, match="of-somebody") as caught:
        ServedBundle(served, threads=1)
    assert caught.value.where == str(served)
    assert "fewtune predict" in caught.value.how
    with pytest.raises(fewtune.BundleError, match="of-somebody"):
        bundle.refresh()
    assert bundle.version is before


def test_a_new_version_is_of_the_same_task(served: Path) -> None:
    bundle = ServedBundle(served, threads=1)
    before = bundle.version
    manifest = replace(read_manifest(served), task="translation")
    (served / "bundle.json").write_text(manifest.to_json(), encoding="utf-8")
    with pytest.raises(fewtune.BundleError, match="for translation, and what is served here for text-classification"):
        bundle.refresh()
    assert bundle.version is before


def test_the_watch_outlives_every_error(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fewtune.serve.bundles._LOOK_EVERY_SECONDS", 0.01)
    outcomes = iter([PermissionError("bundle.json"), MemoryError(), True])

    def refresh(bundle: ServedBundle) -> bool:
        outcome = next(outcomes, False)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(ServedBundle, "refresh", refresh)
    told: list[tuple[str, FewtuneError | None]] = []

    async def watch() -> None:
        all_told = asyncio.Event()

        def on_change(name: str, error: FewtuneError | None) -> None:
            told.append((name, error))
            if len(told) == 3:
                all_told.set()

        watching = asyncio.create_task(shelf.watch(on_change))
        await asyncio.wait_for(all_told.wait(), timeout=60)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    shelf = Shelf([served], threads=1)
    asyncio.run(watch())
    assert [name for name, _ in told] == ["tickets"] * 3
    assert all(isinstance(error, fewtune.BundleError) for _, error in told[:2])
    assert "PermissionError: bundle.json" in str(told[0][1])
    assert told[2][1] is None


def test_the_batcher_is_closed_whatever_ended_the_watch(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def watch(shelf: Shelf, on_change: Any) -> None:
        raise RuntimeError("ended")

    closed: list[Batcher] = []
    monkeypatch.setattr(Shelf, "watch", watch)
    monkeypatch.setattr(Batcher, "close", lambda batcher: closed.append(batcher))
    with pytest.raises(RuntimeError, match="ended"), service(served) as client:
        client.get("/health")
    assert len(closed) == 1
