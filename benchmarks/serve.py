"""`fewtune serve` beside a plain FastAPI service with a Transformers pipeline: same weights, same load, same run.

One text a request, 32 connections, the two services by turns; then twice what ours can do, and after it the first
load again. The load comes from this machine too, and takes its share of the cores from both.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from draws import read_pairs
from load import Load, closed, open_rate, requests_of

import fewtune
from fewtune.bundle.export import export_bundle

MODEL = "all-MiniLM-L6-v2"
CONNECTIONS = 32
ROUNDS = 3
SECONDS = 20


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    seconds = 6 if quick else SECONDS
    key = {"model": MODEL, "set": "trec6", "connections": CONNECTIONS, "seconds": seconds, "rounds": ROUNDS}
    yield key, partial(_measure, data / "text_trec6", seconds)


def _measure(folder: Path, seconds: float) -> dict[str, Any]:
    pairs = read_pairs(folder / "train.csv")[:100]
    requests = requests_of([text for text, _ in read_pairs(folder / "test.csv")])
    with tempfile.TemporaryDirectory() as place:
        bundle = fewtune.fit(pairs, method="head", model=MODEL, out=Path(place) / "bundle").bundle
        export_bundle(bundle, Path(place) / "hf", form="hf")
        naive = [str(Path(__file__).with_name("naive_service.py")), str(Path(place) / "hf")]
        with (
            _running(["-m", "fewtune", "serve", str(bundle), "--port"]) as (ours, our_port),
            _running(naive) as (_, naive_port),
        ):
            ask = partial(closed, requests=requests, connections=CONNECTIONS)
            for port in (our_port, naive_port):
                ask(port, seconds=2)
            rounds = [(ask(our_port, seconds=seconds), ask(naive_port, seconds=seconds)) for _ in range(ROUNDS)]
            capacity = float(np.median([mine.answers_per_second for mine, _ in rounds]))
            before = _resident_mb(ours)
            over = open_rate(our_port, requests, per_second=2 * capacity, seconds=seconds)
            after = _resident_mb(ours)
            again = ask(our_port, seconds=seconds / 2)
    return {
        "ours": [_summary(mine) for mine, _ in rounds],
        "naive": [_summary(theirs) for _, theirs in rounds],
        "ratio": capacity / float(np.median([theirs.answers_per_second for _, theirs in rounds])),
        "overload": {
            **_summary(over),
            "asked_per_second": round(2 * capacity),
            "refused_p50_ms": over.percentile(503, 50),
            "refused_p99_ms": over.percentile(503, 99),
            "resident_mb": [before, after],
        },
        "afterwards": _summary(again),
    }


def _summary(load: Load) -> dict[str, Any]:
    return {
        "per_second": round(load.answers_per_second, 1),
        "p50_ms": load.percentile(200, 50),
        "p99_ms": load.percentile(200, 99),
        "statuses": load.statuses(),
        "broken": load.broken,
        "unsent": load.unsent,
    }


@contextmanager
def _running(arguments: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A service at a free port, which is the last of its arguments, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([sys.executable, *arguments, str(port)], env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        yield process, port
    finally:
        process.terminate()
        process.wait(30)


def _resident_mb(process: subprocess.Popen[bytes]) -> float | None:
    """What a process holds in memory; None where the system does not tell."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.is_file():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return round(int(line.split()[1]) * 1024 / 1e6, 1)


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'service':26}{'answers/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'others':>8}"]
    for row in rows:
        for name in ("ours", "naive"):
            lines += [_line(name, entry) for entry in row[name]]
        over = row["overload"]
        lines += [
            _line(f"ours, asked {over['asked_per_second']}/s", over),
            _line("ours, afterwards", row["afterwards"]),
        ]
        before, after = over["resident_mb"]
        lines.append(
            f"{row['ratio']:.2f} x the answers a second; refused in {over['refused_p50_ms']} ms "
            f"(p99 {over['refused_p99_ms']}); {before} MB before the overload, {after} after"
        )
    return "\n".join(lines)


def _line(name: str, entry: dict[str, Any]) -> str:
    others = sum(count for status, count in entry["statuses"].items() if status != "200") + entry["broken"]
    return f"{name:26}{entry['per_second']:10.1f}{entry['p50_ms'] or 0:9.1f}{entry['p99_ms'] or 0:9.1f}{others:8}"
