"""Planted label errors: how many of the first suspects are planted, and what mending them brings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import Pairs, draw, read_pairs

import fewtune

SETTINGS = [("banking77", 10), ("chnsenticorp_htl_zh", 200)]
DRAWS = 5
SHARE = 0.1
FIRST = 20


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name, per_class in SETTINGS:
            key = {"set": name, "per_class": per_class, "draw": seed}
            yield key, partial(_measure, data / f"text_{name}", per_class, seed)


def _measure(folder: Path, per_class: int, seed: int) -> dict[str, Any]:
    drawn, test = draw(read_pairs(folder / "train.csv"), per_class, seed), read_pairs(folder / "test.csv")
    truth = dict(drawn)
    noisy = _with_errors(drawn, seed)
    planted = {text for text, label in noisy if label != truth[text]}
    with tempfile.TemporaryDirectory() as place:
        before = fewtune.fit(noisy, method="head", out=Path(place) / "before", seed=seed)
        assert before.result is not None
        suspected = [suspect.text for suspect in before.result.suspects]
        # A person looks at all the suspects, and gives each its true label.
        mended = [(text, truth[text] if text in set(suspected) else label) for text, label in noisy]
        after = fewtune.fit(mended, method="head", out=Path(place) / "after", seed=seed)
        accuracies = [model.evaluate(test).scores["accuracy"].value for model in (before, after)]
    return {
        "planted": len(planted),
        "suspected": len(suspected),
        "precision": float(np.mean([text in planted for text in suspected[:FIRST]])) if suspected else 0.0,
        "found": len(planted & set(suspected)) / len(planted),
        "before": accuracies[0],
        "after": accuracies[1],
    }


def _with_errors(pairs: Pairs, seed: int) -> Pairs:
    generator = np.random.default_rng(seed)
    labels = sorted({label for _, label in pairs})
    wrong = set(generator.permutation(len(pairs))[: round(SHARE * len(pairs))].tolist())
    others = {label: [other for other in labels if other != label] for label in labels}
    return [
        (text, others[label][int(generator.integers(len(labels) - 1))] if i in wrong else label)
        for i, (text, label) in enumerate(pairs)
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Means over the draws."""
    lines = [f"{'set':24}{'draws':>6}{'first 20':>10}{'suspects':>10}{'found':>8}{'before':>8}{'after':>8}"]
    for name, _ in SETTINGS:
        some = [row for row in rows if row["key"]["set"] == name]
        mean = {key: float(np.mean([row[key] for row in some])) for key in some[0] if key not in ("key", "commit")}
        lines.append(
            f"{name:24}{len(some):6}{mean['precision']:10.2f}{mean['suspected']:10.0f}{mean['found']:8.2f}"
            f"{mean['before']:8.3f}{mean['after']:8.3f}"
        )
    return "\n".join(lines)
