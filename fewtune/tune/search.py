"""Hyper-parameters beyond a rung's own portfolio, looked for while the budget lasts.

By Optuna's tree-structured Parzen estimator (Bergstra et al. 2011; Akiba et al. 2019, arXiv:1907.10902),
on the folds that the rung itself was scored on, from its own hyper-parameters on.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fewtune.evaluate.calibration import out_of_fold_temperature, rescaled
from fewtune.interfaces import Candidate, Cost, Fitted, Prior, RunContext, Trial, TuningError
from fewtune.tune.linear_head import class_indices
from fewtune.types import Dataset, FloatArray, IntArray, Resampling

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

# What the name of a rung whose hyper-parameters were looked for ends with.
SEARCHED = " with search"
# With fewer there is nothing to be learnt from one for the next, and after so many little is left to be found.
LEAST_TRIALS, MOST_TRIALS = 6, 40
# Of what is left of the budget, so much is planned to be used: some trials train for longer than the rung did.
_PLANNED = 0.75
# Trials drawn at random before what they gave is modelled.
_RANDOM_TRIALS = 4
# Mean and deviation of the logarithm of the log loss over that of the rung as it is: assumed, since the portfolio was
# chosen well; `python benchmarks/run.py search` measures it.
GAIN = (-0.01, 0.05)


@dataclass(frozen=True, slots=True)
class Range:
    """What one hyper-parameter may be.

    Attributes:
        low, high: both may be taken.
        log: ratios matter, not differences.
        whole: only whole numbers.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False


class Searchable(Protocol):
    """A rung whose hyper-parameters can be set."""

    name: str
    method: str
    model: str

    def search_space(self, dataset: Dataset) -> Mapping[str, Range]:
        """What may be set, and to what."""
        ...

    def with_settings(self, settings: Mapping[str, Any]) -> Candidate:
        """The same rung with these of its hyper-parameters fixed."""
        ...

    def own_settings(self, dataset: Dataset) -> Mapping[str, Any]:
        """What it takes where nothing is set."""
        ...


class SearchCandidate(Candidate):
    """A rung with hyper-parameters that were looked for."""

    def __init__(self, base: Searchable, folds: int, loss: float) -> None:
        """Look for better ones than those of `base`, which lost `loss` on so many folds."""
        self._base, self._loss = base, loss
        self.name, self.method, self.model = f"{base.name}{SEARCHED}", base.method, base.model
        self.prior = Prior(base.name, *GAIN)
        self.on_folds = folds

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost:
        """As many trials as fit what is left of the budget.

        Raises:
            TuningError: one of them would not fit this machine's memory.
        """
        cost = self._base.with_settings({}).foresee(dataset, run)
        assert cost is not None
        assert self.on_folds is not None
        room = _PLANNED * run.seconds_left - cost.final - cost.once
        trials = int(np.clip(room / max(1e-9, self.on_folds * cost.each), LEAST_TRIALS, MOST_TRIALS))
        run.journal.once(f"trials of {self.name}", lambda: trials)
        run.journal.once(f"final of {self.name}", lambda: cost.final)
        return Cost(cost.once, trials * cost.each, cost.final, cost.delivered_mb)

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """The best of each set of hyper-parameters that was tried, on every fold.

        Raises:
            TuningError: not one of them could be had.
        """
        space, targets = self._base.search_space(dataset), class_indices(dataset)
        study = _study(run.seed_of(self.name, "search"))
        study.add_trial(_known(self._base.own_settings(dataset), space, self._loss))
        wanted = run.journal.once(f"trials of {self.name}", lambda: LEAST_TRIALS)
        final = run.journal.once(f"final of {self.name}", lambda: 0.0)
        found: list[Trial] = []
        seconds: list[float] = []
        with run.progress.step(f"Search for {self._base.name}", total=wanted) as step:
            for number in range(wanted):
                name = f"trial {number} of {self.name}"
                if not run.journal.once(f"{name} is reached", lambda: _reached(seconds, final, run)):
                    break
                started = run.journal.elapsed
                asked = study.ask(_distributions(space))
                try:
                    best, loss = _best(self._base.with_settings(asked.params), dataset, resampling, targets, run)
                except TuningError:
                    study.tell(asked, values=None, state=_failed())
                else:
                    study.tell(asked, loss)
                    found.append(best)
                took = run.journal.once(f"{name} took", lambda started=started: run.journal.elapsed - started)
                seconds.append(took)
                step.advance()
        if not found:
            raise TuningError("not one of the hyper-parameters that were tried could be had")
        return tuple(found)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """As the rung itself does."""
        return self._base.with_settings(settings).fit(dataset, settings, run)


def can_search() -> bool:
    """Whether what searches is installed."""
    return find_spec("optuna") is not None


def _reached(seconds: list[float], final: float, run: RunContext) -> bool:
    """Whether one more trial, and a fit on everything, are left of the budget."""
    return not seconds or 1.25 * statistics.fmean(seconds) + 1.5 * final < run.seconds_left


def _best(
    candidate: Candidate, dataset: Dataset, resampling: Resampling, targets: IntArray, run: RunContext
) -> tuple[Trial, float]:
    trials = candidate.cross_fit(dataset, resampling, run)
    losses = [_loss(trial.log_probs, targets) for trial in trials]
    place = int(np.argmin(losses))
    return trials[place], losses[place]


def _loss(log_probs: FloatArray, targets: IntArray) -> float:
    calibrated = rescaled(log_probs, out_of_fold_temperature(log_probs, targets))
    return -float(np.nanmean(np.take_along_axis(calibrated, targets[None, :, None], axis=2)))


def _study(seed: int) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=1 + _RANDOM_TRIALS)
    return optuna.create_study(sampler=sampler)


def _known(settings: Mapping[str, Any], space: Mapping[str, Range], loss: float) -> Any:
    from optuna.trial import create_trial

    params = {name: _within(settings[name], some) for name, some in space.items()}
    return create_trial(params=params, distributions=dict(_distributions(space)), value=loss)


def _within(value: Any, some: Range) -> float | int:
    inside = min(max(float(value), some.low), some.high)
    return round(inside) if some.whole else inside


def _distributions(space: Mapping[str, Range]) -> dict[str, BaseDistribution]:
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        name: IntDistribution(int(some.low), int(some.high), log=some.log)
        if some.whole
        else FloatDistribution(some.low, some.high, log=some.log)
        for name, some in space.items()
    }


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL
