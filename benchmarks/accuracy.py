"""Accuracy on the sets' own test files, of every rung and of the one that the ladder takes."""

from __future__ import annotations

import time
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

SETTINGS = [
    ("sst2", 8),
    ("sst2", 64),
    ("trec6", 8),
    ("trec6", 64),
    ("chnsenticorp_htl_zh", 8),
    ("chnsenticorp_htl_zh", 64),
    ("thucnews10_zh", 8),
    ("thucnews10_zh", 64),
    ("banking77", 8),
]
DRAWS = 5
# Frozen features of the test files are the same for every draw; they are kept between measurements.
CACHE = Path(__file__).parent / "results" / "cache"


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for name, per_class in SETTINGS:
        for seed in range(1 if quick else DRAWS):
            key = {"set": name, "per_class": per_class, "draw": seed}
            yield key, partial(_measure, data / f"text_{name}", per_class, seed)


def _measure(folder: Path, per_class: int, seed: int) -> dict[str, Any]:
    task = catalog.find_task("auto")
    recipe = Recipe(seed=seed)
    dataset = task.read(draw(read_pairs(folder / "train.csv"), per_class, seed), recipe, "fit")
    test = task.read(read_pairs(folder / "test.csv"), recipe, "evaluate")
    run = RunContext(CACHE, seed, usable_cores())
    offers = [tuner.candidates(dataset, recipe) for tuner in catalog.find_tuners(recipe, task)]
    candidates = [candidate for found, _ in offers for candidate in found]
    started = time.monotonic()
    climbed = climb(candidates, dataset, task.resample(dataset, run), task, run, deadline=started + 300)
    seconds = time.monotonic() - started
    targets = task.targets(test, dataset.labels)
    texts = [example.input for example in test]
    accuracies, losses = {}, {}
    for candidate, rung in zip(candidates, climbed.rungs, strict=True):
        log_probs = candidate.fit(dataset, rung.settings, run).reference(texts)
        accuracies[rung.name] = float((log_probs.argmax(axis=1) == targets).mean())
        losses[rung.name] = float(-log_probs[np.arange(len(targets)), targets].mean())
    return {
        "accuracy": accuracies,
        "log_loss": losses,
        "out_of_fold": {rung.name: rung.scores["accuracy"].value for rung in climbed.rungs},
        "out_of_fold_log_loss": {rung.name: rung.expected_log_loss for rung in climbed.rungs},
        "settings": {rung.name: dict(rung.settings) for rung in climbed.rungs},
        "auto": climbed.winner.name,
        "seconds_with_cache": round(seconds, 2),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean accuracy over the draws; `head` is the encoder that the folds choose, `best` the best with hindsight."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["key"]["set"], row["key"]["per_class"]].append(row)
    lines = [f"{'set':24}{'labels':>7}{'draws':>6}{'head':>8}{'auto':>8}{'best':>8}{'gap':>7}  rungs"]
    gaps = []
    for (name, per_class), some in groups.items():
        means = {rung: float(np.mean([row["accuracy"][rung] for row in some])) for rung in some[0]["accuracy"]}
        best = max(means.values())
        auto = float(np.mean([row["accuracy"][row["auto"]] for row in some]))
        head = float(np.mean([row["accuracy"][_best_head(row)] for row in some]))
        gaps.append(best - auto)
        each = ", ".join(f"{rung} {mean:.3f}" for rung, mean in means.items())
        lines.append(f"{name:24}{per_class:7}{len(some):6}{head:8.3f}{auto:8.3f}{best:8.3f}{best - auto:7.3f}  {each}")
    lines.append(f"auto below the best single rung: mean {np.mean(gaps):.3f}, worst {max(gaps):.3f}")
    return "\n".join(lines)


def _best_head(row: dict[str, Any]) -> str:
    losses = {name: loss for name, loss in row["out_of_fold_log_loss"].items() if name.startswith("head")}
    return min(losses, key=lambda name: losses[name])
