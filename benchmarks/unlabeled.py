"""What 2,000 unlabelled texts, or pictures, bring beside 8 labels a class: the frozen rungs with them and without."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from augmentation import paired_mean
from draws import Pairs, draw, read_pairs

from fewtune import catalog
from fewtune.interfaces import ClassifierTask, RunContext
from fewtune.label.unlabelled import with_unlabelled
from fewtune.ladder import climb
from fewtune.recipe import Recipe
from fewtune.runtime.threads import usable_cores
from fewtune.tasks.image_classification import ImageClassification
from fewtune.tasks.text_classification import TextClassification
from fewtune.types import Dataset

SETS = ("trec6", "sst2", "chnsenticorp_htl_zh", "thucnews10_zh", "banking77_10", "banking77")
PER_CLASS = 8
PICTURE_SETS = ("hymenoptera", "sign_digits")
POOL, TEST = 2000, 500
DRAWS = 5


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name in SETS:
            yield {"set": name, "draw": seed}, partial(_of_texts, data, name, seed)
        for name in PICTURE_SETS:
            yield {"set": name, "draw": seed}, partial(_of_pictures, data / f"imgcls_{name}", seed)


def _of_texts(data: Path, name: str, seed: int) -> dict[str, Any]:
    train, test = (pairs_of(data, name, part, size, seed) for part, size in (("train", POOL), ("test", TEST)))
    return _measure(train, test, TextClassification(), Recipe(method="head", augment="none", seed=seed))


def _of_pictures(folder: Path, seed: int) -> dict[str, Any]:
    train, test = (
        [(str(path), path.parent.name) for path in sorted(folder.glob(f"{part}/*/*.jpg"))] for part in ("train", "test")
    )
    return _measure(train, test, ImageClassification(), Recipe(method="head", seed=seed))


def _measure(train: Pairs, test: Pairs, task: ClassifierTask, recipe: Recipe) -> dict[str, Any]:
    labelled = draw(train, PER_CLASS, recipe.seed)
    left = sorted({one for one, _ in train} - {one for one, _ in labelled})
    pool = [left[i] for i in np.random.default_rng([recipe.seed, 4]).permutation(len(left))[:POOL]]
    tested, plain = task.read(test, recipe, "evaluate"), task.read(labelled, recipe, "fit")
    beside, _ = with_unlabelled(plain, tested, pool, task, recipe, np.random.default_rng(recipe.seed))
    return {"without": _fit(plain, tested, task, recipe), "with": _fit(beside, tested, task, recipe)}


def pairs_of(data: Path, name: str, part: str, size: int, seed: int) -> Pairs:
    pairs = read_pairs(data / f"text_{name.removesuffix('_10')}" / f"{part}.csv")
    if name.endswith("_10"):
        labels = sorted({label for _, label in pairs})
        ten = set(np.random.default_rng([seed, 2]).permutation(labels)[:10].tolist())
        pairs = [pair for pair in pairs if pair[1] in ten]
    # Of large files the same rows are drawn from in every draw: they are encoded once.
    return pairs[:: max(1, len(pairs) // (2 * size))] if part == "train" else pairs[:: max(1, len(pairs) // size)]


def _fit(dataset: Dataset, test: Dataset, task: ClassifierTask, recipe: Recipe) -> dict[str, Any]:
    """What the ladder of frozen rungs takes, on the test data."""
    run = RunContext(Path(__file__).parent / "results" / "encoded", recipe.seed, usable_cores())
    (tuner,) = catalog.find_tuners(recipe, task)
    candidates, _ = tuner.candidates(dataset, recipe)
    started = time.perf_counter()
    resampling = task.resample(dataset, run)
    climbed = climb(candidates, dataset, resampling.first(resampling.folds), task, run)
    fitted = climbed.winner.candidate.fit(dataset, climbed.winner.trial.settings, run)
    seconds = time.perf_counter() - started
    answers = fitted.reference([example.input for example in test])
    targets = task.targets(test, dataset.labels)
    return {
        "rung": climbed.rungs[climbed.winner.place].name,
        "accuracy": float((answers.argmax(axis=1) == targets).mean()),
        "log_loss": float(-answers[np.arange(len(targets)), targets].mean()),
        "rungs": {rung.name: rung.expected_log_loss for rung in climbed.rungs},
        "seconds": round(seconds, 1),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Accuracy on test texts without and with, the difference in points, and in per cent of log loss."""
    lines = [f"{'set':22}{'draws':>6}{'without':>9}{'with':>7}{'accuracy, points':>22}{'log loss, %':>22}{'kept':>6}"]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["key"]["set"]].append(row)
    means: list[float] = []
    for name, some in groups.items():
        without, beside = (np.array([row[how]["accuracy"] for row in some]) for how in ("without", "with"))
        loss = [100 * np.log(row["with"]["log_loss"] / row["without"]["log_loss"]) for row in some]
        kept = sum("with unlabelled" in row["with"]["rung"] for row in some)
        gains = (100 * (beside - without)).tolist()
        means.append(float(np.mean(gains)))
        lines.append(
            f"{name:22}{len(some):6}{without.mean():9.3f}{beside.mean():7.3f}{paired_mean(gains):>22}"
            f"{paired_mean(loss):>22}{kept:6}"
        )
    lines.append(f"{'mean of the sets':44}{np.mean(means):+22.1f}")
    return "\n".join(lines)
