"""What `advise` foresees beside what `fit` then takes: seconds and peak memory, each in a process of its own."""

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
from draws import draw, read_pairs

SETTINGS = [("sst2", 8), ("trec6", 8), ("trec6", 32), ("chnsenticorp_htl_zh", 16), ("thucnews10_zh", 8), ("sst2", 64)]
BUDGETS = ("1m", "5m")


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for budget in BUDGETS[:1] if quick else BUDGETS:
        for name, per_class in SETTINGS[: 2 if quick else None]:
            key = {"set": name, "per_class": per_class, "budget": budget}
            yield key, partial(_measure, data / f"text_{name}", per_class, budget)


def _measure(folder: Path, per_class: int, budget: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        with (Path(place) / "data.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *draw(read_pairs(folder / "train.csv"), per_class, 0)])
        advice = _fewtune("advise", "data.csv", "--budget", budget, "--json", folder=place)
        fit = _fewtune("fit", "data.csv", "--budget", budget, "--json", folder=place)
    return {
        "seconds": [advice["seconds"], fit["seconds"]],
        "memory_mb": [advice["peak_memory_mb"], fit["peak_memory_mb"]],
        "taken": [f"{advice['method']}:{advice['model']}", f"{fit['method']}:{fit['model']}"],
    }


def _fewtune(*arguments: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "fewtune", *arguments]
    return json.loads(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)


def table(rows: list[dict[str, Any]]) -> str:
    """Foreseen beside real, and the errors."""
    lines = [f"{'set':24}{'labels':>7}{'budget':>8}{'s foreseen':>12}{'s':>7}{'MB foreseen':>13}{'MB':>7}"]
    for row in rows:
        key, (ahead, took), (expected, held) = row["key"], row["seconds"], row["memory_mb"]
        place = f"{key['set']:24}{key['per_class']:7}{key['budget']:>8}"
        lines.append(f"{place}{ahead:12.0f}{took:7.0f}{expected:13.0f}{held:7.0f}")
    for name in ("seconds", "memory_mb"):
        errors = [abs(foreseen / real - 1) for foreseen, real in (row[name] for row in rows)]
        lines.append(f"{name}: median error {np.median(errors):.0%}, worst {max(errors):.0%}")
    return "\n".join(lines)
