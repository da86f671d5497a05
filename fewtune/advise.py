"""Which model, which method, how long, how good: a rehearsal of the climb that `fit` would make.

The cheap rungs are really tried. For the dear ones a few real steps are timed on this processor, and
the ladder climbs on a clock of its own, with answers that lose as much as the prior expects of them:
what it would try within the budget, and what it would take, comes from the ladder itself.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from fewtune import catalog
from fewtune.data.language import main_languages
from fewtune.errors import RecipeError
from fewtune.evaluate.learning_curve import LEVEL, MORE_PER_CLASS, forecast_without_points
from fewtune.interfaces import Candidate, ClassifierTask, Cost, Fitted, Prior, RunContext, Trial
from fewtune.journal import Journal
from fewtune.ladder import Climb, NothingTriedError, climb
from fewtune.progress import Progress
from fewtune.recipe import Recipe
from fewtune.runtime.machine import describe_machine, peak_memory_mb
from fewtune.tune.search import SEARCHED
from fewtune.types import Advice, Dataset, FloatArray, Forecast, IntArray, LeftOut, Outlook, Resampling, Score

# Reading, checking, writing and comparing the bundle, whatever the method.
_FIXED_SECONDS = 4.0
# Share of the seconds of the taken rung's folds that its learning curve takes.
_CURVE = 1.5
# What is likely is meant with the learning curve's probability; scores have intervals of 95 %.
_Z95 = 1.96


class _Clock(Journal):
    """A journal whose time is what the rehearsal says that it is."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds that the fit would have taken so far."""
        return self.seconds


@dataclass
class _Stage:
    """What the rehearsed candidates share.

    Attributes:
        clock: is moved on by what each takes.
        targets: (n,) class indices.
        answers: name of a rung that was really tried to its best answers.
        expected: name of a rung that was not to answers as good as its prior expects.
        costs: name of a rung to what it would take.
    """

    clock: _Clock
    targets: IntArray
    answers: dict[str, FloatArray] = field(default_factory=dict)
    expected: dict[str, FloatArray] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)

    def known(self, prior: Prior | None) -> FloatArray:
        """(repeats, n, k) answers of what the prior speaks of, or else of whatever was tried first."""
        first = next(iter(self.answers.values()))
        return first if prior is None else {**self.expected, **self.answers}.get(prior.over, first)


