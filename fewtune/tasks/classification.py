"""What all tasks share that sort things into classes: folds, targets, scores."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fewtune.data.split import choose_resampling, with_named
from fewtune.errors import DataError
from fewtune.evaluate.answers import classifier_rules
from fewtune.evaluate.metrics import classification_scores
from fewtune.interfaces import ClassifierTask, Fitted, RunContext, Trial
from fewtune.label.issues import can_be_found, suspects
from fewtune.types import AnswerRules, Dataset, FloatArray, IntArray, Resampling, Scores, Suspect

# Among more examples than these, encoding all of them to find the neighbours of some takes too long.
_MOST_NEIGHBOURS = 5_000


class Classification(ClassifierTask):
    """Sorts inputs into classes, one each."""

    primary_metric = "accuracy"

    @abstractmethod
    def same(self, inputs: Sequence[Any]) -> IntArray:
        """(n,) group indices of inputs that are the same, or nearly so."""

    @abstractmethod
    def vectors(self, dataset: Dataset, fitted: Fitted, run: RunContext) -> FloatArray | None:
        """(n, width) features of the examples by the tuned model; None where it has none."""

    def resample(self, dataset: Dataset, run: RunContext) -> Resampling:
        """Stratified folds that keep near-duplicates and the user's groups together."""
        targets = self.targets(dataset, dataset.labels)
        return choose_resampling(targets, self.groups(dataset), partial(run.generator, "folds"))

    def groups(self, dataset: Dataset) -> IntArray:
        """(n,) group indices: of near-duplicates, joined with the user's groups."""
        same = self.same([example.input for example in dataset])
        return with_named(same, [example.group for example in dataset])

    def counts(self, dataset: Dataset) -> dict[str, int]:
        """Label to number of examples, in the order in which they come."""
        return dict(Counter(example.target for example in dataset))

    def targets(self, dataset: Dataset, labels: tuple[str, ...]) -> IntArray:
        """(n,) class indices.

        Raises:
            DataError: an example has a label that is not among `labels`.
        """
        index = {label: number for number, label in enumerate(labels)}
        for example in dataset:
            if example.target not in index:
                raise DataError(
                    f"The label {example.target!r} is not one of the model's.",
                    where=example.place,
                    how=f"The model knows: {', '.join(map(repr, labels[:20]))}.",
                )
        return np.array([index[example.target] for example in dataset], dtype=np.int64)

    def score(
        self,
        dataset: Dataset,
        labels: tuple[str, ...],
        log_probs: FloatArray,
        groups: IntArray,
        *,
        how: str,
        optimism: dict[str, float] | None = None,
        out_of_fold: bool = False,
    ) -> Scores:
        """Accuracy, precision, recall, F1, log loss and calibration error, with intervals."""
        targets = self.targets(dataset, labels)
        return classification_scores(
            targets, log_probs, labels, groups, how=how, optimism=optimism, out_of_fold=out_of_fold
        )

    def answer_rules(self, dataset: Dataset, trial: Trial, groups: IntArray, run: RunContext) -> AnswerRules:
        """When an answer is unsure, and which labels are possible."""
        targets = self.targets(dataset, dataset.labels)
        return classifier_rules(targets, trial.log_probs, trial.similarity, groups, run.generator("answer rules"))

    def suspects(self, dataset: Dataset, trial: Trial, fitted: Fitted, run: RunContext) -> tuple[Suspect, ...] | None:
        """Examples whose label looks wrong; None where what finds them is not installed."""
        if not can_be_found():
            return None

        def features() -> FloatArray | None:
            return self.vectors(dataset, fitted, run) if len(dataset) <= _MOST_NEIGHBOURS else None

        return suspects(dataset, self.targets(dataset, dataset.labels), trial.log_probs, features)
