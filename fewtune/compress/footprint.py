"""What two bundles take, measured in turns in one run: whatever else the machine does, it does to both."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.errors import InternalError
from fewtune.progress import Step
from fewtune.runtime import Runtime, respond
from fewtune.types import Footprint

_LONGEST_SECONDS = 60.0
_FEWEST = 4


@dataclass(frozen=True, slots=True)
class Care:
    """How much is measured.

    Attributes:
        inputs: that are timed one by one, and all together.
        rounds: how often.
        starts: fresh processes of each bundle.
    """

    inputs: int
    rounds: int
    starts: int


THOROUGH = Care(inputs=48, rounds=3, starts=2)
QUICK = Care(inputs=16, rounds=3, starts=1)


def footprints(
    bundles: Sequence[tuple[Path, Manifest, Runtime]],
    inputs: Sequence[Any],
    threads: int,
    step: Step,
    care: Care = THOROUGH,
) -> list[Footprint]:
    """The footprint of each bundle.

    Args:
        bundles: folder, manifest and opened runtime of each.
        inputs: what they are timed on; some, spread over all of them, are taken.
        threads: of one computation.
        step: is told of each of the three parts.
        care: how much is measured.
    """
    some = list(inputs)[:: max(1, len(inputs) // care.inputs)][: care.inputs]
    runtimes = [runtime for _, _, runtime in bundles]
    respond(runtimes[0], some[:1])
    # A model that writes takes seconds for an answer: fewer are timed then.
    some = some[
        : max(_FEWEST, int(_LONGEST_SECONDS / (2 * len(runtimes) * care.rounds * _seconds(runtimes[0], some[:1]))))
    ]
    alone = _one_by_one(runtimes, some, care.rounds)
    step.advance()
    together = _together(runtimes, some, care.rounds)
    step.advance()
    starts = _starts([folder for folder, _, _ in bundles], some[0], threads, care.starts)
    step.advance()
    return [
        Footprint(
            size_mb=size_bytes(manifest) / 1e6,
            p50_ms=float(np.percentile(times, 50)) * 1e3,
            p95_ms=float(np.percentile(times, 95)) * 1e3,
            per_second=len(some) / statistics.median(rounds),
            load_ms=statistics.median(start["load_ms"] for start in started),
            peak_memory_mb=statistics.median(start["peak_memory_mb"] for start in started),
        )
        for (_, manifest, _), times, rounds, started in zip(bundles, alone, together, starts, strict=True)
    ]


def size_bytes(manifest: Manifest) -> int:
    """Of the graphs and of what prepares their inputs."""
    needed = {name for graph in manifest.graphs for name in (graph.file, graph.tokenizer, graph.preprocess)}
    return sum(entry.bytes for name, entry in manifest.files.items() if name in needed)


def _one_by_one(runtimes: Sequence[Runtime], inputs: Sequence[Any], rounds: int) -> list[list[float]]:
    """Seconds of every answer of each; the best of a few, since what disturbs a run only ever adds to it."""
    found: list[list[float]] = [[] for _ in runtimes]
    for runtime in runtimes:
        respond(runtime, inputs[:2])
    started = time.monotonic()
    for position, value in enumerate(inputs):
        best = [float("inf")] * len(runtimes)
        for turn in range(rounds):
            for number in _order(len(runtimes), position + turn):
                best[number] = min(best[number], _seconds(runtimes[number], [value]))
        for number, seconds in enumerate(best):
            found[number].append(seconds)
        if time.monotonic() - started > _LONGEST_SECONDS:
            break
    return found


def _together(runtimes: Sequence[Runtime], inputs: Sequence[Any], rounds: int) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in runtimes]
    for turn in range(rounds):
        for number in _order(len(runtimes), turn):
            found[number].append(_seconds(runtimes[number], inputs))
    return found


def _order(count: int, turn: int) -> list[int]:
    """Whoever goes second finds the caches cold: they take turns at that as well."""
    return list(range(count)) if turn % 2 == 0 else list(range(count))[::-1]


def _seconds(runtime: Runtime, inputs: Sequence[Any]) -> float:
    started = time.perf_counter()
    respond(runtime, inputs)
    return time.perf_counter() - started


def _starts(folders: Sequence[Path], value: Any, threads: int, starts: int) -> list[list[dict[str, float]]]:
    """Fresh processes that open a bundle and answer once."""
    found: list[list[dict[str, float]]] = [[] for _ in folders]
    for turn in range(starts):
        for number in _order(len(folders), turn):
            found[number].append(_start(folders[number], value, threads))
    return found


def _start(folder: Path, value: Any, threads: int) -> dict[str, float]:
    command = [sys.executable, "-m", "fewtune.compress.start", str(folder), str(threads)]
    done = subprocess.run(command, input=json.dumps(str(value)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise InternalError(f"A fresh process could not answer: {done.stderr.strip()[-300:]}", where=str(folder))
    return json.loads(done.stdout)
