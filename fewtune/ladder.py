"""Which rungs are tried, in what order, until when, and which of them is taken.

Cheapest first: what needs no training, then the tuned rung that promises most. A rung is started
only if what it is foreseen to take is left of the budget; the first one always is. All are scored on
the same folds, the dearer ones on fewer of them, and the one of least expected log loss is taken:
with few examples accuracy moves in steps too coarse to choose by. What is left of the budget then goes
to the folds that the best ones were not scored on: an easy fold may have made them the best.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np

from fewtune.evaluate.calibration import cross_calibrated, out_of_fold_temperature, rescaled
from fewtune.evaluate.metrics import Outcome
from fewtune.evaluate.selection import Choice, Contender, choose, compare, selection_optimism
from fewtune.interfaces import Candidate, ClassifierTask, Cost, Prior, RunContext, Trial, TuningError
from fewtune.tune.blend import BlendCandidate, Member
from fewtune.types import Comparison, Dataset, FloatArray, IntArray, LeftOut, Resampling, Rung

# Rungs that are not expected to lose at least this share of the best one's loss less are not tried.
_LEAST_PROMISE = 0.02
# Share of the budget that all repeats of a rung may take, and that one fold of a whole repeat may.
_REPEATS_SHARE = 1 / 6
_FOLD_SHARE = 1 / 10
# What was foreseen is exceeded now and then: so much room is kept.
_ROOM = 1.25
# Blends lose little less than the better member, but seldom more (benchmarks/README.md).
_BLEND_GAIN = (-0.04, 0.06)
_BLENDED = 3
# So many of the best are scored on the folds that they were not yet scored on: what is taken is one of them or both.
_SETTLED = 2
# From so many on, what the folds say is hardly the choice's weak point.
_ENOUGH = 500
# Deviation of a prior that says nothing: a factor of nearly three either way.
_NOTHING_KNOWN = 1.0
# What a rung on another backbone than the best one's brings to a blend of the two, beyond what it is worth alone.
_SECOND_BACKBONE = 0.08
# How like the gains are that tuning brings on the same data: their correlation, for one method on two
# backbones, and for two methods.
_SAME_METHOD, _OTHER_METHOD = 0.5, 0.4


class NothingTriedError(TuningError):
    """Not one candidate could be had; `left_out` tells of each why."""

    def __init__(self, left_out: Sequence[LeftOut]) -> None:
        super().__init__("; ".join(f"{some.name}: {some.why}" for some in left_out))
        self.left_out = tuple(left_out)


@dataclass(frozen=True, slots=True)
class Winner:
    """A rung that can be delivered.

    Attributes:
        candidate: what is tuned on everything.
        trial: its trial that was taken, with the temperature of its logits; its answers are calibrated.
        place: among the rungs.
        resampling: the folds that it was scored on.
    """

    candidate: Candidate
    trial: Trial
    place: int
    resampling: Resampling


@dataclass(frozen=True, slots=True)
class Climb:
    """How the ladder was climbed.

    Attributes:
        rungs: those tried, in order.
        left_out: those not tried, with the reason.
        winners: the rung that was taken, and after it those that stand in for it should its final tuning fail.
        optimism: metric to what the choice among all trials adds to its plain value.
    """

    rungs: tuple[Rung, ...]
    left_out: tuple[LeftOut, ...]
    winners: tuple[Winner, ...]
    optimism: dict[str, float]

    @property
    def winner(self) -> Winner:
        """The rung that was taken."""
        return self.winners[0]

    def without_winner(self, why: str) -> Climb:
        """The same climb with the next best taken, and the reason among those left out; there must be another."""
        missed = LeftOut(self.winner.candidate.name, why, tried=True)
        return replace(self, winners=self.winners[1:], left_out=(*self.left_out, missed))


def comparisons(climbed: Climb, targets: IntArray) -> tuple[Comparison, ...]:
    """The rung that was taken beside each of the others, in the order of the rungs."""
    winner, *others = climbed.winners
    found = [
        compare(
            _outcome(winner, targets),
            _outcome(other, targets),
            (winner.candidate.name, other.candidate.name),
            among=len(others),
            optimism=climbed.optimism.get("accuracy", 0.0),
        )
        for other in sorted(others, key=lambda other: other.place)
    ]
    return tuple(comparison for comparison in found if comparison is not None)


def _outcome(winner: Winner, targets: IntArray) -> Outcome:
    return Outcome(targets, winner.trial.log_probs, winner.resampling.groups)


@dataclass(frozen=True, slots=True)
class _Tried:
    candidate: Candidate
    trials: tuple[Trial, ...]
    contender: Contender
    resampling: Resampling
    seconds: float
    predicted: float | None
    fold_seconds: float
    final_seconds: float
    cut_short: bool = False


def climb(
    candidates: Sequence[Candidate],
    dataset: Dataset,
    resampling: Resampling,
    task: ClassifierTask,
    run: RunContext,
    *,
    temperature: float | None = None,
    search: bool = False,
) -> Climb:
    """Try candidates until the budget is spent or nothing promises more.

    Args:
        candidates: cheapest first; at least one.
        dataset, resampling, task: what is learnt, and how it is scored.
        run: threads, progress, caches, journal and budget.
        temperature: what logits are divided by; None: found from the out-of-fold answers of each trial.
        search: look for better hyper-parameters of the best rung while the budget lasts.

    Raises:
        NothingTriedError: not one candidate could be had.
    """
    targets = task.targets(dataset, dataset.labels)
    tried: list[_Tried] = []
    left_out: list[LeftOut] = []
    declined: list[Candidate] = []

    def attempt(candidate: Candidate) -> None:
        reason = _without_base(candidate, left_out) or _without_promise(candidate, tried)
        if reason:
            declined.append(candidate)
        else:
            reason = _try(candidate, dataset, resampling, targets, tried, run, temperature)
        if reason:
            left_out.append(LeftOut(candidate.name, reason))
        else:
            show(len(tried) - 1)

    def attempt_all(waiting: list[Candidate]) -> None:
        while waiting:
            candidate = _next(waiting, tried)
            waiting.remove(candidate)
            attempt(candidate)

    def show(place: int) -> None:
        _show(place, tried, dataset, targets, task, run, temperature)

    attempt_all(list(candidates))
    if not tried:
        raise NothingTriedError(left_out)
    if search and (searched := _searched(tried)):
        attempt(searched)
    settled: set[str] = set()
    while (place := _unsettled(tried, settled, resampling)) is not None:
        settled.add(tried[place].candidate.name)
        if _settle(place, dataset, resampling, targets, tried, run, temperature):
            show(place)
            # What was left out beside a rung that was thought better may promise something now.
            again, declined = declined, []
            left_out = [some for some in left_out if some.name not in {candidate.name for candidate in again}]
            attempt_all(again)
    for blend in _blends(tried, run):
        if not _try(blend, dataset, resampling, targets, tried, run, temperature):
            show(len(tried) - 1)
    contenders = [some.contender for some in tried]
    choice = choose(contenders)
    optimism = selection_optimism(contenders, run.generator("selection"))
    scored = [_calibrated(some, choice.trials[i], targets, run, temperature) for i, some in enumerate(tried)]
    rungs = [
        _rung(some, trial, expected, dataset, task)
        for some, trial, expected in zip(tried, scored, choice.expected, strict=True)
    ]
    # The choice first; then, should its tuning on everything fail, by expected loss.
    order = sorted(range(len(tried)), key=lambda i: (i != choice.best, np.nan_to_num(choice.expected[i], nan=np.inf)))
    winners = tuple(Winner(tried[i].candidate, scored[i], i, tried[i].resampling) for i in order)
    return Climb(tuple(rungs), tuple(left_out), winners, optimism)


def _show(
    place: int,
    tried: Sequence[_Tried],
    dataset: Dataset,
    targets: IntArray,
    task: ClassifierTask,
    run: RunContext,
    temperature: float | None,
) -> None:
    """Show a rung; what is expected of it may still move when others are tried."""

    def make() -> Rung:
        choice = choose([some.contender for some in tried])
        trial = _calibrated(tried[place], choice.trials[place], targets, run, temperature)
        return _rung(tried[place], trial, choice.expected[place], dataset, task)

    run.progress.rung(make)


def _next(waiting: Sequence[Candidate], tried: Sequence[_Tried]) -> Candidate:
    """The first of which nothing is known beforehand; when there is none left, the one that promises most.

    One that is known beside another waits for that one.
    """
    unknown = [candidate for candidate in waiting if candidate.prior is None]
    if unknown:
        return unknown[0]
    names = {candidate.name for candidate in waiting}
    ready = [candidate for candidate in waiting if candidate.prior and candidate.prior.over not in names]
    return max(ready, key=lambda candidate: _promise(candidate, tried))


def _promise(candidate: Candidate, tried: Sequence[_Tried]) -> float:
    """How much less than the best so far it is expected to lose, as a share of the best one's loss.

    Expected improvement (Jones, Schonlau & Welch 1998) under the prior: infinite where the rung that
    the prior speaks of was not tried.
    """
    prior = _informed(candidate, tried)
    place = _place(prior, tried)
    if prior is None or place is None:
        return math.inf
    expected = choose([some.contender for some in tried]).expected
    best, over = min(expected), expected[place]
    mean = math.log(max(over, 1e-12)) + prior.mean
    if candidate.model != tried[expected.index(best)].candidate.model:
        mean -= _SECOND_BACKBONE
    z = (math.log(max(best, 1e-12)) - mean) / prior.sd
    normal = NormalDist()
    return normal.cdf(z) - math.exp(mean + prior.sd**2 / 2) * normal.cdf(z - prior.sd) / max(best, 1e-12)


def _informed(candidate: Candidate, tried: Sequence[_Tried]) -> Prior | None:
    """A candidate's prior, after what tuning gave on this data: by the same method, or else by others."""
    prior, place = candidate.prior, _place(candidate.prior, tried)
    if prior is None or place is None:
        return prior
    # What tuning brings to one backbone tells nothing of how another one does, nor of what views or a search
    # bring to one method.
    if tried[place].candidate.model != candidate.model or tried[place].candidate.method == candidate.method:
        return prior
    expected = choose([some.contender for some in tried]).expected if tried else ()
    surprises: dict[bool, list[float]] = {True: [], False: []}
    for i, some in enumerate(tried):
        over, theirs = some.contender.over, some.candidate.prior
        if over is None or theirs is None or some.candidate.method == BlendCandidate.method:
            continue
        beside = tried[over].candidate
        # Views of the texts are no other tuning: what they brought tells nothing of it.
        if some.candidate.method != beside.method and some.candidate.model == beside.model:
            gain = math.log(max(expected[i], 1e-12) / max(expected[over], 1e-12))
            surprises[some.candidate.method == candidate.method].append(gain - theirs.mean)
    known = surprises[True] or surprises[False]
    if not known or candidate.method == BlendCandidate.method:
        return prior
    shared = _SAME_METHOD if surprises[True] else _OTHER_METHOD
    return Prior(prior.over, prior.mean + shared * sum(known) / len(known), prior.sd * math.sqrt(1 - shared**2))


