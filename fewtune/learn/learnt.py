"""What both ways of learning deliver."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewtune.errors import RecipeError, UserError
from fewtune.interfaces import Fitted, Task
from fewtune.recipe import Recipe
from fewtune.tune.self_training import UNLABELED
from fewtune.types import (
    AnswerRules,
    Comparison,
    Compression,
    Dataset,
    LearningCurve,
    LeftOut,
    Rung,
    Scores,
    Suspect,
    UnlabelledGain,
)


@dataclass(frozen=True, slots=True)
class Learnt:
    """A model that was chosen, tuned on everything and scored.

    Attributes:
        fitted: graphs and assets.
        recipe: what makes it again, without the search.
        model: the backbone's name.
        scores: what it is worth on new data.
        rungs, left_out: what was tried, and what was not.
        resampling: the folds that chose it, in words.
        private: name to content of files that hold training content.
        disagreement: how far answers of the written bundle are from the tuner's, given the opened bundle.
        parity_tolerance: the most that may be.
        answer_rules, comparisons, learning_curve, suspects, unlabelled: as in `FitResult`.
        on_test: scores of an opened bundle on the test data, and the private files that hold its answers; None
            where there are none.
        compression: how it was made smaller after the tuning; None where nothing was tried.
    """

    fitted: Fitted
    recipe: Recipe
    model: str
    scores: Scores
    rungs: tuple[Rung, ...]
    left_out: tuple[LeftOut, ...]
    resampling: str
    private: Mapping[str, bytes]
    disagreement: Callable[[Any], float]
    parity_tolerance: float
    answer_rules: AnswerRules = field(default_factory=AnswerRules)
    comparisons: tuple[Comparison, ...] = ()
    learning_curve: LearningCurve | None = None
    suspects: tuple[Suspect, ...] = ()
    unlabelled: UnlabelledGain | None = None
    on_test: Callable[[Any], tuple[Scores, dict[str, bytes]]] | None = None
    compression: Compression | None = None


def resolved(
    recipe: Recipe, task: Task, *, method: str, model: str, settings: Mapping[str, Any], augment: str, threads: int
) -> Recipe:
    """The recipe that makes this model again, without the search."""
    return recipe.model_copy(
        update={
            "data": Path(recipe.data).name,
            "test": Path(recipe.test).name if recipe.test else "",
            # A model that did not learn from unlabelled data is made again without any.
            "unlabeled": Path(recipe.unlabeled).name if learns_unlabelled(settings) else "",
            "task": task.name,
            "method": method,
            "model": model or "auto",
            "augment": augment,
            "threads": threads,
            "settings": dict(settings),
        }
    )


def learns_unlabelled(settings: Mapping[str, Any]) -> bool:
    """Whether a rung with these settings, or a member of a blend, learns from unlabelled data."""
    members = settings.get("members", ())
    return bool(settings.get(UNLABELED)) or any(learns_unlabelled(member["settings"]) for member in members)


def parity_inputs(task: Task, dataset: Dataset) -> list[Any]:
    """What the written bundle must answer as the tuner does: a part of the data, and what is odd."""
    step = max(1, len(dataset) // task.compared_inputs)
    return [*(example.input for example in dataset.examples[::step]), *task.odd_inputs]


def nothing_to_try(not_offered: Sequence[LeftOut]) -> UserError:
    """The error where no rung is offered."""
    reasons = "; ".join(f"{left_out.name}: {left_out.why}" for left_out in not_offered)
    return RecipeError(
        f"There is nothing to try: {reasons}.",
        how="Use --method auto, give a longer --budget, or install what is missing.",
    )


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A JSON object a line; texts that are not Unicode are kept as they came."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")
