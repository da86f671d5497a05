"""What 2,000 unlabelled texts, or pictures, bring beside 8 labels a class.

The ladder of the frozen rungs with them and without; and contrastive tuning of one encoder with them and without, at
fixed hyper-parameters of the head, so that nothing is chosen.
"""

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
from fewtune.tune.contrastive import SHARE
from fewtune.types import Dataset, FloatArray

SETS = ("trec6", "sst2", "chnsenticorp_htl_zh", "thucnews10_zh", "banking77_10", "banking77")
PER_CLASS = 8
PICTURE_SETS = ("hymenoptera", "sign_digits")
# What is tuned contrastively, a minute or more each: with an encoder that reads them.
TUNED = {
    "trec6": "all-MiniLM-L6-v2",
    "sst2": "all-MiniLM-L6-v2",
    "banking77_10": "all-MiniLM-L6-v2",
    "chnsenticorp_htl_zh": "multilingual-e5-small",
}
TUNED_SETTINGS = {"stop": 1.0, "C": 3.0, "label_names": 3.0}
POOL, TEST = 2000, 500
DRAWS = 5


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name in SETS:
            yield {"set": name, "draw": seed}, partial(_of_texts, data, name, seed)
        for name, model in TUNED.items():
            yield {"set": name, "draw": seed, "tuned": model}, partial(_of_tuned_texts, data, name, model, seed)
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


def _of_tuned_texts(data: Path, name: str, model: str, seed: int) -> dict[str, Any]:
    train, test = (pairs_of(data, name, part, size, seed) for part, size in (("train", POOL), ("test", TEST)))
    recipe = Recipe(method="contrastive", model=model, augment="none", seed=seed, settings=TUNED_SETTINGS)
    task = TextClassification()
    plain, beside, tested = _read(train, test, task, recipe)
    return {
        "without": _fit_tuned(plain, tested, task, recipe, {"unlabeled": 0.0}),
        "with": _fit_tuned(beside, tested, task, recipe, {"unlabeled": SHARE}),
    }


def _measure(train: Pairs, test: Pairs, task: ClassifierTask, recipe: Recipe) -> dict[str, Any]:
    plain, beside, tested = _read(train, test, task, recipe)
    return {"without": _fit(plain, tested, task, recipe), "with": _fit(beside, tested, task, recipe)}


def _read(train: Pairs, test: Pairs, task: ClassifierTask, recipe: Recipe) -> tuple[Dataset, Dataset, Dataset]:
    """What is labelled, the same with what is unlabelled, and the test data."""
    labelled = draw(train, PER_CLASS, recipe.seed)
    left = sorted({one for one, _ in train} - {one for one, _ in labelled})
    pool = [left[i] for i in np.random.default_rng([recipe.seed, 4]).permutation(len(left))[:POOL]]
    tested, plain = task.read(test, recipe, "evaluate"), task.read(labelled, recipe, "fit")
    beside, _ = with_unlabelled(plain, tested, pool, task, recipe, np.random.default_rng(recipe.seed))
    return plain, beside, tested


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
    return {
        "rung": climbed.rungs[climbed.winner.place].name,
        **_scored(answers, test, dataset, task),
        "rungs": {rung.name: rung.expected_log_loss for rung in climbed.rungs},
        "seconds": round(seconds, 1),
    }


def _fit_tuned(
    dataset: Dataset, test: Dataset, task: ClassifierTask, recipe: Recipe, more: dict[str, float]
) -> dict[str, Any]:
    """One tuned rung, on the test data."""
    run = RunContext(Path(__file__).parent / "results" / "encoded", recipe.seed, usable_cores())
    settings = {**recipe.settings, **more}
    (tuner,) = catalog.find_tuners(recipe, task)
    (candidate,), _ = tuner.candidates(dataset, recipe.model_copy(update={"settings": settings}))
    started = time.perf_counter()
    fitted = candidate.fit(dataset, settings, run)
    seconds = time.perf_counter() - started
    answers = fitted.reference([example.input for example in test])
    return {"rung": candidate.name, **_scored(answers, test, dataset, task), "seconds": round(seconds, 1)}


def _scored(answers: FloatArray, test: Dataset, dataset: Dataset, task: ClassifierTask) -> dict[str, float]:
    targets = task.targets(test, dataset.labels)
    return {
        "accuracy": float((answers.argmax(axis=1) == targets).mean()),
        "log_loss": float(-answers[np.arange(len(targets)), targets].mean()),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Accuracy on test data without and with, the difference in points, and in per cent of log loss."""
    lines = [f"{'set':32}{'draws':>6}{'without':>9}{'with':>7}{'accuracy, points':>22}{'log loss, %':>22}{'kept':>6}"]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[f"{row['key']['set']}{', tuned' * ('tuned' in row['key'])}"].append(row)
    means: dict[bool, list[float]] = defaultdict(list)
    for name, some in groups.items():
        without, beside = (np.array([row[how]["accuracy"] for row in some]) for how in ("without", "with"))
        loss = [100 * np.log(row["with"]["log_loss"] / row["without"]["log_loss"]) for row in some]
        kept = sum("with unlabelled" in row["with"]["rung"] for row in some)
        gains = (100 * (beside - without)).tolist()
        means[name.endswith("tuned")].append(float(np.mean(gains)))
        lines.append(
            f"{name:32}{len(some):6}{without.mean():9.3f}{beside.mean():7.3f}{paired_mean(gains):>22}"
            f"{paired_mean(loss):>22}{kept:6}"
        )
    for tuned, some in means.items():
        lines.append(f"{'mean of the sets' + ', tuned' * tuned:54}{np.mean(some):+22.1f}")
    return "\n".join(lines)
