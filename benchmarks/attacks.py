"""Accuracy under attack, and what an attack takes: SST-2's test texts against two bundles of 64 labels a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from draws import draw, read_pairs

import fewtune
from fewtune.attack.environment import has_environment
from fewtune.attack.recipes import RECIPES

PER_CLASS = 64
METHODS = ("tfidf", "head")


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    count = 20 if quick else 100
    for method in METHODS if has_environment() else ():
        for recipe in RECIPES:
            key = {"set": "sst2", "method": method, "recipe": recipe, "texts": count}
            yield key, partial(_measure, data / "text_sst2", method, recipe, count)


def _measure(folder: Path, method: str, recipe: str, count: int) -> dict[str, Any]:
    with TemporaryDirectory() as place:
        pairs = draw(read_pairs(folder / "train.csv"), PER_CLASS, 0)
        model = fewtune.fit(pairs, method=method, out=Path(place) / "sst2.fewtune", augment="none", compress="none")
        found = model.attack(str(folder / "test.csv"), recipe, count, budget="1h").summary
    return {
        "before": found.accuracy_before.value,
        "after": found.accuracy_after.value if found.accuracy_after else None,
        "success": found.success_rate.value if found.success_rate else None,
        "words_changed": found.words_changed.value if found.words_changed else None,
        "queries": round(found.queries, 1),
        "seconds": round(found.seconds, 3),
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'method':8}{'recipe':18}{'before':>8}{'after':>8}{'success':>9}{'words':>8}{'queries':>9}{'s':>8}"]
    for row in rows:
        shares = [row[name] for name in ("before", "after", "success", "words_changed")]
        cells = "".join(f"{'-' if share is None else f'{share:.2f}':>8}" for share in shares)
        lines.append(
            f"{row['key']['method']:8}{row['key']['recipe']:18}{cells}{row['queries']:9.0f}{row['seconds']:8.2f}"
        )
    return "\n".join(lines)
