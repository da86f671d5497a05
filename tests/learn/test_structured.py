"""Answers that are not classes go the same way: a toy task, with every part of the path real but the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fewtune
from fewtune import catalog, pipeline, runtime
from fewtune.bundle.manifest import Manifest
from fewtune.bundle.read import read_manifest
from fewtune.data.split import choose_resampling
from fewtune.errors import RecipeError
from fewtune.evaluate.structured import group_weights, selection_optimism, structured_scores
from fewtune.interfaces import (
    Fitted,
    Inputs,
    Measured,
    Plan,
    Purpose,
    RunContext,
    StructuredCandidate,
    StructuredTask,
    StructuredTrial,
    StructuredTuner,
    TuningError,
)
from fewtune.progress import Step
from fewtune.recipe import Recipe
from fewtune.runtime.structured import StructuredRuntime
from fewtune.types import Dataset, Example, Finding, FloatArray, IntArray, LeftOut, Resampling, Table

NUMBERS = [(str(i), float(2 * i)) for i in range(40)]


class Doubling(StructuredTask):
    """Numbers to their doubles; an answer within 1 of the truth is a hit."""

    name = "doubling"
    reads = "numbers"
    primary_metric = "hits"
    parity_tolerance = 1e-6

    def recognises(self, source: Any) -> bool:
        return False

    def read(self, source: Any, recipe: Recipe, purpose: Purpose) -> Dataset:
        examples = tuple(Example(x, y, place=f"row {i}") for i, (x, y) in enumerate(source))
        return Dataset(self.name, examples, (), "numbers", "0")

    def inputs(self, source: Any, recipe: Recipe) -> Inputs:
        rows = tuple((x,) for x in source.split(","))
        return Inputs(Table(("number",), rows, [""] * len(rows), "numbers", "0"), tuple(source.split(",")), ())

    def check(self, dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
        return []

    def resample(self, dataset: Dataset, run: RunContext) -> Resampling:
        zeros = np.zeros(len(dataset), dtype=np.int64)
        return choose_resampling(zeros, self.groups(dataset), lambda repeat: run.generator("folds", repeat))

    def groups(self, dataset: Dataset) -> IntArray:
        return np.arange(len(dataset))

    def counts(self, dataset: Dataset) -> dict[str, int]:
        return {}

    def measure(
        self, dataset: Dataset, labels: tuple[str, ...], answers: Sequence[Any], weights: FloatArray
    ) -> Measured:
        hits = np.array([abs(answer - example.target) <= 1 for answer, example in zip(answers, dataset, strict=True)])
        return Measured({"hits": weights @ hits / np.maximum(weights.sum(axis=1), 1e-12)})

    def gap(self, first: float, second: float) -> float:
        return abs(first - second)

    def answer_as_json(self, answer: float, labels: tuple[str, ...]) -> Any:
        return answer

    def target_as_json(self, example: Example, labels: tuple[str, ...]) -> Any:
        return example.target

    def write_answers(self, inputs: Inputs, answers: Sequence[Any], labels: tuple[str, ...], out: Path | None) -> str:
        return "\n".join(map(str, answers))


class Times(StructuredCandidate):
    """Answers with `factor` times the number; keeps what it was asked."""

    model = ""

    def __init__(self, method: str, factor: float, *, least_seconds: float = 0.0) -> None:
        self.name = self.method = method
        self.factor, self.least_seconds = factor, least_seconds
        self.given: list[float] = []
        self.folds = 0

    def plan(self, dataset: Dataset, seconds: float, run: RunContext) -> Plan:
        self.given.append(seconds)
        if seconds < self.least_seconds:
            raise TuningError("too little time")
        return Plan({"factor": self.factor}, 2.0)

    def cross_fit(
        self, dataset: Dataset, resampling: Resampling, settings: Mapping[str, Any], run: RunContext
    ) -> tuple[StructuredTrial, ...]:
        self.folds = len(resampling.splits)
        answers: list[Any] = [None] * len(dataset)
        for split in resampling.splits:
            for i in split.valid:
                answers[i] = settings["factor"] * float(dataset.examples[i].input)
        return (StructuredTrial(settings, tuple(answers)),)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        factor = float(settings["factor"])
        assets = {"factor.json": json.dumps(factor).encode()}
        return Fitted({}, (), assets, {"licence": "none"}, lambda inputs: [factor * float(x) for x in inputs], 0.1)


class TimesRuntime(StructuredRuntime):
    """Reads the factor back."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        self.factor = json.loads((folder / "factor.json").read_text())

    def checked(self, inputs: Any) -> list[Any]:
        return list(inputs)

    def answers(self, inputs: Sequence[Any], *, step: Step | None = None) -> list[Any]:
        return [self.factor * float(x) for x in inputs]


