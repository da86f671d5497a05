"""What a compression learns from, and what it is measured on: never the same examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.errors import DataError, RecipeError
from fewtune.interfaces import ClassifierTask, RunContext, Task
from fewtune.recipe import Recipe
from fewtune.types import Dataset, Example, IntArray

_TRAINING, _TEST = "private/out_of_fold.jsonl", "private/test.jsonl"
_FEWEST = 8


@dataclass(frozen=True, slots=True)
class Material:
    """Examples for both purposes.

    Attributes:
        learnt: what may be counted in, calibrated on, tuned on.
        dataset: what both models answer.
        groups: (n,) group indices of it.
        targets: (n,) class indices of it; None where it has no labels, or they are not classes.
        trained_on: whether the original learnt from it.
        words: what it is.
    """

    learnt: tuple[Example, ...]
    dataset: Dataset
    groups: IntArray
    targets: IntArray | None
    trained_on: bool
    words: str

    @property
    def measured(self) -> tuple[Example, ...]:
        """The examples that both models answer."""
        return self.dataset.examples

    @property
    def inputs(self) -> list[Any]:
        """What both models answer."""
        return [example.input for example in self.measured]


def gather(
    bundle: Path, manifest: Manifest, task: Task, data: Any, unlabelled: Any, recipe: Recipe, run: RunContext
) -> Material:
    """Find the examples: those that are given, else what the bundle keeps in private/.

    Args:
        bundle: its folder.
        manifest: what it says of itself.
        task: reads the data.
        data: labelled or not; None: the bundle's own.
        unlabelled: inputs to learn from too, never to measure on; None: none.
        recipe: names of the data's columns.
        run: its generator decides which half is learnt from where there is nothing else.

    Raises:
        DataError: there is nothing to measure on, or the data cannot be read.
        RecipeError: nothing of this task learns from unlabelled inputs.
    """
    found = _measurable(bundle, manifest, task, data, recipe, run)
    return found if unlabelled is None else _with_unlabelled(found, task, unlabelled, recipe)


def _with_unlabelled(found: Material, task: Task, source: Any, recipe: Recipe) -> Material:
    """With inputs to learn from that are none of those that are measured on."""
    if not isinstance(task, ClassifierTask):
        raise RecipeError(
            f"There is nothing that learns from unlabelled data for {task.name}.",
            where="--unlabeled",
            how="Leave --unlabeled out.",
        )
    inputs = task.inputs(source, recipe)
    added = tuple(Example(value) for value in inputs.values if value)
    groups = task.groups(replace(found.dataset, examples=(*found.measured, *added)))
    measured = set(groups[: len(found.measured)].tolist())
    own = groups[len(found.measured) :].tolist()
    fresh = tuple(example for example, group in zip(added, own, strict=True) if group not in measured)
    words = f"{found.words}; {len(fresh)} unlabelled inputs were learnt from too"
    return replace(found, learnt=(*found.learnt, *fresh), words=words)


def _measurable(bundle: Path, manifest: Manifest, task: Task, data: Any, recipe: Recipe, run: RunContext) -> Material:
    training = _kept(bundle / _TRAINING, task)
    if data is not None:
        given = _read(task, data, recipe)
        return _on_given(given, f"on {len(given)} examples ({given.source})", training, manifest, task, run)
    if not isinstance(task, ClassifierTask):
        raise DataError(
            "There is nothing to measure on: the bundle does not keep what its answers should be.",
            where=str(bundle),
            how="Give labelled examples with --data, such as the test data, or else the training data.",
        )
    test = _kept(bundle / _TEST, task)
    if test:
        dataset = _dataset(test, manifest, "the test data")
        return _on_given(dataset, f"on {len(test)} test examples that the bundle keeps", training, manifest, task, run)
    if len(training) < _FEWEST:
        raise DataError(
            "There is nothing to measure on: the bundle came without its training content.",
            where=str(bundle),
            how="Give examples with --data, labelled if you can: the more, the more can be said.",
        )
    return of_training(_dataset(training, manifest, "the training data"), task, run)


def _on_given(
    given: Dataset, words: str, training: tuple[Example, ...], manifest: Manifest, task: Task, run: RunContext
) -> Material:
    # Told by what they are, not by how they were named: another path to a picture is the same picture.
    groups = task.groups(replace(given, examples=(*training, *given.examples)))
    learnt_from = set(groups[: len(training)].tolist())
    own = groups[len(training) :].tolist()
    fresh = tuple(example for example, group in zip(given, own, strict=True) if group not in learnt_from)
    dropped = len(given) - len(fresh)
    if dropped:
        words += f", without {dropped} that the model learnt from"
    if len(fresh) < _FEWEST <= dropped and not isinstance(task, ClassifierTask):
        return of_training(given, task, run)
    measured, learnt = replace(given, examples=fresh), training
    if len(training) < _FEWEST:
        learnt, measured = _halves(measured, task, run)
        words += f"; the other {len(learnt)} were learnt from"
        words = words.replace(f"on {len(given)} ", f"on {len(measured)} of {len(given)} ", 1)
    if len(measured) < _FEWEST:
        raise DataError(
            f"There are only {len(measured)} examples to measure on.",
            where="--data",
            how="Give some that the model did not learn from; a few hundred, labelled, say most.",
        )
    targets = None
    if isinstance(task, ClassifierTask) and all(example.target is not None for example in measured):
        targets = task.targets(measured, manifest.labels)
    return Material(learnt, measured, task.groups(measured), targets, False, words)


def of_training(training: Dataset, task: Task, run: RunContext, *, most: int | None = None) -> Material:
    """The model has seen all of it: half is learnt from once more, and the other half tells which answers change.

    Args:
        training: what the original learnt from.
        task: says what is nearly the same.
        run: its generator decides which half is which.
        most: examples that are measured at most.

    Raises:
        DataError: there are too few examples for both.
    """
    learnt, measured = _halves(training, task, run)
    if most is not None:
        measured = replace(measured, examples=measured.examples[:: -(-len(measured) // most) or 1])
    if not learnt or not len(measured):
        raise DataError("There are too few examples to measure on.", where=training.source)
    words = f"on {len(measured)} training examples: whether answers stay the same, not how good they are"
    return Material(learnt, measured, task.groups(measured), None, True, words)


def _halves(dataset: Dataset, task: Task, run: RunContext) -> tuple[tuple[Example, ...], Dataset]:
    """Half to learn from and half to measure; what is nearly the same stays together."""
    groups = task.groups(dataset)
    shuffled = run.generator("compress", "halves").permutation(int(groups.max(initial=0)) + 1)
    chosen = np.isin(groups, shuffled[: len(shuffled) // 2])
    learnt = tuple(example for example, is_chosen in zip(dataset, chosen, strict=True) if is_chosen)
    kept = tuple(example for example, is_chosen in zip(dataset, chosen, strict=True) if not is_chosen)
    return learnt, replace(dataset, examples=kept)


def _read(task: Task, data: Any, recipe: Recipe) -> Dataset:
    """Labelled examples; without a label column, inputs alone."""
    try:
        return task.read(data, recipe, "evaluate")
    except DataError as error:
        if recipe.label or not isinstance(task, ClassifierTask):
            raise
        try:
            inputs = task.inputs(data, recipe)
        except DataError:
            raise error from None
        examples = tuple(Example(value) for value in inputs.values)
        return Dataset(task.name, examples, (), inputs.table.source, inputs.table.sha256, inputs.notes)


def _kept(path: Path, task: Task) -> tuple[Example, ...]:
    """The examples of a private file; of pictures those that are still where they were. Only classes are kept."""
    if not path.is_file():
        return ()
    lines = [json.loads(line) for line in path.read_text("utf-8", "surrogatepass").split("\n") if line.strip()]
    given = [(line.get("text", line.get("input")), line) for line in lines]
    examples = [Example(value, line.get("label"), line.get("place", "")) for value, line in given if value is not None]
    if task.reads == "pictures":
        examples = [example for example in examples if Path(example.input).is_file()]
    return tuple(examples)


def _dataset(examples: Sequence[Example], manifest: Manifest, source: str) -> Dataset:
    return Dataset(manifest.task, tuple(examples), manifest.labels, source, "")
