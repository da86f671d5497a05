"""Pictures: accuracy by method on the sets' own test folders, and pictures a second beside plain PyTorch.

`plain` is what one writes by hand: pooled features of the frozen network, logistic regression at its
defaults. `head` chooses its settings by folds; `partial` is tuned once, at its defaults; `auto` is what
`fewtune fit` delivers within its budget.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import draw

from fewtune import catalog
from fewtune.backbones.vision import VisionBackbone
from fewtune.interfaces import Candidate, RunContext
from fewtune.ladder import climb
from fewtune.recipe import Recipe
from fewtune.runtime.threads import usable_cores
from fewtune.tasks.image_classification import ImageClassification
from fewtune.types import Dataset, FloatArray

# 0: all there are; then there is but one draw.
SETTINGS = [("sign_digits", 8), ("hymenoptera", 8), ("hymenoptera", 0), ("sign_digits", 64)]
METHODS = ("plain", "head", "partial", "auto")
DRAWS = 5
BUDGET_SECONDS = 300.0
NETWORK = "efficientnet-lite0"
_TIMED_PICTURES = 64
_PLAIN_BATCH = 16


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    yield {"speed": NETWORK}, partial(_speed, data / "imgcls_hymenoptera" / "test")
    for seed in range(1 if quick else DRAWS):
        for name, per_class in SETTINGS:
            for method in METHODS[: 3 if quick else None]:
                if per_class or not seed:
                    key = {"set": name, "per_class": per_class, "draw": seed, "method": method}
                    yield key, partial(_measure, data / f"imgcls_{name}", per_class, seed, method)


def _measure(folder: Path, per_class: int, seed: int, method: str) -> dict[str, Any]:
    task, recipe = ImageClassification(), Recipe(seed=seed)
    pairs = [(str(path), path.parent.name) for path in sorted(folder.glob("train/*/*.jpg"))]
    dataset = task.read(draw(pairs, per_class, seed) if per_class else pairs, recipe, "fit")
    test = task.read(str(folder / "test"), recipe, "evaluate")
    with tempfile.TemporaryDirectory() as place:
        run = RunContext(Path(place), seed, usable_cores(), budget_seconds=BUDGET_SECONDS)
        started = time.monotonic()
        answers, taken = _answers(method, dataset, [example.input for example in test], run)
        seconds = time.monotonic() - started
    right = answers.argmax(axis=1) == task.targets(test, dataset.labels)
    return {"accuracy": float(right.mean()), "taken": taken, "seconds": round(seconds, 1)}


def _answers(method: str, dataset: Dataset, paths: list[str], run: RunContext) -> tuple[FloatArray, str]:
    """(n, classes) of the test pictures, and the name and settings of what gave them."""
    if method == "plain":
        return _plain(dataset, paths, run), "logistic regression"
    task, recipe = ImageClassification(), Recipe(method=method, seed=run.seed)
    candidates: list[Candidate] = []
    for tuner in catalog.find_tuners(recipe, task):
        candidates += tuner.candidates(dataset, recipe)[0]
    if method == "partial":
        # Its folds would choose when to stop, and change little else.
        return candidates[0].fit(dataset, {"stop": 1.0}, run).reference(paths), candidates[0].name
    winner = climb(candidates, dataset, task.resample(dataset, run), task, run).winner
    fitted = winner.candidate.fit(dataset, winner.trial.settings, run)
    return fitted.reference(paths), f"{winner.candidate.name} {dict(winner.trial.settings)}"


def _plain(dataset: Dataset, paths: list[str], run: RunContext) -> FloatArray:
    import torch
    from sklearn.linear_model import LogisticRegression

    network = catalog.networks()[NETWORK]

    def encode(some: list[str]) -> FloatArray:
        batches = [some[start : start + _PLAIN_BATCH] for start in range(0, len(some), _PLAIN_BATCH)]
        with torch.no_grad():
            return np.concatenate([network.network(_pixels(network, batch)).numpy() for batch in batches])

    torch.set_num_threads(run.threads)
    model = LogisticRegression(max_iter=1000)
    model.fit(encode([example.input for example in dataset]), [example.target for example in dataset])
    return np.asarray(model.predict_proba(encode(paths)))


def _pixels(network: VisionBackbone, paths: list[str]) -> Any:
    import torch

    return torch.from_numpy(network.preprocess.pixels([network.preprocess.square(path) for path in paths]))


def _speed(folder: Path) -> dict[str, Any]:
    """Decoding left out, for both: the median of three rounds, taken in turns."""
    import torch

    network, threads = catalog.networks()[NETWORK], usable_cores()
    torch.set_num_threads(threads)
    paths = [str(path) for path in sorted(folder.glob("*/*.jpg"))[:_TIMED_PICTURES]]
    squares = [network.preprocess.square(path) for path in paths]
    pixels = torch.from_numpy(network.preprocess.pixels(squares))
    plain, ours = [], []
    network.features(squares[:8], threads=threads)
    with torch.no_grad():
        network.network(pixels[:_PLAIN_BATCH])
        for _ in range(3):
            started = time.perf_counter()
            for batch in pixels.split(_PLAIN_BATCH):
                network.network(batch)
            plain.append(len(paths) / (time.perf_counter() - started))
            started = time.perf_counter()
            network.features(squares, threads=threads)
            ours.append(len(paths) / (time.perf_counter() - started))
    found = {"plain_per_second": float(np.median(plain)), "ours_per_second": float(np.median(ours))}
    return {name: round(value, 1) for name, value in found.items()}


def table(rows: list[dict[str, Any]]) -> str:
    """Mean accuracy over the draws, by method."""
    groups: dict[tuple[str, int], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    lines = []
    for row in rows:
        if "speed" in row["key"]:
            ours, plain = row["ours_per_second"], row["plain_per_second"]
            lines.append(f"pictures a second: {ours:.0f}, plain PyTorch {plain:.0f}, ratio {ours / plain:.1f}")
        else:
            groups[row["key"]["set"], row["key"]["per_class"]][row["key"]["method"]].append(row)
    lines.append(f"{'set':14}{'labels':>7}{'draws':>6}" + "".join(f"{method:>9}{'s':>6}" for method in METHODS))
    for (name, per_class), by_method in groups.items():
        draws = max(len(some) for some in by_method.values())
        cells = [
            f"{np.mean([row['accuracy'] for row in some]):9.3f}{np.mean([row['seconds'] for row in some]):6.0f}"
            if (some := by_method.get(method))
            else f"{'-':>9}{'-':>6}"
            for method in METHODS
        ]
        lines.append(f"{name:14}{per_class or 'all':>7}{draws:6}" + "".join(cells))
    return "\n".join(lines)