def _place(prior: Prior | None, tried: Sequence[_Tried]) -> int | None:
    names = [some.candidate.name for some in tried]
    return names.index(prior.over) if prior is not None and prior.over in names else None


def _without_base(candidate: Candidate, left_out: Sequence[LeftOut]) -> str:
    """A rung that adds something to another of its method is not tried where that one was not."""
    over = "" if candidate.prior is None else candidate.prior.over
    if over.partition(":")[0] == candidate.method and over in {some.name for some in left_out}:
        return f"{over}, which it adds to, was left out"
    return ""


def _without_promise(candidate: Candidate, tried: Sequence[_Tried]) -> str:
    if not tried or _promise(candidate, tried) >= _LEAST_PROMISE:
        return ""
    return "after what the other rungs gave, it promises no more than they do"


def _try(
    candidate: Candidate,
    dataset: Dataset,
    resampling: Resampling,
    targets: IntArray,
    tried: list[_Tried],
    run: RunContext,
    temperature: float | None,
) -> str:
    """Score a candidate on as many of the folds as the budget allows; the reason, where it was not to be."""
    plan = run.journal.once(f"plan of {candidate.name}", lambda: _plan(candidate, dataset, resampling, tried, run))
    if plan["why"]:
        return plan["why"]
    some = resampling.first(plan["folds"])
    started = time.monotonic()
    try:
        fitted = candidate.cross_fit(dataset, some, run)
    except TuningError as error:
        return str(error)
    seconds = run.journal.once(f"seconds of {candidate.name}", lambda: time.monotonic() - started)
    trials, outcomes, scored = _scored(fitted, resampling, targets, temperature)
    contender = _contender(candidate, outcomes, tried)
    done = len(scored.splits)
    each = max(plan["each"], seconds / done)
    cut_short = done < len(some.splits)
    tried.append(
        _Tried(candidate, trials, contender, scored, seconds, plan["predicted"], each, plan["final"], cut_short)
    )
    return ""


