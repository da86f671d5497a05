"""The search finds better hyper-parameters, the same ones again, and ends with the budget."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("optuna")

from fewtune.interfaces import Candidate, Cost, Fitted, Prior, RunContext, Trial, TuningError
from fewtune.journal import Journal
from fewtune.ladder import Climb, climb
from fewtune.recipe import Recipe
from fewtune.tasks.text_classification import TextClassification
from fewtune.tune.search import LEAST_TRIALS, MOST_TRIALS, Range, SearchCandidate
from fewtune.types import Dataset, Resampling

TASK = TextClassification()
PAIRS = [(f"text number {i} {'good' * (i % 2)}", "ab"[i % 2]) for i in range(60)]
BEST = 8.0


class Clock(Journal):
    """A journal whose time is put forward by what is done."""

    seconds = 0.0

    @property
    def elapsed(self) -> float:
        return self.seconds


class Rate(Candidate):
    """Answers the surer, the nearer its rate is to the best one; remembers the rates that it was tried with."""

    method, model = "contrastive", "x"

    def __init__(self, tried: list[float], rate: float = 1.0, fails_above: float = 1e9) -> None:
        self.name = "contrastive:x"
        self.prior = Prior("head:x", -0.25, 0.35)
        self._tried, self._rate, self._fails_above = tried, rate, fails_above

    def searched(self, folds: int, loss: float) -> Candidate | None:
        return SearchCandidate(self, folds, loss)

    def search_space(self, dataset: Dataset) -> Mapping[str, Range]:
        return {"rate": Range(0.1, 100.0, log=True)}

    def own_settings(self, dataset: Dataset) -> Mapping[str, Any]:
        return {"rate": self._rate}

    def with_settings(self, settings: Mapping[str, Any]) -> Candidate:
        return Rate(self._tried, settings.get("rate", self._rate), self._fails_above)

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost:
        return Cost(0, 1, 1)

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        if self._rate > self._fails_above:
            raise TuningError("the loss diverged")
        if isinstance(run.journal, Clock):
            run.journal.seconds += len(resampling.splits)

        def answer() -> Any:
            self._tried.append(self._rate)
            targets = TASK.targets(dataset, dataset.labels)
            right = 0.95 - 0.12 * min(3.0, abs(np.log(self._rate / BEST)))
            wrong = np.random.default_rng(0).random(len(dataset)) < 0.04
            sure = np.where(wrong, 1 - right, right)[:, None]
            rows = np.log(np.where(targets[:, None] == np.arange(2), sure, 1 - sure))
            log_probs = np.full((resampling.repeats, len(dataset), 2), np.nan, np.float32)
            for number, split in enumerate(resampling.splits):
                log_probs[number // resampling.folds, split.valid] = rows[split.valid]
            return log_probs

        log_probs = run.journal.array(f"rate {self._rate}", answer)
        return (Trial({"rate": self._rate}, log_probs),)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        raise NotImplementedError


class Head(Rate):
    """What the rung is compared with."""

    def __init__(self) -> None:
        super().__init__([], 0.5)
        self.name, self.method, self.prior = "head:x", "head", None

    def searched(self, folds: int, loss: float) -> None:
        return None


def up(rate: Rate, journal: Journal | None = None, budget: float = 1e5, temperature: float | None = 1.0) -> Climb:
    dataset = TASK.read(PAIRS, Recipe(), "fit")
    run = RunContext(Path(), journal=journal or Journal(), budget_seconds=budget)
    resampling = TASK.resample(dataset, run)
    return climb([Head(), rate], dataset, resampling, TASK, run, temperature=temperature, search=True)


def test_better_hyper_parameters_are_found_and_taken() -> None:
    tried: list[float] = []
    climbed = up(Rate(tried))
    assert "contrastive:x with search" in climbed.winner.candidate.name
    (rung,) = [rung for rung in climbed.rungs if rung.name == "contrastive:x with search"]
    assert abs(np.log(rung.settings["rate"] / BEST)) < 0.3
    assert len(tried) == 1 + MOST_TRIALS
    assert climbed.optimism["log_loss"] <= 0


def test_nothing_is_looked_for_unless_it_is_asked_for() -> None:
    dataset = TASK.read(PAIRS, Recipe(), "fit")
    run = RunContext(Path())
    climbed = climb([Head(), Rate([])], dataset, TASK.resample(dataset, run), TASK, run)
    assert not [rung.name for rung in climbed.rungs if "search" in rung.name]


def test_the_same_seed_finds_the_same() -> None:
    first, second = [], []
    up(Rate(first))
    up(Rate(second))
    assert first == second


def test_it_ends_with_the_budget() -> None:
    tried: list[float] = []
    clock = Clock()
    up(Rate(tried), clock, budget=400.0)
    assert LEAST_TRIALS <= len(tried) - 1 < MOST_TRIALS
    assert clock.seconds <= 400.0


class Slower(Rate):
    """Takes four times what was foreseen of it, from its first trial on."""

    def with_settings(self, settings: Mapping[str, Any]) -> Candidate:
        return Slower(self._tried, settings.get("rate", self._rate))

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        if isinstance(run.journal, Clock) and self._tried:
            run.journal.seconds += 3 * len(resampling.splits)
        return super().cross_fit(dataset, resampling, run)


def test_trials_that_take_longer_than_foreseen_end_with_the_budget_too() -> None:
    tried: list[float] = []
    clock = Clock()
    up(Slower(tried), clock, budget=400.0)
    assert 2 <= len(tried) < 1 + LEAST_TRIALS
    assert clock.seconds <= 400.0


def test_what_the_budget_has_no_room_for_is_left_out() -> None:
    tried: list[float] = []
    climbed = up(Rate(tried), Clock(), budget=60.0)
    assert len(tried) == 1
    (left_out,) = [some for some in climbed.left_out if "search" in some.name]
    assert "budget" in left_out.why


def test_what_diverges_fails_alone() -> None:
    tried: list[float] = []
    climbed = up(Rate(tried, fails_above=20.0))
    assert len(tried) < 1 + MOST_TRIALS
    assert "contrastive:x with search" in climbed.winner.candidate.name


class Interrupted(Exception):
    """As Ctrl-C would be."""


class Stopping(Rate):
    """Is interrupted in its fifth trial."""

    def with_settings(self, settings: Mapping[str, Any]) -> Candidate:
        return Stopping(self._tried, settings.get("rate", self._rate))

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        if len(self._tried) == 5:
            raise Interrupted
        return super().cross_fit(dataset, resampling, run)


def test_an_interrupted_search_goes_on_to_the_same_result(tmp_path: Path) -> None:
    tried: list[float] = []
    with pytest.raises(Interrupted):
        up(Stopping(tried), Journal(tmp_path))
    again: list[float] = []
    resumed = up(Rate(again), Journal(tmp_path))
    whole: list[float] = []
    uninterrupted = up(Rate(whole))
    assert tried + again == whole
    assert resumed.winner.trial.settings == uninterrupted.winner.trial.settings
