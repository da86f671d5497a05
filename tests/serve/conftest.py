"""A service in this process, and the real command in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

import fewtune
from fewtune.serve.api import make_app
from fewtune.serve.bundles import Shelf
from fewtune.serve.settings import ServeSettings
from tests import marian
from tests.pictures import class_folders, coco_folder, masked_folder


@contextmanager
def service(*folders: Path, raise_server_exceptions: bool = True, **settings: Any) -> Iterator[TestClient]:
    app = make_app(Shelf(folders, threads=1), ServeSettings(threads=1, **settings))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=raise_server_exceptions) as client:
        yield client


Folders = Callable[[str], Path]


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A bundle of a task, fitted when it is first asked for: the networks are real or tiny, the steps few."""
    place = tmp_path_factory.mktemp("served")
    known: dict[str, Path] = {}

    def bundle(task: str) -> Path:
        if task not in known:
            known[task] = _FITS[task](place / task).bundle
        return known[task]

    return bundle


def _fit_classes(place: Path) -> fewtune.Model:
    pytest.importorskip("timm")
    return fewtune.fit(class_folders(place / "parts", 6), method="head", out=place / "parts.fewtune")


def _fit_boxes(place: Path) -> fewtune.Model:
    pytest.importorskip("timm")
    quick = {"steps": 16, "width_px": 96, "height_px": 64, "augment": "crop,light,flip,vertical-flip"}
    train, test = coco_folder(place / "train", 12), coco_folder(place / "test", 2, start=100)
    out = place / "boxes.fewtune"
    return fewtune.fit(train, test=str(test), method="partial", budget="20m", out=out, settings=quick)


def _fit_masks(place: Path) -> fewtune.Model:
    pytest.importorskip("segmentation_models_pytorch")
    quick = {"steps": 4, "size_px": 96, "crop_px": 64, "batch_size": 2}
    train, test = masked_folder(place / "train", 6), masked_folder(place / "test", 2, start=100)
    return fewtune.fit(train, test=str(test), method="head", out=place / "masks.fewtune", settings=quick)


def _fit_translation(place: Path) -> fewtune.Model:
    pytest.importorskip("sacrebleu")
    pairs = [(f"the cat sees {i}", f"o gato vê {i}") for i in range(20)]
    student = str(marian.write_student(place / "student"))
    return fewtune.fit(pairs, task="translation", model=student, method="none", out=place / "manual.fewtune")


def _fit_replies(place: Path) -> fewtune.Model:
    pytest.importorskip("transformers")
    from tests.backbones.tiny_llama import save_tiny_llama

    place.mkdir()
    data = place / "replies.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"cat {i}", "response": "the cat"}) + "\n" for i in range(20)))
    model, quick = str(save_tiny_llama(place / "llama")), {"max_new_tokens": 6}
    return fewtune.fit(data, model=model, method="none", out=place / "replies.fewtune", settings=quick)


_FITS: dict[str, Callable[[Path], fewtune.Model]] = {
    "image-classification": _fit_classes,
    "object-detection": _fit_boxes,
    "segmentation": _fit_masks,
    "translation": _fit_translation,
    "text-generation": _fit_replies,
}


@pytest.fixture(scope="session")
def client(tfidf_model: fewtune.Model) -> Iterator[TestClient]:
    with service(tfidf_model.bundle) as opened:
        yield opened


@contextmanager
def running(*arguments: object, cwd: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The real command at a free port, once it listens; its process and its address."""
    command = [sys.executable, "-m", "fewtune", "serve", *map(str, arguments), "--port", "0", "--json"]
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=60)
        yield process, json.loads(line)["url"]
    finally:
        process.kill()
        process.communicate()
