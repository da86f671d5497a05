"""What the suites of boxes and masks share: few and all pictures, ours beside a plain script of as many minutes."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fewtune
from fewtune.interfaces import StructuredTask
from fewtune.recipe import Recipe
from fewtune.runtime.threads import usable_cores
from fewtune.types import Dataset

Measurement = tuple[dict[str, Any], Callable[[], dict[str, Any]]]

NO_VIEWS = " without views"
# 0: all there are.
PICTURES = (20, 0)
DRAWS = 3


@dataclass(frozen=True, slots=True)
class Suite:
    """One set of pictures, and what is compared on it.

    Attributes:
        name: of the set.
        folder: where it lies in the data folder.
        test: its file of test pictures.
        task: scores the answers.
        metrics: the scores that are shown.
        methods: of `fit`, and `plain`; with NO_VIEWS behind them, without augmentation.
        plain: (dataset, paths, seconds, seed, threads) to the script's answers.
        some: (folder, pictures, draw, place) to a file that lists some of the training pictures.
        minutes: for few pictures and for all.
    """

    name: str
    folder: str
    test: str
    task: StructuredTask
    metrics: tuple[str, ...]
    methods: tuple[str, ...]
    plain: Callable[[Dataset, list[str], float, int, int], Sequence[Any]]
    some: Callable[[Path, int, int, Path], Path]
    minutes: tuple[int, int]

    def measurements(self, data: Path, quick: bool) -> Iterator[Measurement]:
        """Few pictures in several draws, then all there are; `quick`: one draw of the few."""
        for pictures, minutes in list(zip(PICTURES, self.minutes, strict=True))[: 1 if quick else None]:
            for draw in range(DRAWS if pictures and not quick else 1):
                for method in self.methods if pictures else [some for some in self.methods if NO_VIEWS not in some]:
                    key = {"set": self.name, "pictures": pictures, "draw": draw, "method": method, "minutes": minutes}
                    yield key, partial(self._measure, data / self.folder, pictures, draw, method, minutes)

    def _measure(self, folder: Path, pictures: int, draw: int, method: str, minutes: float) -> dict[str, Any]:
        test = str(folder / self.test)
        with tempfile.TemporaryDirectory() as place:
            train = str(self.some(folder, pictures, draw, Path(place)))
            if method != "plain":
                name, without, _ = method.partition(NO_VIEWS)
                augment = "none" if without else "auto"
                return self._fitted(
                    train, test, Path(place), method=name, augment=augment, budget=f"{minutes}m", seed=draw
                )
            recipe = Recipe()
            dataset, truth = self.task.read(train, recipe, "fit"), self.task.read(test, recipe, "evaluate")
            started = time.monotonic()
            paths = [example.input for example in truth]
            answers = self.plain(dataset, paths, 60 * minutes, draw, usable_cores())
            seconds = time.monotonic() - started
        measured = self.task.measure(truth, dataset.labels, answers, np.ones((1, len(truth)))).metrics
        return {**{name: round(float(measured[name][0]), 4) for name in self.metrics}, "seconds": round(seconds)}

    def _fitted(
        self, train: str, test: str, place: Path, *, method: str, augment: str, budget: str, seed: int
    ) -> dict[str, Any]:
        """What `fit` delivers, on the test data; how long it took, and what was decided."""
        out = place / "m.fewtune"
        result = fewtune.fit(train, test=test, out=out, method=method, augment=augment, budget=budget, seed=seed).result
        assert result is not None
        settings = result.rungs[0].settings
        return {
            **{name: round(result.scores[name].value, 4) for name in self.metrics},
            "seconds": round(result.seconds),
            "steps": settings["steps"],
            "pace": settings["pace"],
        }

    def table(self, rows: Sequence[dict[str, Any]]) -> str:
        """Means over the draws, a line a method."""
        groups: dict[tuple[str, int, int, str], list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            key = row["key"]
            groups[key["set"], key["pictures"], key["minutes"], key["method"]].append(row)
        heads = "".join(f"{metric:>16}" for metric in self.metrics)
        lines = [f"{'set':10}{'pictures':>9}{'minutes':>8} {'method':24}{'draws':>6}{heads}"]
        for (name, pictures, minutes, method), some in groups.items():
            means = "".join(f"{np.mean([row[metric] for row in some]):16.3f}" for metric in self.metrics)
            seconds = np.mean([row["seconds"] for row in some])
            lines.append(f"{name:10}{pictures or 'all':>9}{minutes:8} {method:24}{len(some):6}{means}{seconds:7.0f} s")
        return "\n".join(lines)
