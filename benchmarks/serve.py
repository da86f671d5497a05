"""`fewtune serve` beside a plain FastAPI service with a Transformers pipeline: same weights, same load, same run.

One text a request, 32 connections by wrk, one service after the other; then twice what ours can do, and after it the
first load again. The load comes from this machine too, and takes its share of the cores from both.
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
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from draws import read_pairs
from load import Load, bodies_of, closed, open_rate

import fewtune
from fewtune.bundle.export import export_bundle

MODEL = "all-MiniLM-L6-v2"
CONNECTIONS = 32
SECONDS = 60


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    seconds = SECONDS // 3 if quick else SECONDS
    key = {"model": MODEL, "set": "trec6", "connections": CONNECTIONS, "seconds": seconds, "by": "wrk"}
    yield key, partial(_measure, data / "text_trec6", seconds)


def _measure(folder: Path, seconds: int) -> dict[str, Any]:
    pairs = read_pairs(folder / "train.csv")[:100]
    bodies = bodies_of([text for text, _ in read_pairs(folder / "test.csv")])
    with tempfile.TemporaryDirectory() as place:
        bundle = fewtune.fit(pairs, method="head", model=MODEL, out=Path(place) / "bundle").bundle
        export_bundle(bundle, Path(place) / "hf", form="hf")
        naive = [str(Path(__file__).with_name("naive_service.py")), str(Path(place) / "hf")]
        with (
            _running(["-m", "fewtune", "serve", str(bundle), "--port"]) as (process, our_port),
            _running(naive) as (_, naive_port),
        ):
            ask = partial(closed, bodies=bodies, connections=CONNECTIONS)
            for port in (our_port, naive_port):
                ask(port, seconds=3)
            ours, theirs = ask(our_port, seconds=seconds), ask(naive_port, seconds=seconds)
            flood = partial(open_rate, our_port, bodies, per_second=2 * ours.per_second)
            resident_mb = [_resident_mb(process)]
            over = flood(seconds=seconds)
            resident_mb.append(_resident_mb(process))
            # What the most connections need is there by now; whatever came on top would be a leak.
            flood(seconds=seconds // 2)
            resident_mb.append(_resident_mb(process))
            again = ask(our_port, seconds=seconds // 2)
    return {
        "ours": asdict(ours),
        "naive": asdict(theirs),
        "ratio": ours.per_second / theirs.per_second,
        "overload": {"asked_per_second": 2 * ours.per_second, **_summary(over), "resident_mb": resident_mb},
        "afterwards": asdict(again),
    }


def _summary(load: Load) -> dict[str, Any]:
    statuses = load.statuses()
    return {
        "per_second": load.answers_per_second,
        "p50_ms": load.percentile(200, 50),
        "p99_ms": load.percentile(200, 99),
        "refused_p50_ms": load.percentile(503, 50),
        "refused_p99_ms": load.percentile(503, 99),
        "statuses": statuses,
        "errors": sum(count for status, count in statuses.items() if status not in ("200", "503")) + load.broken,
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
    lines = [f"{'service':26}{'answers/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}"]
    for row in rows:
        over = row["overload"]
        asked = f"ours, asked {over['asked_per_second']:.0f}/s"
        for name, of in (("ours", "ours"), ("naive", "naive"), (asked, "overload"), ("ours, afterwards", "afterwards")):
            lines.append(_line(name, row[of]))
        before, after, again = over["resident_mb"]
        refused = over["statuses"].get("503", 0)
        lines.append(
            f"{row['ratio']:.2f} x the answers a second; {refused} refused in {over['refused_p50_ms']} ms "
            f"(p99 {over['refused_p99_ms']}); {before} MB before the overload, {after} after it, {again} after one more"
        )
    return "\n".join(lines)


def _line(name: str, entry: dict[str, Any]) -> str:
    times = (f"{entry[name]:9.1f}" for name in ("p50_ms", "p99_ms"))
    return f"{name:26}{entry['per_second']:10.1f}{''.join(times)}{entry['errors']:8}"
