"""SIGKILL at random moments of a fit, then --resume: the bundle must be the uninterrupted one's, byte for byte."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import draw, read_pairs

# One tuned rung on one repeat of its folds, and the whole ladder, which takes many minutes each time.
KILLS = {"contrastive": 10, "auto": 3}
# Far from what would make the clock decide otherwise in one sitting than in two.
BUDGETS = {"contrastive": "2m", "auto": "1h"}
MODEL = "all-MiniLM-L6-v2"
FILES = ("*.onnx", "tokenizer*.json")


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for method, kills in list(KILLS.items())[: 1 if quick else None]:
        number = 2 if quick else kills
        key = {"set": "trec6", "per_class": 8, "method": method, "kills": number}
        yield key, partial(_measure, data / "text_trec6", method, number)


def _measure(folder: Path, method: str, kills: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data.csv"
        with data.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *draw(read_pairs(folder / "train.csv"), 8, 0)])
        command = [sys.executable, "-m", "fewtune", "fit", str(data), "--budget", BUDGETS[method], "--method", method]
        command += [*([] if method == "auto" else ["--model", MODEL]), "--out"]
        started = time.monotonic()
        subprocess.run([*command, f"{place}/whole"], check=True, capture_output=True)
        seconds = time.monotonic() - started
        expected = _contents(Path(place) / "whole")
        generator, same, sittings = np.random.default_rng(0), 0, []
        for number in range(kills):
            out = Path(place) / f"killed-{number}"
            process = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            moment = float(generator.uniform(0.02, 0.98)) * seconds
            time.sleep(moment)
            process.kill()
            process.wait()
            started = time.monotonic()
            if not out.exists():
                subprocess.run([*command, str(out), "--resume"], check=True, capture_output=True)
            sittings.append([round(moment, 1), round(time.monotonic() - started, 1)])
            same += _contents(out) == expected
        return {"same": same, "whole_seconds": round(seconds, 1), "killed_after_and_rest_seconds": sittings}


def _contents(bundle: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for pattern in FILES for path in sorted(bundle.glob(pattern))}


def table(rows: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"{row['key']['method']}, killed {row['key']['kills']} times and resumed: "
        f"{row['same']} bundles the same, byte for byte"
        for row in rows
    )