def offer(monkeypatch: pytest.MonkeyPatch, *candidates: Times) -> None:
    """Make the toy task known, with these candidates."""

    class TimesTuner(StructuredTuner):
        name = "times"
        tasks = ("doubling",)
        settings = {"factor": "what numbers are multiplied by"}

        def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[StructuredCandidate], list[LeftOut]]:
            return list(candidates), []

    known = catalog.tasks
    monkeypatch.setattr(catalog, "tasks", lambda: {**known(), "doubling": Doubling()})
    monkeypatch.setattr(catalog, "_structured_tuners", lambda *_: [TimesTuner()])
    monkeypatch.setitem(runtime._RUNTIMES, "doubling", TimesRuntime)


def test_the_best_rung_is_taken_scored_and_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    untouched, wrong, right = Times("none", 1.0), Times("wrong", 3.0), Times("right", 2.0)
    offer(monkeypatch, untouched, wrong, right)
    model = fewtune.fit(NUMBERS, task="doubling", out=tmp_path / "a", budget="5m")
    assert model.manifest.method == "right"
    assert model.predict(["4", "10"]) == [8.0, 20.0]
    scores = model.scores
    assert scores["hits"].value == 1.0
    assert scores["hits"].low is not None
    assert 0.8 < scores["hits"].low < 1.0, "all right of forty is not all right of all"
    gain = scores.gain_over_baseline
    assert gain is not None
    assert gain.value == pytest.approx(1 - 2 / 40)
    assert [comparison.declared for comparison in model.manifest.comparisons] == [True, True]
    # Each is given a part of what is left, with one kept for the last fit.
    assert untouched.given[0] == pytest.approx(300 / 4, rel=0.05)
    assert right.given[0] == pytest.approx(300 / 2, rel=0.05)
    assert right.folds == 5, "however cheap: a trial holds one answer an example"
    lines = [json.loads(line) for line in (tmp_path / "a" / "private" / "out_of_fold.jsonl").open()]
    assert lines[3] == {"place": "row 3", "input": "3", "target": 6.0, "answer": 6.0, "before": 3.0}
    card = (tmp_path / "a" / "README.md").read_text()
    assert "log loss" not in card
    assert (tmp_path / "a" / "private" / "report.html").stat().st_size > 1000
    assert model.evaluate(NUMBERS).scores["hits"].value == 1.0
    with pytest.raises(RecipeError, match="no probabilities"):
        model.predict_proba(["1"])


def test_with_test_data_and_one_rung_nothing_is_held_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only = Times("right", 2.0)
    offer(monkeypatch, only)
    known = Doubling.read
    monkeypatch.setattr(Doubling, "read", lambda self, source, *rest: known(self, NUMBERS, *rest))
    result = pipeline.fit(Recipe(task="doubling", test="more.csv", data="some.csv"), out=tmp_path / "a")
    assert only.folds == 0
    assert only.given[0] == pytest.approx(300, rel=0.05)
    assert "40 test examples" in result.scores.how
    manifest = read_manifest(tmp_path / "a")
    assert manifest.recipe["settings"] == {"factor": 2.0}
    lines = [json.loads(line) for line in (tmp_path / "a" / "private" / "out_of_fold.jsonl").open()]
    assert lines[3] == {"place": "row 3", "input": "3", "target": 6.0, "answer": None}, "what it learnt from is kept"
    assert len(lines) == len(NUMBERS)


def test_a_rung_without_time_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(monkeypatch, Times("right", 2.0), Times("dear", 2.0, least_seconds=1e6))
    model = fewtune.fit(NUMBERS, task="doubling", out=tmp_path / "a")
    assert [(some["name"], some["why"]) for some in model.manifest.left_out] == [("dear", "too little time")]
    offer(monkeypatch, Times("dear", 2.0, least_seconds=1e6))
    with pytest.raises(RecipeError, match="too little time"):
        fewtune.fit(NUMBERS, task="doubling", out=tmp_path / "b")
    assert not (tmp_path / "b").exists()


class TimesThenFails(Times):
    """Cannot be tuned on everything."""

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        raise TuningError("the loss diverged")


def test_a_rung_that_fails_at_last_was_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(monkeypatch, Times("wrong", 3.0), TimesThenFails("right", 2.0))
    model = fewtune.fit(NUMBERS, task="doubling", out=tmp_path / "a")
    assert model.manifest.method == "wrong"
    assert [rung["name"] for rung in model.manifest.rungs] == ["wrong", "right"]
    for page in ("README.md", "private/report.html"):
        text = (tmp_path / "a" / page).read_text().lower()
        assert "tried, but not taken" in text
        assert "not tried" not in text


