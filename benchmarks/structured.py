"""What the suites of boxes and masks share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fewtune

Measurement = tuple[dict[str, Any], Callable[[], dict[str, Any]]]


def fitted(train: str, test: str, place: Path, metrics: Sequence[str], **options: Any) -> dict[str, Any]:
    """What `fit` delivers, on the test data; how long it took, and what was decided."""
    result = fewtune.fit(train, test=test, out=place / "m.fewtune", **options).result
    assert result is not None
    settings = result.rungs[0].settings
    return {
        **{name: round(result.scores[name].value, 4) for name in metrics},
        "seconds": round(result.seconds),
        "steps": settings["steps"],
        "pace": settings["pace"],
    }


def table_of(metrics: Sequence[str], rows: Sequence[dict[str, Any]]) -> str:
    """Means over the draws, a line a method."""
    groups: dict[tuple[str, int, int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        key = row["key"]
        groups[key["set"], key["pictures"], key["minutes"], key["method"]].append(row)
    lines = [
        f"{'set':10}{'pictures':>9}{'minutes':>8} {'method':10}{'draws':>6}" + "".join(f"{m:>16}" for m in metrics)
    ]
    for (name, pictures, minutes, method), some in groups.items():
        means = "".join(f"{np.mean([row[metric] for row in some]):16.3f}" for metric in metrics)
        seconds = np.mean([row["seconds"] for row in some])
        lines.append(f"{name:10}{pictures or 'all':>9}{minutes:8} {method:10}{len(some):6}{means}{seconds:7.0f} s")
    return "\n".join(lines)
