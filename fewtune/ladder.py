"""Which rungs are tried, in what order, until when, and which of them is taken.

Cheapest first. A rung is started only if what it is foreseen to take is left of the budget; the
first one always is. All are scored on the same folds, and the trial of least out-of-fold log loss
is taken: with few examples accuracy moves in steps too coarse to choose by.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.evaluate.metrics import Outcome
from fewtune.evaluate.selection import selection_optimism
from fewtune.interfaces import Candidate, RunContext, Task, Trial
from fewtune.types import Dataset, LeftOut, Resampling, Rung


@dataclass(frozen=True, slots=True)
class Climb:
    """How the ladder was climbed.

    Attributes:
        rungs: those tried, in order.
        left_out: those not tried, with the reason.
        winner: the candidate that was taken.
        trial: its trial that was taken.
        optimism: metric to what the choice among all trials adds to its plain value.
    """

    rungs: tuple[Rung, ...]
    left_out: tuple[LeftOut, ...]
    winner: Candidate
    trial: Trial
    optimism: dict[str, float]


def climb(
    candidates: Sequence[Candidate],
    dataset: Dataset,
    resampling: Resampling,
    task: Task,
    run: RunContext,
    *,
    deadline: float,
) -> Climb:
    """Try candidates until the budget is spent.

    Args:
        candidates: cheapest first; at least one.
        dataset, resampling, task: what is learnt, and how it is scored.
        run: threads, progress, caches.
        deadline: on the clock of `time.monotonic`, when the budget is spent.
    """
    rungs: list[Rung] = []
    left_out: list[LeftOut] = []
    tried: list[tuple[Candidate, Trial, Outcome]] = []
    targets = task.targets(dataset, dataset.labels)
    for candidate in candidates:
        # The first rung is started whatever it takes, so nothing need be foreseen of it.
        predicted = candidate.predict_seconds(dataset, resampling, run) if tried else None
        left = deadline - time.monotonic()
        if tried and predicted is not None and predicted > left:
            left_out.append(LeftOut(candidate.name, _too_long(predicted, left)))
            continue
        started = time.monotonic()
        trials = candidate.cross_fit(dataset, resampling, run)
        outcomes = [Outcome(targets, trial.log_probs, resampling.groups) for trial in trials]
        best = int(np.argmin([_loss(outcome) for outcome in outcomes]))
        scores = task.score(
            dataset, dataset.labels, trials[best].log_probs, resampling.groups, how=f"out of fold: {resampling.name}"
        )
        seconds = time.monotonic() - started
        rungs.append(
            Rung(
                candidate.name,
                candidate.method,
                candidate.model,
                trials[best].settings,
                scores,
                _loss(outcomes[best]),
                seconds,
                predicted,
            )
        )
        tried += [(candidate, trial, outcome) for trial, outcome in zip(trials, outcomes, strict=True)]
    chosen = int(np.argmin([_loss(outcome) for _, _, outcome in tried]))
    winner, trial, _ = tried[chosen]
    optimism = selection_optimism([outcome for _, _, outcome in tried], run.generator("selection"))
    return Climb(tuple(rungs), tuple(left_out), winner, trial, optimism)


def _loss(outcome: Outcome) -> float:
    return float(np.nanmean(outcome.losses))


def _too_long(predicted: float, left: float) -> str:
    minutes = max(1, round((predicted + 30) / 60))
    return (
        f"it would take about {predicted:.0f} s, and {max(0, left):.0f} s of the budget were left; "
        f"a longer --budget, by about {minutes} min, tries it"
    )
