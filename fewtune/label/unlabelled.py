"""Unlabelled inputs to learn from: read, sifted, and kept apart from what is tested."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fewtune.errors import DataError
from fewtune.interfaces import Inputs, Task
from fewtune.label.apart import find_other_kind
from fewtune.label.pool import LABELLED, TEST, draw, find_other_language, groups_of, key_of, left_out_findings, sift
from fewtune.recipe import Recipe
from fewtune.types import Dataset, Finding, Unlabelled

# More are sampled: every fold's head is fitted to its share of them, and each encoder reads them all.
MOST_UNLABELLED = 3_000
# Share of the unlabelled inputs from which on they are taken for the test data itself.
_TEST_ITSELF = 0.5


def with_unlabelled(
    dataset: Dataset,
    test: Dataset | None,
    source: Any,
    task: Task,
    recipe: Recipe,
    generator: np.random.Generator,
) -> tuple[Dataset, list[Finding]]:
    """The data set with unlabelled inputs to learn from, and what is to be said of them.

    What is, or nearly is, an example of the training or of the test data is left out: that an example's
    twin was learnt from would flatter the folds, and the scores.

    Args:
        dataset, test: what is labelled.
        source: of the inputs: a path, a DataFrame, or a list.
        task, recipe: how they are read.
        generator: draws from more than `MOST_UNLABELLED`.

    Raises:
        DataError: they cannot be read, are the test data, or nothing is left of them.
    """
    inputs = _read(source, task, recipe, dataset)
    labelled = [getattr(example, task.unlabelled_side) for example in dataset]
    tested = [getattr(example, task.unlabelled_side) for example in test] if test else []
    sifted = sift(inputs.values, labelled, tested, task)
    kept, drawn = draw(sifted.kept, MOST_UNLABELLED, generator)
    twins = _twins([inputs.values[i] for i in kept], labelled, tested, task)
    left_out = {
        reason: [*some, *(kept[position] for position in twins.get(reason, ()))]
        for reason, some in sifted.left_out.items()
    }
    _refuse_test_data(inputs, left_out[TEST])
    out = {position for some in twins.values() for position in some}
    values = tuple(inputs.values[i] for position, i in enumerate(kept) if position not in out)
    findings = [*left_out_findings(left_out, inputs.table.places), *drawn]
    if not values:
        raise DataError(
            "There is nothing unlabelled to learn from.",
            where=f"{inputs.table.source}, --unlabeled",
            how="; ".join(finding.what for finding in findings) or "Give inputs that have no label.",
        )
    if task.reads == "text":
        texts, known = ([str(value) for value in some] for some in (values, labelled))
        findings += [*find_other_language(texts, known), *find_other_kind(texts, known)]
    return replace(dataset, unlabelled=Unlabelled(values, inputs.table.source, _sha256(values, task))), findings


def _sha256(values: Sequence[Any], task: Task) -> str:
    contents = [key_of(value, task) if task.reads == "pictures" else str(value) for value in values]
    return hashlib.sha256("\x1f".join(contents).encode("utf-8", "surrogatepass")).hexdigest()


def _read(source: Any, task: Task, recipe: Recipe, dataset: Dataset) -> Inputs:
    if isinstance(source, Sequence) and not isinstance(source, str) and not len(source):
        raise DataError("There are no unlabelled inputs.", where="--unlabeled", how="Give some, or leave it out.")
    try:
        return task.unlabelled(source, recipe, dataset)
    except DataError as as_named:
        if not recipe.text:
            raise
        # The column of the labelled data may be called otherwise here; then it is found by what it holds.
        try:
            return task.unlabelled(source, recipe.model_copy(update={"text": ""}), dataset)
        except DataError:
            # Of the two this is what the user named, and can put right.
            raise as_named from None


def _twins(kept: Sequence[Any], labelled: Sequence[Any], tested: Sequence[Any], task: Task) -> dict[str, list[int]]:
    """Positions of inputs that nearly are test data, or labelled, by the reason."""
    groups = groups_of([*tested, *labelled, *kept], task)
    of_test, of_labelled = set(groups[: len(tested)]), set(groups[len(tested) : len(tested) + len(labelled)])
    found: dict[str, list[int]] = {TEST: [], LABELLED: []}
    for position, group in enumerate(groups[len(tested) + len(labelled) :]):
        if group in of_test:
            found[TEST].append(position)
        elif group in of_labelled:
            found[LABELLED].append(position)
    return found


def _refuse_test_data(inputs: Inputs, tested: Sequence[int]) -> None:
    if len(tested) >= max(1.0, _TEST_ITSELF * len(inputs.values)):
        raise DataError(
            f"{len(tested)} of {len(inputs.values)} unlabelled inputs are test data: nothing may be learnt from those.",
            where=f"{inputs.table.source}, --unlabeled",
            how="Give other inputs, or leave --unlabeled out.",
        )
