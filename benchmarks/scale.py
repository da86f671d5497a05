"""Seconds and peak memory as the number of rows grows, each fit in a process of its own."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import read_pairs

SIZES = (1_000, 10_000, 100_000)
MODELS = {"head": "multilingual-e5-small", "contrastive": "all-MiniLM-L6-v2"}
# Contrastive tuning has a budget that 100,000 rows do not fit into whole: it must keep it all the same.
BUDGETS = {"tfidf": "1h", "head": "1h", "contrastive": "10m"}


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for method in ("tfidf", "head", "contrastive"):
        for size in SIZES[: 2 if quick else None]:
            yield {"method": method, "rows": size}, partial(_measure, data / "text_trec6", method, size)


def _measure(folder: Path, method: str, size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "data.csv"
        _write(folder, size, path)
        command = [
            sys.executable,
            "-m",
            "fewtune",
            "fit",
            str(path),
            "--method",
            method,
            "--budget",
            BUDGETS[method],
            "--json",
        ]
        command += ["--out", str(Path(place) / "out")]
        if method in MODELS:
            command += ["--model", MODELS[method]]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    return {"seconds": result["seconds"], "peak_memory_mb": result["peak_memory_mb"]}


def _write(folder: Path, size: int, path: Path) -> None:
    """Real questions, made distinct by leaving words out and by an opening of two others."""
    pairs = read_pairs(folder / "train.csv")
    generator = np.random.default_rng(0)
    words = [word for text, _ in pairs for word in text.split()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for i in range(size):
            text, label = pairs[i % len(pairs)]
            kept = [word for word in text.split() if generator.random() > 0.2]
            opening = [words[j] for j in generator.integers(len(words), size=2)]
            writer.writerow((" ".join([*opening, *kept]), label))


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'method':10}{'rows':>9}{'seconds':>10}{'ms a row':>10}{'peak MB':>9}"]
    for row in rows:
        size = row["key"]["rows"]
        per_row = 1000 * row["seconds"] / size
        lines.append(
            f"{row['key']['method']:10}{size:9}{row['seconds']:10.1f}{per_row:10.2f}{row['peak_memory_mb']:9.0f}"
        )
    return "\n".join(lines)