def test_weights_are_of_groups_and_always_the_same() -> None:
    groups = np.array([0, 0, 1, 2, 2])
    weights = group_weights(groups)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert weights[1:].mean() == pytest.approx(1, abs=0.1)
    assert (weights == group_weights(groups)).all()


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    task, held = Doubling(), 0
    for _ in range(300):
        right = generator.random(25) < 0.7
        dataset = task.read([(str(i), 0.0) for i in range(25)], Recipe(), "evaluate")
        answers = [0.0 if some else 9.0 for some in right]
        score = structured_scores(task, dataset, (), answers, np.arange(25), how="")["hits"]
        assert score.low is not None
        assert score.high is not None
        held += score.low <= 0.7 <= score.high
    assert 0.92 <= held / 300 <= 0.99


def test_choosing_among_many_alike_is_corrected() -> None:
    generator = np.random.default_rng(0)
    task = Doubling()
    dataset = task.read([(str(i), 0.0) for i in range(30)], Recipe(), "evaluate")
    contenders = [[0.0 if some else 9.0 for some in generator.random(30) < 0.5] for _ in range(20)]
    taken = int(np.argmax([sum(answer == 0 for answer in answers) for answers in contenders]))
    many = selection_optimism(task, dataset, contenders, taken, np.arange(30), np.random.default_rng(0))
    assert 0.02 < many < 0.3
    assert selection_optimism(task, dataset, contenders[:1], 0, np.arange(30), np.random.default_rng(0)) == 0


def test_advice_says_what_each_rung_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, Times("none", 1.0), Times("right", 2.0), Times("dear", 2.0, least_seconds=1e6))
    advice = pipeline.advise(Recipe(task="doubling"), source=NUMBERS)
    assert advice.method == "right"
    assert [(some.name, some.seconds) for some in advice.outlooks] == [("none", 10.0), ("right", 10.0)]
    assert all(np.isnan(some.likely) for some in advice.outlooks), "nothing but trying it tells"
    assert advice.seconds > 22, "five folds of both, and the last fit"
    assert [some.name for some in advice.left_out] == ["dear"]


class Misses(Doubling):
    """The same task, with the mean distance from the truth, of which less is better."""

    primary_metric = "distance"
    full_scale = {"distance": float("inf")}
    lower_is_better = True

    def measure(
        self, dataset: Dataset, labels: tuple[str, ...], answers: Sequence[Any], weights: FloatArray
    ) -> Measured:
        misses = np.array([abs(answer - example.target) for answer, example in zip(answers, dataset, strict=True)])
        return Measured({"distance": weights @ misses / np.maximum(weights.sum(axis=1), 1e-12)})


def test_less_can_be_better(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    untouched, wrong, right = Times("none", 1.0), Times("wrong", 3.0), Times("right", 2.1)
    offer(monkeypatch, untouched, wrong, right)
    known = catalog.tasks
    monkeypatch.setattr(catalog, "tasks", lambda: {**known(), "doubling": Misses()})
    model = fewtune.fit(NUMBERS, task="doubling", out=tmp_path / "a", budget="5m")
    assert model.manifest.method == "right"
    gain = model.scores.gain_over_baseline
    assert gain is not None
    assert gain.low is not None
    assert gain.value == pytest.approx(0.9 * 19.5)
    assert gain.low > 0
    assert all("really better" in comparison.words for comparison in model.manifest.comparisons)
    assert all("below" in comparison.words for comparison in model.manifest.comparisons)
    assert all(comparison.difference.value < 0 for comparison in model.manifest.comparisons)


def test_what_was_chosen_for_being_low_is_corrected_upwards() -> None:
    generator = np.random.default_rng(0)
    task = Misses()
    dataset = task.read([(str(i), 0.0) for i in range(30)], Recipe(), "evaluate")
    contenders = [list(generator.exponential(size=30)) for _ in range(20)]
    taken = int(np.argmin([sum(answers) for answers in contenders]))
    optimism = selection_optimism(task, dataset, contenders, taken, np.arange(30), np.random.default_rng(0))
    assert 0.05 < optimism < 1
    plain, corrected = (
        structured_scores(task, dataset, (), contenders[taken], np.arange(30), how="", optimism=some)["distance"]
        for some in (0.0, optimism)
    )
    assert plain.high is not None
    assert corrected.high is not None
    assert corrected.value == pytest.approx(plain.value + optimism)
    assert corrected.high == pytest.approx(plain.high + optimism)
    assert corrected.low == plain.low


def test_the_untouched_model_gains_nothing_over_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(monkeypatch, Times("none", 2.0), Times("wrong", 3.0))
    model = fewtune.fit(NUMBERS, task="doubling", out=tmp_path / "a")
    assert model.manifest.method == "none"
    assert model.scores.gain_over_baseline is None
