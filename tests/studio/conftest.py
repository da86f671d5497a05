"""A studio in this process, and the real command in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from fewtune.serve.settings import ServeSettings
from fewtune.studio.api import make_app
from fewtune.studio.projects import Project, Workspace

TEXTS = "text-classification"
PICTURES = "image-classification"
FILE = {"content-type": "application/octet-stream"}


class Client(TestClient):
    workspace: Workspace


class Desk:
    """A project as a test works on it, through the API alone."""

    def __init__(self, client: Client, task: str = TEXTS, title: str = "Tickets") -> None:
        self.client = client
        self.name = client.post("/api/projects", json={"title": title, "task": task}).json()["name"]
        self.at = f"/api/projects/{self.name}"

    def get(self, path: str, **options: Any) -> Any:
        answer = self.client.get(self.at + path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.client.post(self.at + path, json=body or {})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def change(self, row: dict[str, Any], **wanted: Any) -> Any:
        return self.client.patch(f"{self.at}/examples/{row['id']}", json={"version": row["version"], **wanted})

    def bring(self, content: bytes, file: str, **options: str) -> Any:
        return self.client.post(f"{self.at}/import", params={"file": file, **options}, content=content, headers=FILE)

    def trained(self, seconds: float = 60) -> Any:
        """The state of the training once it has ended."""
        return ended(lambda: self.get("/training"), seconds)


def project_of(desk: Desk) -> Project:
    """What a test wants to do to a project behind the API's back."""
    return desk.client.workspace.find(desk.name)


def ended(look: Any, seconds: float) -> Any:
    until = time.monotonic() + seconds
    while (state := look())["status"] in ("running", "ordering"):
        assert time.monotonic() < until, state
        time.sleep(0.2)
    return state


@contextmanager
def studio(folder: Path, **settings: Any) -> Iterator[Client]:
    workspace = Workspace(folder)
    app = make_app(workspace, ServeSettings(**settings))
    with Client(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        client.workspace = workspace
        yield client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with studio(tmp_path / "studio") as opened:
        yield opened


@pytest.fixture
def desk(client: Client) -> Desk:
    return Desk(client)


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The real command at a free port, once it listens; its process and its address."""
    command = [sys.executable, "-m", "fewtune", "studio", str(folder), "--port", "0", "--no-browser", "--json"]
    process = subprocess.Popen(
        command,
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
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
