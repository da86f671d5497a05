"""A causal language model that sorts texts, beside the frozen encoders, on the sets' own test files."""

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

SETTINGS = [("sst2", 8), ("trec6", 8), ("sst2", 64), ("trec6", 64)]
DRAWS = 5
MODELS = ("smollm2-135m", "all-MiniLM-L6-v2", "multilingual-e5-small")


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    with tempfile.TemporaryDirectory() as place:  # each text is read once, whatever the draw
        for name, per_class in SETTINGS:
            for seed in range(1 if quick else DRAWS):
                for model in MODELS:
                    key = {"set": name, "per_class": per_class, "draw": seed, "model": model}
                    folder = data / f"text_{name}"
                    yield key, partial(_measure, folder, per_class, seed, model, Path(place))


def _measure(folder: Path, per_class: int, seed: int, model: str, place: Path) -> dict[str, Any]:
    """The rung as the folds choose its head, and for the language model the untaught answer too."""
    task = TextClassification()
    causal = model in catalog.language_models()
    recipe = Recipe(seed=seed, model=model, method="prompt" if causal else "head")
    dataset = task.read(draw(read_pairs(folder / "train.csv"), per_class, seed), recipe, "fit")
    test = task.read(read_pairs(folder / "test.csv"), recipe, "evaluate")
    targets = task.targets(test, dataset.labels)
    run = RunContext(place, seed, usable_cores())
    (tuner,) = catalog.find_tuners(recipe, task)
    (candidate, *_), _ = tuner.candidates(dataset, recipe)
    climbed = climb([candidate], dataset, task.resample(dataset, run), task, run)
    settings = {"chosen": dict(climbed.winner.trial.settings)}
    if causal:
        settings |= {"untaught": {"C": 1.0, "untaught": 1}, "taught": {"C": 10.0, "untaught": 0}}
    found: dict[str, Any] = {"settings": settings["chosen"]}
    for name, chosen in settings.items():
        log_probs = candidate.fit(dataset, chosen, run).reference([example.input for example in test])
        found[name] = float((log_probs.argmax(axis=1) == targets).mean())
        found[f"{name}_log_loss"] = float(-log_probs[np.arange(len(targets)), targets].mean())
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Mean accuracy over the draws; `untaught` learns nothing, `taught` always, `chosen` as the folds say."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        key = row["key"]
        groups[key["set"], key["per_class"], key["model"]].append(row)
    columns = ("chosen", "untaught", "taught")
    lines = ["| set | labels a class | model | draws | chosen | untaught | taught | log loss |", "|" + "---|" * 8]
    for (name, per_class, model), some in groups.items():
        means = [f"{np.mean([row[column] for row in some]):.3f}" if column in some[0] else "" for column in columns]
        loss = np.mean([row["chosen_log_loss"] for row in some])
        lines.append(f"| {name} | {per_class} | {model} | {len(some)} | {' | '.join(means)} | {loss:.3f} |")
    ratios = [f"{ratio:+.2f}" for ratio in _ratios(rows)]
    return "\n".join([*lines, "", f"logarithm of the log loss over {MODELS[-1]}'s: {', '.join(ratios)}"])


def _ratios(rows: list[dict[str, Any]]) -> Iterator[float]:
    """What the prior of the rung is made of."""
    losses: dict[tuple[str, int, int], dict[str, float]] = defaultdict(dict)
    for row in rows:
        key = row["key"]
        losses[key["set"], key["per_class"], key["draw"]][key["model"]] = row["chosen_log_loss"]
    for some in losses.values():
        if MODELS[0] in some and MODELS[-1] in some:
            yield float(np.log(some[MODELS[0]] / some[MODELS[-1]]))
