"""Fit the linear heads of one rung on every fold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fewtune.interfaces import RunContext, Trial
from fewtune.types import FloatArray, Resampling, Split


def cross_fit(
    resampling: Resampling,
    shape: tuple[int, int],
    settings: Sequence[Mapping[str, Any]],
    fit_fold: Callable[[Split], Iterable[FloatArray]],
    *,
    run: RunContext,
    name: str,
) -> tuple[Trial, ...]:
    """Collect out-of-fold log probabilities.

    Args:
        resampling: the folds.
        shape: (examples, classes).
        settings: one for each trial.
        fit_fold: a split to the log probabilities (validated, classes) of each trial, in the order of `settings`.
        run: shows progress.
        name: of the step shown.
    """
    log_probs = np.full((len(settings), resampling.repeats, *shape), np.nan, dtype=np.float32)
    per_repeat = len(resampling.splits) // resampling.repeats
    with run.progress.step(name, total=len(resampling.splits)) as step:
        for number, split in enumerate(resampling.splits):
            for trial, fold in enumerate(fit_fold(split)):
                log_probs[trial, number // per_repeat, split.valid] = fold
            step.advance()
    return tuple(Trial(chosen, scored) for chosen, scored in zip(settings, log_probs, strict=True))
