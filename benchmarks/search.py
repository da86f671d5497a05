"""What looking for hyper-parameters brings beyond a rung's own portfolio: test texts that chose nothing."""

from __future__ import annotations

import tempfile
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

SETTINGS = [("trec6", 8), ("sst2", 8), ("sst2", 64), ("banking77", 8), ("trec6", 32)]
MODEL = "all-MiniLM-L6-v2"
DRAWS = 3
BUDGET_SECONDS = 1200.0


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name, per_class in SETTINGS:
            key = {"set": name, "per_class": per_class, "draw": seed, "budget_seconds": BUDGET_SECONDS}
            yield key, partial(_measure, data / f"text_{name}", per_class, seed)


def _measure(folder: Path, per_class: int, seed: int) -> dict[str, Any]:
    task = TextClassification()
    recipe = Recipe(seed=seed, model=MODEL)
    dataset = task.read(draw(read_pairs(folder / "train.csv"), per_class, seed), recipe, "fit")
    test = task.read(read_pairs(folder / "test.csv"), recipe, "evaluate")
    targets = task.targets(test, dataset.labels)
    texts = [example.input for example in test]
    tuners = [tuner for tuner in catalog.find_tuners(recipe, task) if tuner.name in ("head", "contrastive")]
    candidates = [candidate for tuner in tuners for candidate in tuner.candidates(dataset, recipe)[0]]
    with tempfile.TemporaryDirectory() as place:
        run = RunContext(Path(place), seed, usable_cores(), budget_seconds=BUDGET_SECONDS)
        climbed = climb(candidates, dataset, task.resample(dataset, run), task, run, search=True)
        names = [rung.name for rung in climbed.rungs]
        found = {}
        for winner in climbed.winners:
            name = names[winner.place]
            if name in (f"contrastive:{MODEL}", f"contrastive:{MODEL} with search"):
                answers = winner.candidate.fit(dataset, winner.trial.settings, run).reference(texts)
                found[name] = {
                    "accuracy": float((answers.argmax(axis=1) == targets).mean()),
                    "log_loss": float(-answers[np.arange(len(targets)), targets].mean()),
                    "expected_log_loss": climbed.rungs[winner.place].expected_log_loss,
                    "out_of_fold_log_loss": climbed.rungs[winner.place].scores["log_loss"].value,
                    "settings": dict(winner.trial.settings),
                    "seconds": round(climbed.rungs[winner.place].seconds, 1),
                }
        taken = climbed.winner.candidate.name
    return {"rungs": found, "taken": taken, "left_out": {some.name: some.why for some in climbed.left_out}}


def table(rows: list[dict[str, Any]]) -> str:
    """Log loss with search over the log loss without, on the test file and out of fold."""
    lines = [f"{'set':12}{'labels':>7}{'draw':>5}{'accuracy':>16}{'log loss, %':>12}{'out of fold, %':>15}  taken"]
    gains = []
    for row in rows:
        plain, searched = (row["rungs"].get(f"contrastive:{MODEL}{end}") for end in ("", " with search"))
        if plain is None or searched is None:
            continue
        key = row["key"]
        gain = np.log(searched["log_loss"] / plain["log_loss"])
        said = np.log(searched["out_of_fold_log_loss"] / plain["out_of_fold_log_loss"])
        gains.append(gain)
        lines.append(
            f"{key['set']:12}{key['per_class']:7}{key['draw']:5}{plain['accuracy']:8.3f}{searched['accuracy']:8.3f}"
            f"{100 * gain:12.1f}{100 * said:15.1f}  {row['taken']}"
        )
    if gains:
        lines.append(
            f"logarithm of the ratio of the test losses: mean {np.mean(gains):.3f}, deviation {np.std(gains):.3f}"
        )
    return "\n".join(lines)
