"""What a bundle says of its own answers, beside test files: errors of the answered, sets, inputs of other kinds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import draw, read_pairs

import fewtune

SETTINGS = [("sst2", 64), ("trec6", 32), ("chnsenticorp_htl_zh", 64), ("thucnews10_zh", 32), ("banking77", 8)]
OTHER = {
    "sst2": "trec6",
    "trec6": "sst2",
    "chnsenticorp_htl_zh": "thucnews10_zh",
    "thucnews10_zh": "chnsenticorp_htl_zh",
    "banking77": "trec6",
}
DRAWS = 5
COVERAGE = 0.9
_TESTED = 1500


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name, per_class in SETTINGS:
            yield {"set": name, "per_class": per_class, "draw": seed}, partial(_measure, data, name, per_class, seed)


def _measure(data: Path, name: str, per_class: int, seed: int) -> dict[str, Any]:
    drawn = draw(read_pairs(data / f"text_{name}" / "train.csv"), per_class, seed)
    test = _evenly(read_pairs(data / f"text_{name}" / "test.csv"))
    other = _evenly(read_pairs(data / f"text_{OTHER[name]}" / "test.csv"))
    with tempfile.TemporaryDirectory() as place:
        model = fewtune.fit(drawn, method="head", out=Path(place) / "model", seed=seed)
        rules = model.manifest.answer_rules
        found = []
        texts, truth = [text for text, _ in test], np.array([label for _, label in test])
        for threshold in rules.thresholds:
            if threshold.below is None or threshold.error is None or threshold.answered is None:
                continue
            # Without the inputs of another kind: the promise is about confidence.
            plain = model.answer(texts)
            kept = np.array([answer.confidence >= threshold.below for answer in plain])
            wrong = np.array([answer.prediction for answer in plain]) != truth
            error = float(wrong[kept].mean()) if kept.any() else 0.0
            low, high = threshold.error.low, threshold.error.high
            assert low is not None
            assert high is not None
            found.append(
                {
                    "goal": threshold.target_error,
                    "said": threshold.error.value,
                    "error": error,
                    "inside": low <= error <= high,
                    "answered": float(kept.mean()),
                    "answered_said": threshold.answered.value,
                }
            )
        sets = model.answer(texts, coverage=COVERAGE)
        reached = [threshold.target_error for threshold in rules.thresholds if threshold.below is not None]
        goal = max(reached, default=None)
        outside = [
            float(np.mean([answer.outside for answer in model.answer(some, max_error=goal)])) if goal else None
            for some in (texts, [text for text, _ in other])
        ]
    return {
        "thresholds": found,
        "covered": float(np.mean([label in answer.labels for answer, label in zip(sets, truth, strict=True)])),
        "set_size": float(np.mean([len(answer.labels) for answer in sets])),
        "rejected_same": outside[0],
        "rejected_other": outside[1],
    }


def _evenly(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return pairs[:: max(1, len(pairs) // _TESTED)]


def table(rows: list[dict[str, Any]]) -> str:
    """Errors among the answered beside the goal; how often sets hold the true label; what is rejected."""
    lines = [f"{'goal':>6}{'fits':>6}{'reached':>9}{'error':>8}{'said':>8}{'inside':>8}{'answered':>10}{'said':>7}"]
    for goal in sorted({some["goal"] for row in rows for some in row["thresholds"]}):
        some = [found for row in rows for found in row["thresholds"] if found["goal"] == goal]
        means = {key: float(np.mean([found[key] for found in some])) for key in some[0]}
        lines.append(
            f"{goal:6.2f}{len(rows):6}{len(some):9}{means['error']:8.3f}{means['said']:8.3f}{means['inside']:8.2f}"
            f"{means['answered']:10.2f}{means['answered_said']:7.2f}"
        )
    lines.append(f"\n{'set':24}{'sets hold':>10}{'labels':>8}{'rejected':>10}{'of other kind':>15}")
    for name, _ in SETTINGS:
        some = [row for row in rows if row["key"]["set"] == name]
        covered, size = (np.mean([row[key] for row in some]) for key in ("covered", "set_size"))
        same, other = (
            np.mean([row[key] for row in some if row[key] is not None]) for key in ("rejected_same", "rejected_other")
        )
        lines.append(f"{name:24}{covered:10.2f}{size:8.1f}{same:10.2f}{other:15.2f}")
    return "\n".join(lines)
