"""Do the intervals hold? Fits on draws of few labels, selection included, beside the delivered model's true scores."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import Pairs, read_pairs

from fewtune import catalog
from fewtune.evaluate.intervals import wilson
from fewtune.evaluate.metrics import confusion_matrix, confusion_metrics
from fewtune.interfaces import RunContext
from fewtune.ladder import climb
from fewtune.recipe import Recipe
from fewtune.runtime.threads import usable_cores
from fewtune.tasks.text_classification import TextClassification

SETS = ("sst2", "trec6", "chnsenticorp_htl_zh", "thucnews10_zh", "banking10")
SIZES = (16, 24, 40, 70, 120, 200)
DRAWS = 20
METRICS = ("accuracy", "f1_macro")
METHODS = ("tfidf", "head")
LEVEL = 0.95
# Texts that the true scores are measured on: their own error is small beside any interval's.
_POOL = 3000


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name in SETS:
            for size in SIZES:
                if size >= 2 * _classes(data, name):
                    yield {"set": name, "labels": size, "draw": seed}, partial(_measure, data, name, size, seed)


def _classes(data: Path, name: str) -> int:
    return len({label for _, label in _texts(data, name)})


@cache
def _texts(data: Path, name: str) -> Pairs:
    """All labelled texts of a set, in an order of chance, each once; of Banking77 the first ten intents."""
    folder = data / f"text_{name.replace('banking10', 'banking77')}"
    pairs = list(dict(read_pairs(folder / "train.csv") + read_pairs(folder / "test.csv")).items())
    if name == "banking10":
        kept = sorted({label for _, label in pairs})[:10]
        pairs = [pair for pair in pairs if pair[1] in kept]
    order = np.random.default_rng(0).permutation(len(pairs))
    return [pairs[i] for i in order]


def draw_and_rest(pairs: Pairs, size: int, seed: int) -> tuple[Pairs, Pairs]:
    """`size` examples for training, and others of the same kind.

    Even seeds draw as many of each class, and so are the others; odd ones draw examples as they come,
    and a class that came only once is not there at all.
    """
    generator = np.random.default_rng(seed)
    mixed = [pairs[i] for i in generator.permutation(len(pairs))]
    labels = sorted({label for _, label in pairs})
    if seed % 2 == 0:
        by_class = [[pair for pair in mixed if pair[1] == label] for label in labels]
        each, fewest = size // len(labels), min(map(len, by_class))
        return [pair for some in by_class for pair in some[:each]], [
            pair for some in by_class for pair in some[each:fewest]
        ]
    counts = Counter(label for _, label in mixed[:size])
    known = {label for label, count in counts.items() if count > 1}
    return [pair for pair in mixed[:size] if pair[1] in known], [pair for pair in mixed[size:] if pair[1] in known]


def _measure(data: Path, name: str, size: int, seed: int) -> dict[str, Any]:
    drawn, rest = draw_and_rest(_texts(data, name), size, seed)
    chosen = np.random.default_rng(seed).permutation(len(rest))[:_POOL]
    return scores_and_truth(drawn, [rest[i] for i in chosen], seed)


def scores_and_truth(drawn: Pairs, rest: Pairs, seed: int) -> dict[str, Any]:
    """Fit on the drawn texts, score as `fit` does, and score what is delivered on the rest."""
    task = TextClassification()
    dataset = task.read(drawn, Recipe(), "fit")
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        (work / "features").symlink_to(_features(), target_is_directory=True)
        run = RunContext(work, seed, usable_cores(), budget_seconds=1e6)
        candidates = [
            candidate
            for method in METHODS
            for tuner in catalog.find_tuners(Recipe(method=method), task)
            for candidate in tuner.candidates(dataset, Recipe(method=method))[0]
        ]
        climbed = climb(candidates, dataset, task.resample(dataset, run), task, run)
        winner = climbed.winner
        fitted = winner.candidate.fit(dataset, winner.trial.settings, run)
        scores = task.score(
            dataset,
            dataset.labels,
            winner.trial.log_probs,
            winner.resampling.groups,
            how="",
            optimism=climbed.optimism,
            out_of_fold=True,
        )
        test = task.read(rest, Recipe(), "evaluate")
        predicted = fitted.reference([example.input for example in test]).argmax(axis=1)
    targets = task.targets(test, dataset.labels)
    truth = confusion_metrics(confusion_matrix(targets, predicted, len(dataset.labels)))
    found = {metric: scores[metric] for metric in METRICS}
    return {
        "taken": winner.candidate.name,
        "truth": {metric: truth[metric] for metric in METRICS},
        "value": {metric: score.value for metric, score in found.items()},
        "low": {metric: score.low for metric, score in found.items()},
        "high": {metric: score.high for metric, score in found.items()},
        "n": found["accuracy"].n,
    }


@cache
def _features() -> Path:
    """Features of all fits of this benchmark: each text is encoded once."""
    place = Path(__file__).parent / "results" / "features"
    place.mkdir(parents=True, exist_ok=True)
    return place


def table(rows: list[dict[str, Any]]) -> str:
    """Share of the fits whose interval holds the truth, and the intervals' mean width beside Wilson's."""
    lines = [f"{'':28}{'metric':>10}{'fits':>6}{'holds':>8}{'width/Wilson':>14}{'bias':>8}"]
    by: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by["all"].append(row)
        by[row["key"]["set"]].append(row)
        by[f"{row['key']['labels']} labels"].append(row)
    for metric in METRICS:
        for name, some in by.items():
            holds = np.mean([row["low"][metric] <= row["truth"][metric] <= row["high"][metric] for row in some])
            bias = np.mean([row["value"][metric] - row["truth"][metric] for row in some])
            lines.append(f"{name:28}{metric:>10}{len(some):6}{holds:8.3f}{_width(some, metric):14.2f}{bias:+8.3f}")
    return "\n".join(lines)


def _width(rows: Sequence[dict[str, Any]], metric: str) -> float:
    """Mean width of the intervals, over that of Wilson's for a proportion of the same value and n."""
    ours = [row["high"][metric] - row["low"][metric] for row in rows]
    plain = [wilson(row["value"][metric], row["n"], LEVEL) for row in rows]
    return float(np.mean(ours) / np.mean([high - low for low, high in plain if low is not None and high is not None]))
