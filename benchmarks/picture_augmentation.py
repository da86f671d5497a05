"""Whether views of the training pictures pay: every policy beside none, with a head on the frozen network."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from augmentation import paired_mean
from draws import draw

from fewtune import catalog
from fewtune.interfaces import RunContext
from fewtune.ladder import climb
from fewtune.recipe import Recipe
from fewtune.runtime.threads import usable_cores
from fewtune.tasks.image_classification import ImageClassification

SETS = ("hymenoptera", "sign_digits")
PER_CLASS = 8
DRAWS = 5
POLICIES = ("flip", "crop,flip", "rotation", "light", "hue", "erasing", "trivial", "crop,flip,light")


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name in SETS:
            yield {"set": name, "draw": seed}, partial(_measure, data / f"imgcls_{name}", seed)


@cache
def _work() -> tempfile.TemporaryDirectory[str]:
    """Encoded pictures are kept from one measurement to the next."""
    return tempfile.TemporaryDirectory()


def _measure(folder: Path, seed: int) -> dict[str, Any]:
    return {policy: _fit(folder, seed, policy) for policy in ("none", *POLICIES)}


def _fit(folder: Path, seed: int, policy: str) -> dict[str, float]:
    task, recipe = ImageClassification(), Recipe(seed=seed, method="head", augment=policy)
    pairs = [(str(path), path.parent.name) for path in sorted(folder.glob("train/*/*.jpg"))]
    dataset = task.read(draw(pairs, PER_CLASS, seed), recipe, "fit")
    test = task.read(str(folder / "test"), recipe, "evaluate")
    targets = task.targets(test, dataset.labels)
    run = RunContext(Path(_work().name), seed, usable_cores())
    (tuner,) = catalog.find_tuners(recipe, task)
    (candidate,), _ = tuner.candidates(dataset, recipe)
    started = time.perf_counter()
    resampling = task.resample(dataset, run)
    climbed = climb([candidate], dataset, resampling.first(resampling.folds), task, run)
    fitted = candidate.fit(dataset, climbed.winner.trial.settings, run)
    seconds = time.perf_counter() - started
    answers = fitted.reference([example.input for example in test])
    return {
        "accuracy": float((answers.argmax(axis=1) == targets).mean()),
        "log_loss": float(-answers[np.arange(len(targets)), targets].mean()),
        "out_of_fold": climbed.rungs[0].expected_log_loss,
        "seconds": round(seconds, 2),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Points of accuracy, and per cent of log loss, that views bring on test pictures: mean of the draws, interval."""
    lines = [f"{'set':14}{'draws':>6} {'policy':18}{'accuracy, points':>22}{'log loss, %':>22}{'seconds':>9}"]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["key"]["set"]].append(row)
    for name, some in {**groups, "all": rows}.items():
        for policy in POLICIES:
            accuracy = [100 * (row[policy]["accuracy"] - row["none"]["accuracy"]) for row in some]
            loss = [100 * np.log(row[policy]["log_loss"] / row["none"]["log_loss"]) for row in some]
            seconds = float(np.mean([row[policy]["seconds"] - row["none"]["seconds"] for row in some]))
            found = f"{paired_mean(accuracy):>22}{paired_mean(loss):>22}{seconds:9.1f}"
            lines.append(f"{name:14}{len(some):6} {policy:18}{found}")
    return "\n".join(lines)