def _scored(
    fitted: Sequence[Trial], resampling: Resampling, targets: IntArray, temperature: float | None
) -> tuple[tuple[Trial, ...], tuple[Outcome, ...], Resampling]:
    """Trials with their temperatures, what the choice sees of them, and the folds that they were scored on."""
    trials = tuple(_with_temperature(trial, targets, temperature) for trial in fitted)
    outcomes = tuple(Outcome(targets, trial.log_probs, resampling.groups) for trial in trials)
    return trials, outcomes, resampling.first(_scored_folds(trials[0].log_probs, resampling))


def _unsettled(tried: Sequence[_Tried], settled: set[str], resampling: Resampling) -> int | None:
    """Place of the first of the best that was scored on few examples, and can still be on more; None: there is none.

    A search is compared on the folds that it was given, and what the budget cut short stays cut.
    """
    expected = choose([some.contender for some in tried]).expected
    for place in sorted(range(len(tried)), key=lambda i: np.nan_to_num(expected[i], nan=np.inf))[:_SETTLED]:
        some = tried[place]
        few = int(some.contender.outcomes[0].seen.any(axis=0).sum()) < _ENOUGH
        more = len(some.resampling.splits) < resampling.folds and some.candidate.on_folds is None and not some.cut_short
        if few and more and some.candidate.name not in settled:
            return place
    return None


