"""What learning boxes, masks or translations would take: each rung plans, and times a few of its steps."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fewtune.interfaces import Method, RunContext, StructuredCandidate, StructuredTask, TuningError
from fewtune.learn.learnt import nothing_to_try
from fewtune.learn.structured import BASELINE, folds_within, offers, share_of
from fewtune.progress import Progress
from fewtune.recipe import Recipe
from fewtune.runtime.machine import describe_machine, peak_memory_mb
from fewtune.types import Advice, Dataset, LeftOut, Outlook, Resampling

# Reading, checking, writing and comparing the bundle, whatever the method.
_FIXED_SECONDS = 8.0


def advise_structured(
    task: StructuredTask,
    methods: Sequence[Method],
    dataset: Dataset,
    has_test: bool,
    recipe: Recipe,
    threads: int,
    progress: Progress,
) -> Advice:
    """What `fit` would try on this data within the recipe's budget, and what that takes.

    How good a rung will be is not foreseen: for these tasks nothing but trying it tells.

    Args:
        task: what is learnt.
        methods: those that may be tried.
        dataset: checked.
        has_test: whether test data will score the model: a single rung then needs no folds.
        recipe: model, method and budget as `fit` would get them.
        threads: how many a computation may use.
        progress: where progress is shown.

    Raises:
        RecipeError: there is nothing to try.
    """
    candidates, not_offered = offers(methods, dataset, recipe)
    left_out = list(not_offered)
    found: list[Outlook] = []
    finals: list[float] = []
    spent = 0.0
    with tempfile.TemporaryDirectory(prefix="fewtune-advise-") as place:
        run = RunContext(Path(place), recipe.seed, threads, progress, budget_seconds=recipe.budget_seconds)
        resampling = task.resample(dataset, run)
        alone = has_test and len(candidates) == 1
        for number, candidate in enumerate(candidates):
            left = max(0.0, recipe.budget_seconds - spent)
            seconds = left if alone else share_of(left, len(candidates) - number)
            try:
                plan = candidate.plan(dataset, seconds, run)
            except TuningError as error:
                left_out.append(LeftOut(candidate.name, str(error)))
                continue
            finals.append(plan.seconds)
            folds = 0.0 if alone else _of_folds(plan.seconds, resampling, recipe.budget_seconds)
            spent += folds
            found.append(_outlook(candidate, folds or plan.seconds))
    if not found:
        raise nothing_to_try(left_out)
    tuned = next((some for some in reversed(found) if some.method != BASELINE), found[-1])
    return Advice(
        examples=len(dataset),
        classes=len(dataset.labels),
        languages={},
        machine=describe_machine(threads),
        method=recipe.method if recipe.method != "auto" else tuned.method,
        model=tuned.model,
        seconds=spent + max(finals) + _FIXED_SECONDS,
        peak_memory_mb=peak_memory_mb(),
        outlooks=tuple(found),
        left_out=tuple(left_out),
        more_labels=(),
        why=_why(task, found, left_out),
    )


def _of_folds(seconds: float, resampling: Resampling, budget_seconds: float) -> float:
    return seconds * folds_within(seconds, resampling, budget_seconds)


def _outlook(candidate: StructuredCandidate, seconds: float) -> Outlook:
    return Outlook(
        candidate.name,
        candidate.method,
        candidate.model,
        seconds,
        math.nan,
        math.nan,
        math.nan,
        measured=False,
        taken=False,
    )


def _why(task: StructuredTask, found: Sequence[Outlook], left_out: Sequence[LeftOut]) -> tuple[str, ...]:
    names = ", ".join(some.name for some in found)
    tried = f"Within the budget, fit tries {names}, and takes the one with the best {task.primary_metric} on examples "
    return (
        f"{tried}held out.",
        "How good each will be cannot be told before it is tried.",
        *(f"{some.name}: {some.why}" for some in left_out),
    )
