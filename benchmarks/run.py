"""Measure fewtune: accuracy by rung, speed beside its peers, growth with the number of rows, resumption, serving.

    python benchmarks/run.py                 everything; continues where it was stopped
    python benchmarks/run.py accuracy --quick    one draw
    python benchmarks/run.py accuracy --only set=trec6 draw=0    the rows whose key says so

Results are JSON lines under benchmarks/results/ (or --results DIR), each with the commit it was measured at;
a measurement that is there already at this commit (--any-commit: at whichever) is not made again.
Data: --data DIR or FEWTUNE_DATA, folders text_<name> with train.csv and test.csv, imgcls_<name> with train/<class>
and test/<class>, det_bccd with train.json and test.json, seg_camvid with train.txt and test.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import accuracy
import advice
import answers
import attacks
import augmentation
import causal
import compression
import coverage
import curve
import detection
import generation
import label_errors
import label_names
import peers
import picture_augmentation
import pictures
import resume
import scale
import search
import segmentation
import serve
import speed
import studio
import suggest
import threads
import translation
import trunk
import unlabeled
import views

HERE = Path(__file__).parent
Measurement = tuple[dict[str, Any], Callable[[], dict[str, Any]]]
SUITES: dict[str, Callable[[Path, bool], Iterator[Measurement]]] = {
    "accuracy": accuracy.measurements,
    "label_errors": label_errors.measurements,
    "label_names": label_names.measurements,
    "curve": curve.measurements,
    "coverage": coverage.measurements,
    "answers": answers.measurements,
    "advice": advice.measurements,
    "augmentation": augmentation.measurements,
    "picture_augmentation": picture_augmentation.measurements,
    "views": views.measurements,
    "attacks": attacks.measurements,
    "speed": speed.measurements,
    "suggest": suggest.measurements,
    "scale": scale.measurements,
    "search": search.measurements,
    "peers": peers.measurements,
    "pictures": pictures.measurements,
    "detection": detection.measurements,
    "segmentation": segmentation.measurements,
    "compression": compression.measurements,
    "causal": causal.measurements,
    "generation": generation.measurements,
    "translation": translation.measurements,
    "threads": threads.measurements,
    "trunk": trunk.measurements,
    "unlabeled": unlabeled.measurements,
    "resume": resume.measurements,
    "serve": serve.measurements,
    "studio": studio.measurements,
}
TABLES: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "accuracy": accuracy.table,
    "label_errors": label_errors.table,
    "label_names": label_names.table,
    "curve": curve.table,
    "coverage": coverage.table,
    "answers": answers.table,
    "advice": advice.table,
    "augmentation": augmentation.table,
    "picture_augmentation": picture_augmentation.table,
    "views": views.table,
    "attacks": attacks.table,
    "speed": speed.table,
    "suggest": suggest.table,
    "scale": scale.table,
    "search": search.table,
    "peers": peers.table,
    "pictures": pictures.table,
    "detection": detection.table,
    "segmentation": segmentation.table,
    "compression": compression.table,
    "causal": causal.table,
    "generation": generation.table,
    "translation": translation.table,
    "threads": threads.table,
    "trunk": trunk.table,
    "unlabeled": unlabeled.table,
    "resume": resume.table,
    "serve": serve.table,
    "studio": studio.table,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of: {', '.join(SUITES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="one draw of the smaller settings")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEWTUNE_DATA", HERE.parents[1] / "shared/data"))
    )
    parser.add_argument("--results", type=Path, default=HERE / "results", metavar="DIR", help="where results are kept")
    parser.add_argument("--any-commit", action="store_true", help="what was measured at another commit counts as well")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="KEY=VALUE", help="rows whose key has these values, and no others"
    )
    arguments = parser.parse_args()
    if unclear := [pair for pair in arguments.only if "=" not in pair]:
        parser.error(f"--only {unclear[0]}: KEY=VALUE is asked for, as set=trec6")
    wanted = dict(pair.split("=", 1) for pair in arguments.only)
    if len(wanted) < len(arguments.only):
        parser.error("--only names a key twice: one value each; run it once for each value")
    if unknown := set(arguments.suites) - set(SUITES):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    if not arguments.data.is_dir():
        parser.exit(
            0, f"There is no data at {arguments.data}: give --data DIR or FEWTUNE_DATA. Nothing was measured.\n"
        )
    for suite in arguments.suites or SUITES:
        results = arguments.results / f"{suite}.jsonl"
        measurements = _asked(SUITES[suite](arguments.data.resolve(), arguments.quick), wanted)
        rows = list(_run(measurements, results, arguments.any_commit))
        if not rows:
            if arguments.suites:
                parser.error(f"{suite} has no row with {' '.join(arguments.only) or 'what is installed here'}")
            continue
        print(f"\n{TABLES[suite](rows)}", flush=True)


def _asked(measurements: Iterator[Measurement], wanted: dict[str, str]) -> Iterator[Measurement]:
    for key, measure in measurements:
        if all(name in key and str(key[name]) == value for name, value in wanted.items()):
            yield key, measure


def _run(measurements: Iterator[Measurement], results: Path, any_commit: bool) -> Iterator[dict[str, Any]]:
    results.parent.mkdir(parents=True, exist_ok=True)
    commit = _commit()
    known = _known(results, None if any_commit else commit)
    for key, measure in measurements:
        name = json.dumps(key, sort_keys=True)
        if name not in known:
            row = {"key": key, **measure(), "commit": commit}
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            print(json.dumps(row, ensure_ascii=False), flush=True)
            known[name] = row
        yield known[name]


def _known(results: Path, commit: str | None) -> dict[str, dict[str, Any]]:
    if not results.is_file():
        return {}
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return {json.dumps(row["key"], sort_keys=True): row for row in rows if commit in (None, row["commit"])}


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
