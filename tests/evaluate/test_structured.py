from __future__ import annotations

import numpy as np
import pytest

from fewtune.evaluate.structured import compare_answers, structured_scores
from fewtune.recipe import Recipe
from fewtune.types import Dataset
from tests.learn.test_structured import Doubling, Misses


def distances(values: list[float]) -> tuple[Misses, Dataset, list[float]]:
    task = Misses()
    return task, task.read([(str(i), 0.0) for i in range(len(values))], Recipe(), "evaluate"), values


@pytest.mark.parametrize("groups", [2, 3, 5, 12])
def test_intervals_of_few_groups_hold_the_truth_as_often_as_they_say(groups: int) -> None:
    generator = np.random.default_rng(groups)
    held = 0
    for _ in range(300):
        task, dataset, answers = distances(list(generator.normal(10, 1, groups)))
        score = structured_scores(task, dataset, (), answers, np.arange(groups), how="")["distance"]
        assert score.low is not None
        assert score.high is not None
        held += score.low <= 10 <= score.high
    assert 0.92 <= held / 300 <= 0.99


def test_what_does_not_vary_among_few_is_not_called_certain() -> None:
    task, dataset, answers = distances([0.0, 0.0])
    score = structured_scores(task, dataset, (), answers, np.arange(2), how="")["distance"]
    assert (score.low, score.high) == (None, None)
    found = compare_answers(task, dataset, ([1.0, 1.0], answers), ("first", "second"), np.arange(2))
    assert found is not None
    assert not found.declared
    assert "by how much that is chance cannot be known" in found.words


def test_a_corrected_value_stays_on_the_scale() -> None:
    task = Doubling()
    dataset = task.read([(str(i), 0.0) for i in range(40)], Recipe(), "evaluate")
    answers = [0.0, *[9.0] * 39]
    score = structured_scores(task, dataset, (), answers, np.arange(40), how="", optimism=0.1)["hits"]
    assert score.value == 0
    assert score.low == 0
    assert score.high is not None
    assert 0 < score.high < 1