class _Real(Candidate):
    """A cheap rung: really tried, and its time counted."""

    def __init__(self, candidate: Candidate, stage: _Stage) -> None:
        self._candidate, self._stage = candidate, stage
        self.name, self.method, self.model = candidate.name, candidate.method, candidate.model
        self.prior, self.on_folds = candidate.prior, candidate.on_folds

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost | None:
        """As the candidate itself does; the fit will take that time as well."""
        started = time.monotonic()
        cost = self._candidate.foresee(dataset, run)
        self._stage.clock.seconds += time.monotonic() - started
        self._stage.costs[self.name] = cost or Cost(0.0, 0.0, 0.0)
        return cost

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Really fit, and count the time."""
        started = time.monotonic()
        trials = self._candidate.cross_fit(dataset, resampling, run)
        self._stage.clock.seconds += time.monotonic() - started
        losses = [_loss(trial.log_probs, self._stage.targets) for trial in trials]
        self._stage.answers[self.name] = trials[int(np.argmin(losses))].log_probs
        return trials

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """As the candidate itself does."""
        return self._candidate.fit(dataset, settings, run)


class _Rehearsed(_Real):
    """A dear rung: its time is foreseen, and its answers are the cheaper rung's, as much better as the prior says."""

    def __init__(self, candidate: Candidate, stage: _Stage) -> None:
        super().__init__(candidate, stage)
        self._folds = 0

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Count the time, and answer as the prior expects."""
        del dataset, run
        cost = self._stage.costs[self.name]
        # Folds that it was scored on before take no time again.
        self._stage.clock.seconds += (len(resampling.splits) - self._folds) * cost.each
        self._stage.clock.seconds += 0.0 if self._folds else cost.once
        self._folds = len(resampling.splits)
        known = self._stage.known(self.prior)
        validated = np.full((resampling.repeats, *known.shape[1:]), np.nan)
        for number, split in enumerate(resampling.splits):
            repeat = number // resampling.folds
            validated[repeat, split.valid] = known[repeat % len(known), split.valid]
        ratio = math.exp(self.prior.mean) if self.prior else 1.0
        answers = self._stage.expected[self.name] = _improved(validated, self._stage.targets, ratio)
        return (Trial({}, answers),)

    def searched(self, folds: int, loss: float) -> Candidate | None:
        """Its search, rehearsed as well."""
        found = self._candidate.searched(folds, loss)
        return None if found is None else _Rehearsed(found, self._stage)


def _loss(log_probs: FloatArray, targets: IntArray) -> float:
    return -float(np.nanmean(np.take_along_axis(log_probs, targets[None, :, None], axis=2)))


def _improved(log_probs: FloatArray, targets: IntArray, ratio: float) -> FloatArray:
    """Answers mixed with the truth, or with nothing known, until they lose `ratio` times as much."""
    truth = np.eye(log_probs.shape[2])[targets][None]
    goal = ratio * _loss(log_probs, targets)
    other = truth if ratio < 1 else np.full_like(truth, 1 / log_probs.shape[2])
    low, high = 0.0, 1.0
    mixed = log_probs
    for _ in range(30):
        share = (low + high) / 2
        mixed = np.log((1 - share) * np.exp(log_probs) + share * other + 1e-12)
        better = _loss(mixed, targets) < goal
        low, high = (low, share) if better == (ratio < 1) else (share, high)
    return mixed.astype(np.float32)


def advise(recipe: Recipe, dataset: Dataset, task: ClassifierTask, threads: int, progress: Progress) -> Advice:
    """What to fit on this data, with this machine, within the recipe's budget.

    Args:
        recipe: model, method and budget as `fit` would get them.
        dataset: checked.
        task: what is learnt.
        threads: how many a computation may use.
        progress: where progress is shown.

    Raises:
        RecipeError: a setting cannot be used, or nothing can be tried.
    """
    offers = [tuner.candidates(dataset, recipe) for tuner in catalog.find_tuners(recipe, task)]
    candidates = [candidate for found, _ in offers for candidate in found]
    not_offered = tuple(reason for _, left_out in offers for reason in left_out)
    if not candidates:
        raise _nothing(not_offered)
    with tempfile.TemporaryDirectory(prefix="fewtune-advise-") as place:
        clock = _Clock()
        run = RunContext(Path(place), recipe.seed, threads, progress, clock, recipe.budget_seconds)
        stage = _Stage(clock, task.targets(dataset, dataset.labels))
        resampling = task.resample(dataset, run)
        if all(some.prior is not None for some in candidates):
            _try_what_priors_speak_of(recipe, dataset, resampling, task, stage, run)
        rehearsed = [(_Real if some.prior is None else _Rehearsed)(some, stage) for some in candidates]
        try:
            climbed = climb(rehearsed, dataset, resampling, task, run, search=recipe.method == "auto")
        except NothingTriedError as error:
            raise _nothing((*not_offered, *error.left_out)) from None
        groups = resampling.groups
        tried = {
            name: task.score(dataset, dataset.labels, answers, groups, how="", out_of_fold=True)[task.primary_metric]
            for name, answers in stage.answers.items()
        }
    outlooks = _outlooks(climbed, task.primary_metric, candidates, tried)
    taken = outlooks[climbed.winner.place]
    now = Score(taken.likely, taken.low, taken.high, len(dataset), LEVEL)
    more = tuple(forecast_without_points(now, len(dataset), len(dataset.labels), some) for some in MORE_PER_CLASS)
    left_out = (*not_offered, *climbed.left_out)
    return Advice(
        examples=len(dataset),
        classes=len(dataset.labels),
        languages=main_languages([example.input for example in dataset]) if task.reads == "text" else {},
        machine=describe_machine(threads),
        method=climbed.winner.candidate.method,
        model=climbed.winner.candidate.model,
        seconds=_seconds(climbed, stage),
        peak_memory_mb=peak_memory_mb() + _delivered_mb(climbed, stage),
        outlooks=outlooks,
        left_out=left_out,
        more_labels=more,
        why=_why(climbed, outlooks, more, left_out),
    )


def _nothing(left_out: Sequence[LeftOut]) -> RecipeError:
    reasons = "; ".join(f"{some.name}: {some.why}" for some in left_out)
    return RecipeError(f"There is nothing to try: {reasons}.", how="Use --method auto, or install what is missing.")


def _delivered_mb(climbed: Climb, stage: _Stage) -> float:
    members = climbed.winner.candidate.name.split(" + ")
    return sum(stage.costs[name].delivered_mb for name in members if name in stage.costs)


def _seconds(climbed: Climb, stage: _Stage) -> float:
    """All of the fit: the rungs, the final tuning of what is taken, its learning curve, and the rest."""
    members = climbed.winner.candidate.name.split(" + ")
    final = sum(stage.costs[name].final for name in members if name in stage.costs)
    folds = sum(rung.seconds for rung in climbed.rungs if rung.name in members)
    return stage.clock.seconds + final + _CURVE * folds + _FIXED_SECONDS


def _try_what_priors_speak_of(
    recipe: Recipe, dataset: Dataset, resampling: Resampling, task: ClassifierTask, stage: _Stage, run: RunContext
) -> None:
    """Where only tuned rungs were asked for, what they are compared with is tried all the same; `fit` does not."""
    asked_for = recipe.model_copy(update={"method": "auto", "settings": {}})
    for tuner in catalog.stand_ins(recipe, task):
        for candidate in tuner.candidates(dataset, asked_for)[0]:
            _Real(candidate, stage).cross_fit(dataset, resampling, run)
    stage.clock.seconds = 0.0
    if not stage.answers:
        nothing_known = np.full((resampling.repeats, len(dataset), len(dataset.labels)), 1 / len(dataset.labels))
        stage.answers["nothing"] = np.log(nothing_known).astype(np.float32)


def _outlooks(
    climbed: Climb, metric: str, candidates: Sequence[Candidate], tried: Mapping[str, Score]
) -> tuple[Outlook, ...]:
    """What each rung of the climb is likely worth: measured where it was really tried, else after its prior."""
    priors = {candidate.name: candidate.prior for candidate in candidates if candidate.prior is not None}
    found: dict[str, Outlook] = {}
    for place, rung in enumerate(climbed.rungs):
        members = [name.removesuffix(SEARCHED) for name in rung.name.split(" + ")]
        measured = not priors.keys() & set(members)
        score = rung.scores[metric]
        value, low, high = score.value, score.low or 0.0, 1.0 if score.high is None else score.high
        if rung.name in priors:
            prior = priors[rung.name]
            value, low, high = _after_prior(tried.get(prior.over, next(iter(tried.values()))), prior)
        elif not measured:
            # A blend is worth about as much as its better member, and a search as what it looks beyond.
            better = max((found[name] for name in members), key=lambda member: member.likely)
            value, low, high = better.likely, better.low, better.high
        found[rung.name] = Outlook(
            rung.name,
            rung.method,
            rung.model,
            rung.predicted_seconds,
            value,
            low,
            high,
            measured=measured,
            taken=place == climbed.winner.place,
        )
    return tuple(found.values())


def _after_prior(over: Score, prior: Prior) -> tuple[float, float, float]:
    """Value and band of a share of right answers whose errors change as the prior expects of the log loss."""
    error = max(1 - over.value, 0.5 / max(over.n, 1))
    spread = 0.0 if over.low is None or over.high is None else (over.high - over.low) / (2 * _Z95 * error)
    half = NormalDist().inv_cdf(0.5 + LEVEL / 2) * math.hypot(prior.sd, spread)
    low, middle, high = (error * math.exp(prior.mean + shift) for shift in (half, 0.0, -half))
    return 1 - min(1.0, middle), max(0.0, 1 - low), 1 - min(1.0, high)


def _why(
    climbed: Climb, outlooks: Sequence[Outlook], more: Sequence[Forecast], left_out: Sequence[LeftOut]
) -> tuple[str, ...]:
    """The advice's reasons, a sentence each."""
    taken = outlooks[climbed.winner.place]
    said = [
        f"{taken.name} is likely to lose least: about {100 * taken.likely:.0f} of 100 right "
        f"({100 * taken.low:.0f} to {100 * taken.high:.0f})."
    ]
    others = sorted((some for some in outlooks if not some.taken), key=lambda some: -some.likely)
    if others:
        said.append(f"The next best is {others[0].name}, at about {100 * others[0].likely:.0f} of 100.")
    gain = more[0]
    labels = f"{gain.more_per_class} more labels a class are likely to bring {max(0.0, 100 * gain.gain_low):.0f} to "
    labels += f"{100 * gain.gain_high:.0f} points"
    better = [some for some in left_out if "budget" in some.why or "install" in some.why]
    said.append(f"{labels}." if not better else f"{labels}; beyond that, what was left out could be tried:")
    said += [f"{some.name}: {some.why}" for some in better]
    return tuple(said)