def _settle(
    place: int,
    dataset: Dataset,
    resampling: Resampling,
    targets: IntArray,
    tried: list[_Tried],
    run: RunContext,
    temperature: float | None,
) -> bool:
    """Score a rung on as many more of its folds as the budget has room for; whether it was on any.

    Those that it was scored on are not trained again: the journal has them. Rungs that are compared by their plain
    losses may have been scored on other examples than this one from then on.
    """
    some, name, known = tried[place], tried[place].candidate.name, len(tried[place].resampling.splits)

    def room() -> int:
        # A blend of two has to be tuned on everything twice.
        reserve = sum(sorted(other.final_seconds for other in tried)[-_SETTLED:])
        fitting = (run.seconds_left - reserve) / max(1e-9, _ROOM * some.fold_seconds)
        return int(np.clip(fitting, 0, resampling.folds - known))

    more = run.journal.once(f"more folds of {name}", room)
    if not more:
        return False
    started = time.monotonic()
    try:
        fitted = some.candidate.cross_fit(dataset, resampling.first(known + more), run)
    except TuningError as error:
        run.progress.say(f"{name} could not be scored on more folds ({error})")
        return False
    seconds = run.journal.once(f"seconds of more folds of {name}", lambda: time.monotonic() - started)
    trials, outcomes, scored = _scored(fitted, resampling, targets, temperature)
    gained = len(scored.splits) - known
    if gained <= 0:
        return False
    tried[place] = replace(
        some,
        trials=trials,
        contender=replace(some.contender, outcomes=outcomes),
        resampling=scored,
        seconds=some.seconds + seconds,
        predicted=None if some.predicted is None else some.predicted + gained * some.fold_seconds,
    )
    for i, other in enumerate(tried):
        if other.contender.over is None:
            tried[i] = replace(other, contender=_contender(other.candidate, other.contender.outcomes, tried[:i]))
    return True


