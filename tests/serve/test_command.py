"""The real command, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

import httpx

import fewtune
from tests.serve.conftest import running


def refused(*arguments: object, cwd: Path, **environment: str) -> dict[str, str]:
    command = [sys.executable, "-m", "fewtune", "serve", *map(str, arguments), "--json"]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)["error"]


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_stop_finishes_what_was_accepted(
    tfidf_model: fewtune.Model, tmp_path: Path, number: int, status: int
) -> None:
    body = json.dumps({"inputs": ["where is my parcel " * 900] * 110}).encode()
    answers: list[Any] = []
    with running(tfidf_model.bundle, cwd=tmp_path) as (process, url):

        def ask() -> None:
            headers = {"Content-Type": "application/json"}
            answers.append(httpx.post(f"{url}/predict", content=body, headers=headers, timeout=30))

        asking = threading.Thread(target=ask)
        asking.start()
        while "fewtune_waiting_inputs 0.0" in httpx.get(f"{url}/metrics").text and not answers:
            pass
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)
        asking.join()
        assert [answer.status_code for answer in answers] == [200]
        assert len(answers[0].json()["predictions"]) == 110
        assert process.returncode == status
        assert stdout == ""
        assert "Traceback" not in stderr
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")


def test_a_token_from_the_environment(tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    with running(tfidf_model.bundle, "--host", "0.0.0.0", cwd=tmp_path, FEWTUNE_TOKEN="secret") as (_, url):
        ask = {"json": {"inputs": ["a"]}}
        assert httpx.post(f"{url}/predict", **ask).status_code == 401
        answer = httpx.post(f"{url}/predict", **ask, headers={"Authorization": "Bearer secret", "Host": "my.example"})
        assert answer.status_code == 200
        too_long = httpx.post(f"{url}/predict", content=b" " * 20_000_000, headers={"Authorization": "Bearer secret"})
        assert too_long.status_code == 413
        assert httpx.get(f"{url}/health").status_code == 200


def test_a_head_without_end_is_not_kept(tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    with running(tfidf_model.bundle, cwd=tmp_path) as (_, url):
        assert httpx.get(f"{url}/health", headers={"X": "a" * 30_000}).status_code == 200
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ")
            with pytest.raises(OSError, match=r"reset|Broken pipe"):
                client.sendall(b"a" * 60_000_000)
        assert httpx.get(f"{url}/health").status_code == 200


def test_what_does_not_fit_is_refused(tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    bundle = tfidf_model.bundle
    assert "FEWTUNE_TOKEN" in refused(bundle, "--host", "0.0.0.0", cwd=tmp_path)["how"]
    assert refused("nowhere", cwd=tmp_path)["where"] == "nowhere"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "--port" in refused(bundle, "--port", port, cwd=tmp_path)["where"]


def test_serving_loads_no_training_library(tfidf_model: fewtune.Model) -> None:
    code = (
        "import sys; from pathlib import Path; from fewtune.serve.api import make_app\n"
        "from fewtune.serve.bundles import Shelf; from fewtune.serve.settings import ServeSettings\n"
        "make_app(Shelf([Path(sys.argv[1])], threads=1), ServeSettings())\n"
        "print([name for name in ('torch', 'sklearn', 'scipy', 'onnx', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tfidf_model.bundle)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
