"""Does the learning curve's band hold what more labels really bring?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import draw, read_pairs

import fewtune

SETTINGS = [("sst2", 8), ("sst2", 32), ("trec6", 8), ("trec6", 20), ("chnsenticorp_htl_zh", 16)]
SETTINGS += [("chnsenticorp_htl_zh", 64), ("thucnews10_zh", 8), ("thucnews10_zh", 24), ("banking77", 5)]
DRAWS = 6


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name, per_class in SETTINGS:
            key = {"set": name, "per_class": per_class, "draw": seed}
            yield key, partial(_measure, data / f"text_{name}", per_class, seed)


def _measure(folder: Path, per_class: int, seed: int) -> dict[str, Any]:
    pairs, test = read_pairs(folder / "train.csv"), read_pairs(folder / "test.csv")
    with tempfile.TemporaryDirectory() as place:
        now = fewtune.fit(draw(pairs, per_class, seed), method="head", out=Path(place) / "now", seed=seed)
        curve = now.manifest.learning_curve
        assert curve is not None
        forecast = curve.forecast[0]
        # The same examples and more of them: the draw is nested.
        more = draw(pairs, per_class + forecast.more_per_class, seed)
        later = fewtune.fit(more, method="head", out=Path(place) / "later", seed=seed)
        before, after = (model.evaluate(test).scores["accuracy"].value for model in (now, later))
    gain = after - before
    return {
        "before": before,
        "gain": gain,
        "low": forecast.gain_low,
        "high": forecast.gain_high,
        "inside": forecast.gain_low <= gain <= forecast.gain_high,
        "points": [[point.examples, point.score.value] for point in curve.points],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """How often the gain lies in the band, and the band's mean width."""
    lines = [f"{'set':24}{'labels':>7}{'trials':>7}{'gain':>8}{'foreseen':>10}{'inside':>8}{'width':>8}"]
    keys = list(dict.fromkeys((row["key"]["set"], row["key"]["per_class"]) for row in rows))
    for name, per_class in [*keys, ("all", 0)]:
        some = [row for row in rows if name in ("all", row["key"]["set"]) and per_class in (0, row["key"]["per_class"])]
        gain, inside, low, high = (np.mean([row[key] for row in some]) for key in ("gain", "inside", "low", "high"))
        middle, width = (low + high) / 2, high - low
        lines.append(f"{name:24}{per_class or '':>7}{len(some):7}{gain:8.3f}{middle:10.3f}{inside:8.2f}{width:8.3f}")
    return "\n".join(lines)
