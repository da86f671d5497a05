"""The studio with a hundred thousand rows: how long the page waits for what it asks, idle and while a training ends.

A few texts are labelled, a head is trained on them, and the others are put in order; meanwhile a client asks for what
the page asks for, one request after the other.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import numpy as np
from draws import read_pairs

ROWS = 100_000
LABELLED = 64
ROUNDS = 20


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    rows = ROWS // 10 if quick else ROWS
    yield {"set": "trec6", "rows": rows, "labelled": LABELLED}, partial(_measure, data / "text_trec6", rows)


def _measure(folder: Path, rows: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place, _running(Path(place)) as ask:
        made = ask("POST", "/api/projects", {"title": "Many", "task": "text-classification"})
        at = f"/api/projects/{made['name']}"
        started = time.perf_counter()
        ask("POST", f"{at}/import?file=many.csv", _table(folder, rows))
        import_seconds = time.perf_counter() - started
        idle = [_page(ask, at, rows) for _ in range(ROUNDS)]
        ask("POST", f"{at}/training", {"minutes": 1, "method": "head"})
        busy: list[dict[str, float]] = []
        ordered_after = first_after = 0.0
        since = None
        while (state := ask("GET", f"{at}/training"))["status"] in ("running", "ordering"):
            if state["status"] == "ordering":
                since = since or time.perf_counter()
                busy.append(_page(ask, at, rows))
                (row,) = ask("GET", f"{at}/waiting?limit=1")["rows"]
                if row["prediction"] and not first_after:
                    first_after = time.perf_counter() - since
                ordered_after = time.perf_counter() - since
            time.sleep(0.1)
        if state["status"] != "done":
            raise RuntimeError(f"the training ended as {state}")
    return {
        "import_seconds": import_seconds,
        "first_suggestions_seconds": first_after,
        "ordered_seconds": ordered_after,
        "idle_ms": _summary(idle),
        "ordering_ms": _summary(busy),
    }


def _page(ask: Callable[..., Any], at: str, rows: int) -> dict[str, float]:
    """Milliseconds that each thing takes which the page asks for."""

    def timed(method: str, path: str, body: Any = None) -> float:
        started = time.perf_counter()
        ask(method, at + path, body)
        return 1000 * (time.perf_counter() - started)

    (row,) = ask("GET", f"{at}/waiting?limit=1")["rows"]
    return {
        "state": timed("GET", ""),
        "first page": timed("GET", "/examples"),
        "last page": timed("GET", f"/examples?offset={rows - 50}"),
        "search": timed("GET", f"/examples?{urlencode({'search': 'What is the'})}"),
        "next to label": timed("GET", "/waiting"),
        "skip": timed("PATCH", f"/examples/{row['id']}", {"version": row["version"], "skipped": True}),
    }


def _summary(found: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    percentiles = {name: np.percentile([some[name] for some in found], (50, 100)) for name in (found or [{}])[0]}
    return {name: {"p50": round(p50, 1), "most": round(most, 1)} for name, (p50, most) in percentiles.items()}


def _table(folder: Path, rows: int) -> bytes:
    """Two questions a text, for there are not so many questions; the first have a label."""
    pairs = read_pairs(folder / "train.csv")
    chosen = np.random.default_rng(0).integers(len(pairs), size=(rows, 2))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("text", "label"))
    writer.writerows(pairs[:LABELLED])
    writer.writerows((f"{pairs[first][0]} {pairs[second][0]}", "") for first, second in chosen)
    return text.getvalue().encode()


@contextmanager
def _running(folder: Path) -> Iterator[Callable[..., Any]]:
    """A studio; gives what asks it."""
    command = [sys.executable, "-m", "fewtune", "studio", str(folder), "--port", "0", "--no-browser", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]

    def ask(method: str, path: str, body: Any = None) -> Any:
        is_file = isinstance(body, bytes)
        content = body if is_file or body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/octet-stream" if is_file else "application/json"}
        with urlopen(Request(url + path, content, headers, method=method), timeout=600) as answer:
            return json.load(answer)

    try:
        yield ask
    finally:
        process.terminate()
        process.wait(60)


def table(rows: list[dict[str, Any]]) -> str:
    lines: list[str] = []
    for row in rows:
        lines.append(
            f"{row['key']['rows']} rows: read in {row['import_seconds']:.1f} s; after a training first suggestions in "
            f"{row['first_suggestions_seconds']:.1f} s, the last in {row['ordered_seconds']:.1f} s"
        )
        lines.append(f"{'':16}{'idle: p50, most':>20}{'ordering: p50, most':>24}  ms")
        for name, idle in row["idle_ms"].items():
            busy = row["ordering_ms"].get(name, {"p50": 0.0, "most": 0.0})
            lines.append(f"{name:16}{idle['p50']:12.1f}{idle['most']:8.1f}{busy['p50']:16.1f}{busy['most']:8.1f}")
    return "\n".join(lines)