def _contender(candidate: Candidate, outcomes: tuple[Outcome, ...], tried: Sequence[_Tried]) -> Contender:
    """A rung as the choice sees it: compared with what its prior speaks of, or else with the first rung.

    A rung that was scored on other examples than the first is never compared by its plain loss: an
    easy fold would win.
    """
    prior = _informed(candidate, tried)
    place = _place(prior, tried)
    if prior is not None and place is not None:
        return Contender(outcomes, place, prior.mean, prior.sd)
    if tried:
        seen, first = (some.seen.any(axis=0) for some in (outcomes[0], tried[0].contender.outcomes[0]))
        if (seen != first).any():
            return Contender(outcomes, 0, 0.0, _NOTHING_KNOWN)
    return Contender(outcomes)


def _scored_folds(log_probs: FloatArray, resampling: Resampling) -> int:
    """How many of the folds were answered: a rung can have been given fewer, or the budget cut it short."""
    answered = [
        not np.isnan(log_probs[number // resampling.folds, split.valid, 0]).all()
        for number, split in enumerate(resampling.splits[: len(log_probs) * resampling.folds])
    ]
    # A fold without members is answered by having nothing to answer.
    return max(1, sum(done or not len(split.valid) for done, split in zip(answered, resampling.splits, strict=False)))


def _plan(
    candidate: Candidate, dataset: Dataset, resampling: Resampling, tried: Sequence[_Tried], run: RunContext
) -> dict[str, Any]:
    """How many folds a candidate gets, what they are foreseen to take, or why it is not tried."""
    everything = len(resampling.splits)
    # Whatever is taken in the end has to be tuned on everything: its time is not to be spent on folds.
    reserve = max((some.final_seconds for some in tried), default=0.0)
    if tried and run.seconds_left <= reserve:
        return _not_tried("the budget was spent")
    try:
        # The first rung is started whatever it takes, so nothing need be foreseen of it; a tuned one is never that
        # cheap.
        cost = None if not tried and candidate.prior is None else candidate.foresee(dataset, run)
    except TuningError as error:
        return _not_tried(str(error))
    if cost is None:
        return {"folds": everything, "predicted": None, "each": 0.0, "final": 0.0, "why": ""}
    left = run.seconds_left - reserve
    for folds in [candidate.on_folds] if candidate.on_folds else _choices(cost, resampling, run):
        if _ROOM * cost.of(folds) <= left:
            predicted = cost.once + folds * cost.each
            return {"folds": folds, "predicted": predicted, "each": cost.each, "final": cost.final, "why": ""}
    return _not_tried(_too_long(cost.of(1), left))


def _not_tried(why: str) -> dict[str, Any]:
    return {"folds": 0, "predicted": None, "each": 0.0, "final": 0.0, "why": why}


def _choices(cost: Cost, resampling: Resampling, run: RunContext) -> Iterator[int]:
    """Numbers of folds that go with what one takes: all repeats, one repeat, a hold-out."""
    everything = len(resampling.splits)
    if everything * cost.each <= _REPEATS_SHARE * run.budget_seconds:
        yield everything
    if cost.each <= _FOLD_SHARE * run.budget_seconds:
        yield resampling.folds
    yield 1


def _with_temperature(trial: Trial, targets: IntArray, given: float | None) -> Trial:
    """A trial with calibrated answers, and the temperature that calibrates them among its settings."""
    temperature = out_of_fold_temperature(trial.log_probs, targets) if given is None else given
    settings = {**trial.settings, "temperature": temperature}
    return replace(trial, settings=settings, log_probs=rescaled(trial.log_probs, temperature).astype(np.float32))


def _calibrated(tried: _Tried, chosen: int, targets: IntArray, run: RunContext, given: float | None) -> Trial:
    """The chosen trial with answers that each were calibrated by others', or by the temperature that was given."""
    trial = tried.trials[chosen]
    if given is not None:
        return trial
    plain = rescaled(trial.log_probs, 1 / float(trial.settings["temperature"]))
    generator = run.generator("calibration", tried.candidate.name)
    return replace(trial, log_probs=cross_calibrated(plain, targets, tried.resampling.groups, generator))


def _rung(tried: _Tried, trial: Trial, expected: float, dataset: Dataset, task: ClassifierTask) -> Rung:
    groups = tried.resampling.groups
    how = f"out of fold: {tried.resampling.name}"
    return Rung(
        name=tried.candidate.name,
        method=tried.candidate.method,
        model=tried.candidate.model,
        settings=trial.settings,
        scores=task.score(dataset, dataset.labels, trial.log_probs, groups, how=how, out_of_fold=True),
        expected_log_loss=expected,
        seconds=tried.seconds,
        predicted_seconds=tried.predicted,
        resampling=tried.resampling.name,
    )


def _searched(tried: Sequence[_Tried]) -> Candidate | None:
    """The best rung with its hyper-parameters looked for, on the folds that it was scored on itself."""
    choice = choose([some.contender for some in tried])
    best = tried[choice.best]
    loss = float(np.nanmean(best.contender.losses[choice.trials[choice.best]]))
    return best.candidate.searched(len(best.resampling.splits), loss)


def _blends(tried: Sequence[_Tried], run: RunContext) -> Iterator[BlendCandidate]:
    """Pairs of the best rungs and the best on a second backbone, whose tuning on everything fits what is left."""
    choice = choose([some.contender for some in tried])
    order = sorted(range(len(tried)), key=lambda i: choice.expected[i])
    # Two backbones err differently, so the best on another one may add more than the next best on the same.
    models = [tried[i].candidate.model for i in order]
    second = next((n for n, model in enumerate(models) if model and model != models[0]), 0)
    best = [i for n, i in enumerate(order) if n < _BLENDED or n == second]
    for better, other in combinations(best, 2):
        if _kind(tried[better].candidate) == _kind(tried[other].candidate):
            continue  # the same rung, with views of the texts and without
        final = tried[better].final_seconds + tried[other].final_seconds
        name = f"{tried[better].candidate.name} + {tried[other].candidate.name}"
        if run.journal.once(f"room for {name}", lambda final=final: _ROOM * final <= run.seconds_left):
            members = (_member(tried[better], better, choice), _member(tried[other], other, choice))
            yield BlendCandidate(members, prior=Prior(tried[better].candidate.name, *_BLEND_GAIN))


def _kind(candidate: Candidate) -> tuple[str, str]:
    return candidate.method, candidate.model


def _member(tried: _Tried, place: int, choice: Choice) -> Member:
    trial = tried.trials[choice.trials[place]]
    return Member(tried.candidate, trial.settings, trial)


def _too_long(seconds: float, left: float) -> str:
    minutes = max(1, math.ceil((seconds * _ROOM - left) / 60))
    return (
        f"it would take about {seconds:.0f} s, and {max(0, left):.0f} s of the budget were left; "
        f"a --budget longer by about {minutes} min tries it"
    )
