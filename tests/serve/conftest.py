"""A service in this process, and the real command in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
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
from tests.every_task import Folders

__all__ = ["Folders"]


@contextmanager
def service(*folders: Path, raise_server_exceptions: bool = True, **settings: Any) -> Iterator[TestClient]:
    app = make_app(Shelf(folders, threads=1), ServeSettings(threads=1, **settings))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=raise_server_exceptions) as client:
        yield client


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
