"""What the names of the classes alone give, with 2,000 texts and no label: accuracy on test texts, by encoder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from unlabeled import DRAWS, POOL, SETS, TEST, pairs_of

from fewtune import catalog
from fewtune.interfaces import RunContext
from fewtune.label.names import read_names
from fewtune.label.unlabelled import with_unlabelled
from fewtune.recipe import Recipe
from fewtune.runtime.threads import usable_cores
from fewtune.tasks.text_classification import TextClassification
from fewtune.tune.label_names import fit_names

ENCODERS = ("all-MiniLM-L6-v2", "multilingual-e5-small")


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name in SETS:
            for encoder in ENCODERS[name.endswith("_zh") :]:
                yield {"set": name, "encoder": encoder, "draw": seed}, partial(_measure, data, name, encoder, seed)


def _measure(data: Path, name: str, encoder: str, seed: int) -> dict[str, Any]:
    train, test = (pairs_of(data, name, part, size, seed) for part, size in (("train", POOL), ("test", TEST)))
    task, recipe = TextClassification(), Recipe(seed=seed)
    names = read_names(",".join(sorted({label for _, label in train})), task.name)
    left = sorted({text for text, _ in train})
    pool = [left[i] for i in np.random.default_rng([seed, 4]).permutation(len(left))[:POOL]]
    dataset, _ = with_unlabelled(names, None, pool, task, recipe, np.random.default_rng(seed))
    run = RunContext(Path(__file__).parent / "results" / "encoded", seed, usable_cores())
    answers = fit_names(catalog.find_encoder(encoder), dataset, run).reference([text for text, _ in test])
    targets = task.targets(task.read(test, recipe, "evaluate"), dataset.labels)
    return {
        "accuracy": float((answers.argmax(axis=1) == targets).mean()),
        "confidence": float(np.exp(answers.max(axis=1)).mean()),
        "log_loss": float(-answers[np.arange(len(targets)), targets].mean()),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Accuracy, mean confidence and log loss on test texts: means of the draws."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["key"]["set"], row["key"]["encoder"]].append(row)
    lines = [f"{'set':22}{'encoder':24}{'draws':>6}{'accuracy':>10}{'confidence':>12}{'log loss':>10}"]
    for (name, encoder), some in groups.items():
        accuracy, confidence, loss = (
            np.mean([row[key] for row in some]) for key in ("accuracy", "confidence", "log_loss")
        )
        lines.append(f"{name:22}{encoder:24}{len(some):6}{accuracy:10.3f}{confidence:12.3f}{loss:10.3f}")
    return "\n".join(lines)
