"""Accuracy on the sets' own test files, of every rung and of the one that the ladder takes."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import draw, read_pairs

from fewtune import catalog
from fewtune.interfaces import RunContext
from fewtune.ladder import climb
from fewtune.recipe import Recipe
from fewtune.runtime.threads import usable_cores
from fewtune.tasks.text_classification import TextClassification

SETTINGS = [
    ("trec6", 8),
    ("trec6", 64),
    ("sst2", 8),
    ("sst2", 64),
    ("banking77", 8),
    ("chnsenticorp_htl_zh", 64),
    ("thucnews10_zh", 64),
    ("chnsenticorp_htl_zh", 8),
    ("thucnews10_zh", 8),
]
DRAWS = 5
BUDGET_SECONDS = 300.0
# Texts of the test file, evenly from all of it, that every rung answers; its time is not counted.
MOST_TESTED = 1_000


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    # Draw by draw, so that a benchmark that is stopped early has seen every set.
    for seed in range(1 if quick else DRAWS):
        for name, per_class in SETTINGS:
            key = {"set": name, "per_class": per_class, "draw": seed}
            yield key, partial(_measure, data / f"text_{name}", per_class, seed)


def _measure(folder: Path, per_class: int, seed: int) -> dict[str, Any]:
    task = TextClassification()
    recipe = Recipe(seed=seed)
    dataset = task.read(draw(read_pairs(folder / "train.csv"), per_class, seed), recipe, "fit")
    pairs = read_pairs(folder / "test.csv")
    test = task.read(pairs[:: -(-len(pairs) // MOST_TESTED)], recipe, "evaluate")
    targets = task.targets(test, dataset.labels)
    texts = [example.input for example in test]
    with tempfile.TemporaryDirectory() as place:
        run = RunContext(Path(place), seed, usable_cores(), budget_seconds=BUDGET_SECONDS)
        offers = [tuner.candidates(dataset, recipe) for tuner in catalog.find_tuners(recipe, task)]
        candidates = {candidate.name: candidate for found, _ in offers for candidate in found}
        climbed = climb(list(candidates.values()), dataset, task.resample(dataset, run), task, run)
        winner = climbed.winner
        taken = winner.candidate.fit(dataset, winner.trial.settings, run)
        seconds = run.journal.elapsed
        # Every single rung is fitted too, to know what the best one would have been.
        fitted = {winner.candidate.name: taken}
        for rung in climbed.rungs:
            if rung.name in candidates and rung.name not in fitted:
                fitted[rung.name] = candidates[rung.name].fit(dataset, rung.settings, run)
        answers = {name: some.reference(texts) for name, some in fitted.items()}
    return {
        "accuracy": {name: float((some.argmax(axis=1) == targets).mean()) for name, some in answers.items()},
        "log_loss": {name: float(-some[np.arange(len(targets)), targets].mean()) for name, some in answers.items()},
        "out_of_fold": {rung.name: rung.scores["accuracy"].value for rung in climbed.rungs},
        "expected_log_loss": {rung.name: rung.expected_log_loss for rung in climbed.rungs},
        "settings": {rung.name: dict(rung.settings) for rung in climbed.rungs if rung.name in candidates},
        "rung_seconds": {rung.name: [rung.predicted_seconds, round(rung.seconds, 2)] for rung in climbed.rungs},
        "left_out": {some.name: some.why for some in climbed.left_out},
        "auto": winner.candidate.name,
        "tune_seconds": round(taken.seconds, 2),
        "seconds": round(seconds, 2),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean accuracy over the draws; `head` is the encoder that the folds choose, `best` the best with hindsight."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["key"]["set"], row["key"]["per_class"]].append(row)
    lines = [f"{'set':24}{'labels':>7}{'draws':>6}{'head':>8}{'auto':>8}{'best':>8}{'gap':>7}  rungs"]
    gaps = []
    for (name, per_class), some in groups.items():
        rungs = sorted({rung for row in some for rung in row["settings"]})
        # A rung that was left out of a draw is not known there, and so is not the best one with hindsight.
        means = {
            rung: float(np.mean([row["accuracy"][rung] for row in some]))
            for rung in rungs
            if all(rung in row["accuracy"] for row in some)
        }
        best = max(means.values())
        auto = float(np.mean([row["accuracy"][row["auto"]] for row in some]))
        head = float(np.mean([row["accuracy"][_best_head(row)] for row in some]))
        gaps.append(best - auto)
        each = ", ".join(f"{rung} {mean:.3f}" for rung, mean in means.items())
        lines.append(f"{name:24}{per_class:7}{len(some):6}{head:8.3f}{auto:8.3f}{best:8.3f}{best - auto:7.3f}  {each}")
    over = [row["seconds"] / BUDGET_SECONDS for row in rows]
    errors = [abs(took / foreseen - 1) for row in rows for foreseen, took in row["rung_seconds"].values() if foreseen]
    lines.append(f"foreseen seconds of a rung: median error {np.median(errors):.0%}, worst {max(errors):.0%}")
    lines.append(f"share of the budget used: median {np.median(over):.0%}, most {max(over):.0%}")
    lines.append(f"auto below the best single rung: mean {np.mean(gaps):.3f}, worst {max(gaps):.3f}")
    return "\n".join(lines)


def _best_head(row: dict[str, Any]) -> str:
    losses = {
        name: loss
        for name, loss in row["expected_log_loss"].items()
        if name.startswith("head") and name in row["accuracy"] and " + " not in name
    }
    return min(losses, key=lambda name: losses[name])
