"""The ladder tries what promises, on as many folds as the budget has room for, and survives what fails."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewtune.advise import _Clock
from fewtune.interfaces import Candidate, Cost, Fitted, Prior, RunContext, Trial, TuningError
from fewtune.journal import Journal
from fewtune.ladder import Climb, climb
from fewtune.recipe import Recipe
from fewtune.report.wording import reason
from fewtune.tasks.text_classification import TextClassification
from fewtune.types import Dataset, Resampling

TASK = TextClassification()
PAIRS = [(f"text number {i} {'good' * (i % 2)}", "ab"[i % 2]) for i in range(60)]


class Made(Candidate):
    """A candidate that answers with a given sureness of the truth, and says what it was asked."""

    def __init__(
        self, name: str, right: float, cost: Cost | None = None, prior: Prior | None = None, fails: str = ""
    ) -> None:
        self.name, self.method, self.model = name, name.partition(":")[0], name.partition(":")[2]
        self.prior = prior
        self._right, self._cost, self._fails = right, cost, fails
        self.folds, self.asked = 0, list[int]()

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost | None:
        return self._cost

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        if self._fails:
            raise TuningError(self._fails)
        self.folds = len(resampling.splits)
        self.asked.append(self.folds)
        targets = TASK.targets(dataset, dataset.labels)
        generator = run.generator("made", self.name)
        log_probs = np.full((resampling.repeats, len(dataset), 2), np.nan)
        for number, split in enumerate(resampling.splits):
            sure = np.clip(self._right + 0.1 * generator.normal(size=len(split.valid)), 0.01, 0.99)
            rows = np.where(targets[split.valid, None] == np.arange(2), sure[:, None], 1 - sure[:, None])
            log_probs[number // resampling.folds, split.valid] = np.log(rows)
        return (Trial({"right": self._right}, log_probs),)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        raise NotImplementedError


class EasyFold(Made):
    """On the first fold's examples as sure as it is told, elsewhere hardly at all."""

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        self.folds = len(resampling.splits)
        self.asked.append(self.folds)
        targets = TASK.targets(dataset, dataset.labels)
        easy = np.isin(np.arange(len(dataset)), resampling.splits[0].valid)
        sure = np.where(easy, self._right, 0.55)[:, None]
        rows = np.log(np.where(targets[:, None] == np.arange(2), sure, 1 - sure))
        log_probs = np.full((resampling.repeats, len(dataset), 2), np.nan)
        for number, split in enumerate(resampling.splits):
            log_probs[number // resampling.folds, split.valid] = rows[split.valid]
        return (Trial({}, log_probs),)


def up(
    *candidates: Made,
    budget: float = 1e6,
    journal: Journal | None = None,
    temperature: float | None = None,
    pairs: list[tuple[str, str]] = PAIRS,
) -> Climb:
    dataset = TASK.read(pairs, Recipe(), "fit")
    run = RunContext(Path(), journal=journal or Journal(), budget_seconds=budget)
    return climb(candidates, dataset, TASK.resample(dataset, run), TASK, run, temperature=temperature)


OVER_HEAD = Prior("head:x", -0.25, 0.35)


def test_the_least_expected_loss_is_taken() -> None:
    climbed = up(Made("tfidf", 0.55), Made("head:x", 0.6), Made("contrastive:x", 0.85, Cost(0, 1, 1), OVER_HEAD))
    assert "contrastive:x" in climbed.winner.candidate.name
    assert [rung.name for rung in climbed.rungs][:3] == ["tfidf", "head:x", "contrastive:x"]


def test_a_dearer_rung_gets_fewer_folds() -> None:
    folds = []
    for each in (0.1, 5.0, 50.0):
        tuned = Made("contrastive:x", 0.8, Cost(0, each, each), OVER_HEAD)
        up(Made("head:x", 0.6), tuned, budget=300)
        folds.append(tuned.asked)
    # What is left of the budget goes to more of them: here to three, since two fits on everything may follow.
    assert folds == [[20], [5], [1, 4]]


def test_only_the_best_are_scored_on_more_folds_and_only_where_few_were_seen() -> None:
    def rungs() -> tuple[Made, ...]:
        sure = Prior("head:x", -1.0, 0.1)
        unsure = Prior("head:x", -0.25, 0.9)
        tuned = [
            Made(f"{method}:x", right, Cost(0, 40, 1), prior)
            for method, right, prior in (("contrastive", 0.9, sure), ("lora", 0.88, unsure), ("partial", 0.7, unsure))
        ]
        return Made("head:x", 0.6), *tuned

    few = rungs()
    climbed = up(*few, budget=399)
    assert [rung.asked for rung in few[1:]] == [[1, 5], [1, 5], [1]]
    resamplings = {rung.name: rung.resampling.rpartition(": ")[2] for rung in climbed.rungs[1:4]}
    assert resamplings == {"contrastive:x": "one repeat", "lora:x": "one repeat", "partial:x": "1 of 5 folds"}
    assert climbed.rungs[1].predicted_seconds == pytest.approx(5 * 40)
    many = rungs()
    up(*many, budget=399, pairs=PAIRS * 50)
    assert [rung.asked for rung in many[1:3]] == [[1], [1]]


def test_what_promised_nothing_beside_a_lucky_rung_is_tried_once_more_is_known() -> None:
    lucky = EasyFold("contrastive:x", 0.97, Cost(0, 50, 1), OVER_HEAD)
    other = Made("lora:x", 0.8, Cost(0, 1, 1), Prior("head:x", -0.1, 0.2))
    climbed = up(Made("head:x", 0.6), lucky, other, budget=450, temperature=1.0)
    assert lucky.asked == [1, 5]
    assert [rung.name for rung in climbed.rungs][:3] == ["head:x", "contrastive:x", "lora:x"]
    assert not climbed.left_out
    # With time for one more fold alone it is still believed.
    climbed = up(Made("head:x", 0.6), lucky, other, budget=101, temperature=1.0)
    assert "promises" in climbed.left_out[0].why


def test_an_easy_fold_does_not_win_where_others_were_scored_on_more() -> None:
    """Two rungs with nothing to be compared with: one on three folds, one on the easy fold alone."""

    class Slow(EasyFold):
        def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
            assert isinstance(run.journal, _Clock)
            run.journal.seconds += 60.0 * (len(resampling.splits) - self.folds)
            return super().cross_fit(dataset, resampling, run)

    first, second = (
        Slow(f"full:{model}", sure, Cost(0, 60, 1), Prior(f"head:{model}", 0, 1))
        for model, sure in (("x", 0.97), ("y", 0.95))
    )
    climbed = up(first, second, budget=280, journal=_Clock(), temperature=1.0)
    assert (first.folds, second.folds) == (3, 1)
    assert climbed.rungs[1].expected_log_loss > climbed.rungs[0].expected_log_loss
    assert climbed.winner.candidate.name == "full:x"


def test_what_the_budget_cut_short_is_not_said_to_be_scored_on_more() -> None:
    class Cut(Made):
        def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
            return super().cross_fit(dataset, resampling.first(min(3, len(resampling.splits))), run)

    planned = Cut("contrastive:x", 0.9, Cost(0, 10, 1), OVER_HEAD)
    climbed = up(Made("head:x", 0.6), planned, budget=300)
    assert planned.asked == [3], "five were planned"
    assert climbed.rungs[1].predicted_seconds == pytest.approx(5 * 10)
    later = Cut("contrastive:x", 0.9, Cost(0, 50, 1), OVER_HEAD)
    climbed = up(Made("head:x", 0.6), later, budget=300)
    assert later.asked == [1, 3], "four more were granted"
    assert climbed.rungs[1].predicted_seconds == pytest.approx(3 * 50)


def test_a_rung_that_fails_on_more_folds_keeps_what_it_had() -> None:
    class Fragile(Made):
        def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
            if len(resampling.splits) > 1:
                raise TuningError("the loss diverged")
            return super().cross_fit(dataset, resampling, run)

    climbed = up(Made("head:x", 0.6), Fragile("contrastive:x", 0.9, Cost(0, 50, 1), OVER_HEAD), budget=450)
    assert "1 of 5 folds" in climbed.rungs[1].resampling


def test_what_does_not_fit_is_not_started_and_its_reason_names_the_budget() -> None:
    tuned = Made("contrastive:x", 0.9, Cost(100, 100, 100), OVER_HEAD)
    climbed = up(Made("head:x", 0.6), tuned, budget=300)
    assert tuned.folds == 0
    (left_out,) = climbed.left_out
    assert "300 s" in left_out.why
    assert "budget" in left_out.why


def test_the_final_tuning_of_the_best_is_kept_room_for() -> None:
    first = Made("contrastive:x", 0.8, Cost(0, 1, 200), OVER_HEAD)
    second = Made("contrastive:y", 0.9, Cost(0, 20, 60), Prior("head:y", -0.25, 0.35))
    up(Made("head:x", 0.6), Made("head:y", 0.6), first, second, budget=300)
    assert first.folds
    assert not second.folds


def test_what_promises_nothing_is_not_tried() -> None:
    hopeless = Made("partial:y", 0.9, Cost(0, 1, 1), Prior("head:y", 0.0, 0.05))
    climbed = up(Made("head:x", 0.9), Made("head:y", 0.55), hopeless)
    assert not hopeless.folds
    assert "promises" in climbed.left_out[0].why


def test_what_another_model_did_tells_nothing_of_tuning() -> None:
    """A frozen rung on a second model, judged beside the first one's, is no tuning of it."""
    bad, tuned = Made("prompt:z", 0.51, Cost(0, 1, 1), Prior("head:x", -0.3, 0.2)), Made("lora:x", 0.9, None, OVER_HEAD)
    plain = up(Made("head:x", 0.7), tuned)
    beside = up(Made("head:x", 0.7), bad, tuned)
    assert [rung.name for rung in beside.rungs][:3] == ["head:x", "prompt:z", "lora:x"]
    assert beside.rungs[2].expected_log_loss == pytest.approx(plain.rungs[1].expected_log_loss)


def test_what_promises_most_comes_first() -> None:
    little, much = (
        Made(f"{method}:x", 0.6, Cost(0, 1, 1), Prior("head:x", gain, 0.2))
        for method, gain in (("partial", -0.01), ("contrastive", -0.4))
    )
    climbed = up(Made("head:x", 0.6), little, much)
    assert [rung.name for rung in climbed.rungs][:2] == ["head:x", "contrastive:x"]


def test_a_rung_waits_for_the_one_that_it_adds_to_and_falls_with_it() -> None:
    plain = Made("contrastive:x", 0.8, Cost(0, 1, 1), OVER_HEAD)
    more = Made("contrastive:x with unlabelled", 0.9, Cost(0, 4, 4), Prior(plain.name, -0.15, 0.2))
    more.model = "x"
    climbed = up(Made("head:x", 0.6), more, plain)
    assert [rung.name for rung in climbed.rungs][:3] == ["head:x", plain.name, more.name]
    assert more.name in climbed.winner.candidate.name
    failed = Made("contrastive:x", 0.8, Cost(0, 1, 1), OVER_HEAD, fails="it diverged")
    left_out = {some.name: some.why for some in up(Made("head:x", 0.6), more, failed).left_out}
    assert left_out[failed.name] == "it diverged"
    assert left_out[more.name] == "contrastive:x, which it adds to, was left out"
    assert "没有用上" in reason(left_out[more.name]).zh


def test_a_rung_that_fails_does_so_alone() -> None:
    climbed = up(Made("head:x", 0.6), Made("contrastive:x", 0.9, Cost(0, 1, 1), OVER_HEAD, fails="it diverged"))
    assert climbed.winner.candidate.name == "head:x"
    assert climbed.left_out[0].why == "it diverged"
    with pytest.raises(TuningError, match="it diverged"):
        up(Made("contrastive:x", 0.9, Cost(0, 1, 1), OVER_HEAD, fails="it diverged"))


def test_a_blend_is_taken_where_two_know_different_things() -> None:
    dataset = TASK.read(PAIRS, Recipe(), "fit")
    targets = TASK.targets(dataset, dataset.labels)

    class Half(Made):
        """Sure and right on one half, without an opinion on the other."""

        def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
            knows = np.arange(len(dataset)) % 4 < 2 if self.name == "head:x" else np.arange(len(dataset)) % 4 >= 2
            sure = np.where(knows, 0.95, 0.5)[:, None]
            rows = np.log(np.where(targets[:, None] == np.arange(2), sure, 1 - sure))
            return (Trial({}, np.repeat(rows[None], resampling.repeats, axis=0)),)

    climbed = up(Half("head:x", 0.0), Half("head:y", 0.0))
    assert climbed.winner.candidate.method == "blend"
    assert climbed.rungs[climbed.winner.place].name == "head:x + head:y"
    members = climbed.winner.trial.settings["members"]
    assert [member["model"] for member in members] == ["x", "y"]


def test_a_second_backbone_is_blended_though_it_is_not_among_the_best() -> None:
    same = [
        Made(f"{method}:x", right, Cost(0, 1, 1)) for method, right in (("lora", 0.8), ("full", 0.79), ("head", 0.78))
    ]
    climbed = up(*same, Made("tfidf", 0.74), Made("lora:y", 0.7), Made("head:y", 0.65))
    blends = {rung.name for rung in climbed.rungs if " + " in rung.name}
    assert "lora:x + lora:y" in blends
    assert not [name for name in blends if "tfidf" in name or "head:y" in name]


def test_decisions_are_replayed_whatever_the_clock_says(tmp_path: Path) -> None:
    def rungs() -> tuple[Made, Made]:
        return Made("head:x", 0.6), Made("contrastive:x", 0.9, Cost(0, 5, 5), OVER_HEAD)

    first = up(*rungs(), budget=300, journal=Journal(tmp_path))
    again = up(*rungs(), budget=0.5, journal=Journal(tmp_path))
    assert [rung.name for rung in again.rungs] == [rung.name for rung in first.rungs]
    assert again.rungs[1].seconds == first.rungs[1].seconds
    assert again.winner.trial.log_probs.tobytes() == first.winner.trial.log_probs.tobytes()


def test_more_folds_are_replayed_too(tmp_path: Path) -> None:
    def rungs() -> tuple[Made, Made]:
        return Made("head:x", 0.6), Made("contrastive:x", 0.9, Cost(0, 50, 1), OVER_HEAD)

    first, again = (up(*rungs(), budget=budget, journal=Journal(tmp_path)) for budget in (450, 0.5))
    assert "one repeat" in first.rungs[1].resampling
    assert again.rungs[1].resampling == first.rungs[1].resampling
    assert again.rungs[1].seconds == first.rungs[1].seconds


def test_a_temperature_that_is_given_is_scored() -> None:
    plain, hot = (up(Made("head:x", 0.9), temperature=given).rungs[0] for given in (None, 20.0))
    assert hot.settings["temperature"] == 20.0
    assert hot.scores["log_loss"].value > 2 * plain.scores["log_loss"].value


def test_an_easy_fold_does_not_win() -> None:
    """Two rungs without a rung to be compared with, one of them scored on a single fold."""
    first = EasyFold("contrastive:x", 0.95, Cost(0, 1, 1), OVER_HEAD)
    second = EasyFold("contrastive:y", 0.8, Cost(0, 200, 1), Prior("head:y", -0.25, 0.35))
    second.on_folds = 1
    climbed = up(first, second, budget=1000, temperature=1.0)
    assert (first.folds, second.folds) == (20, 1)
    assert "1 of 5 folds" in climbed.rungs[1].resampling
    plain = [rung.scores["log_loss"].value for rung in climbed.rungs[:2]]
    assert plain[1] < plain[0], "the fold is easy"
    assert climbed.rungs[1].expected_log_loss > climbed.rungs[0].expected_log_loss


def test_nothing_is_foreseen_when_the_budget_is_spent() -> None:
    class Dear(Made):
        def foresee(self, dataset: Dataset, run: RunContext) -> Cost | None:
            pytest.fail("foreseeing takes time too")

    climbed = up(Made("head:x", 0.6), Dear("contrastive:x", 0.9, prior=OVER_HEAD), budget=1e-9)
    assert "spent" in climbed.left_out[0].why
