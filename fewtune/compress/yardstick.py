"""How a bundle's answers are compared with the original's: those that are classes, and those that are not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from fewtune.compress.material import Material
from fewtune.compress.promise import judge, judge_structured
from fewtune.interfaces import ClassifierTask, StructuredTask, Task
from fewtune.runtime import Runtime, respond
from fewtune.types import Evidence

# An answer alone and the same in a batch: no probability may differ by more.
MOST_APART = 0.01
# An integer network may decide a tie otherwise, which the same network in float may as well.
_TIES = 10.0
_TRIED_ALONE = 32


class Yardstick(ABC):
    """Compares the answers of two bundles to the same inputs.

    Attributes:
        metric: what scores are of.
    """

    metric: str

    @abstractmethod
    def judge(self, original: Any, smaller: Any, max_drop: float) -> Evidence:
        """Whether a smaller model keeps the promise, from what both answered."""

    @abstractmethod
    def score(self, answers: Any) -> float | None:
        """The metric of answers; None where there are no labels."""

    @abstractmethod
    def alone(self, runtime: Runtime, answers: Any) -> bool:
        """Whether inputs are answered the same by themselves as they were among the others."""


def yardstick(task: Task, material: Material, labels: tuple[str, ...]) -> Yardstick:
    """The one for a task."""
    if isinstance(task, StructuredTask):
        return _ByAnswers(task, material, labels)
    assert isinstance(task, ClassifierTask)
    return _ByClasses(task, material)


def _some(count: int) -> range:
    return range(0, count, max(1, count // _TRIED_ALONE))


class _ByClasses(Yardstick):
    def __init__(self, task: ClassifierTask, material: Material) -> None:
        self.metric = task.primary_metric
        self._material = material

    def judge(self, original: Any, smaller: Any, max_drop: float) -> Evidence:
        some = self._material
        return judge(
            original, smaller, some.groups, max_drop=max_drop, targets=some.targets, trained_on=some.trained_on
        )

    def score(self, answers: Any) -> float | None:
        targets = self._material.targets
        return None if targets is None else float((answers.argmax(axis=1) == targets).mean())

    def alone(self, runtime: Runtime, answers: Any) -> bool:
        some = _some(len(answers))
        single = [respond(runtime, [self._material.measured[i].input])[0] for i in some]
        return float(np.abs(np.exp(single) - np.exp(answers[some])).max()) <= MOST_APART


class _ByAnswers(Yardstick):
    def __init__(self, task: StructuredTask, material: Material, labels: tuple[str, ...]) -> None:
        self.metric = task.primary_metric
        self._task, self._material, self._labels = task, material, labels

    def judge(self, original: Any, smaller: Any, max_drop: float) -> Evidence:
        return judge_structured(
            self._task,
            self._material.dataset,
            self._labels,
            original,
            smaller,
            self._material.groups,
            max_drop=max_drop,
            trained_on=self._material.trained_on,
        )

    def score(self, answers: Sequence[Any]) -> float | None:
        measured = self._task.measure(self._material.dataset, self._labels, answers, np.ones((1, len(answers))))
        value = float(measured.metrics[self.metric][0])
        return value if np.isfinite(value) else None

    def alone(self, runtime: Runtime, answers: Sequence[Any]) -> bool:
        most = _TIES * self._task.parity_tolerance
        some = _some(len(answers))
        single = [respond(runtime, [self._material.measured[i].input])[0] for i in some]
        return all(self._task.gap(one, answers[i]) <= most for one, i in zip(single, some, strict=True))
