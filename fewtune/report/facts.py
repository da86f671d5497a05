"""What the sections draw from: bundle.json, the private examples, and what follows from both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fewtune.bundle.manifest import scores_from_json
from fewtune.report.data import Answer, OpenAnswer, ReportData
from fewtune.report.phrase import Phrase, say
from fewtune.report.uses import Use, use_of
from fewtune.report.wording import Noun, noun_of
from fewtune.types import Score, Scores

_USUAL_GOAL = 0.05
_FEWEST_ANSWERED = 0.5


@dataclass(frozen=True)
class Report:
    """One bundle, as the sections see it.

    Attributes:
        facts: what bundle.json holds.
        data: the private examples.
        name: of the bundle.
    """

    facts: Mapping[str, Any]
    data: ReportData
    name: str

    @cached_property
    def noun(self) -> Noun:
        """What an example is called in this task."""
        return noun_of(self.facts["task"])

    @property
    def use(self) -> Use:
        """How the model is used."""
        return use_of(self.facts["task"])

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Class names; empty where the task has none."""
        return tuple(self.facts["labels"])

    @cached_property
    def scores(self) -> Scores:
        """Of the delivered model."""
        return scores_from_json(self.facts["scores"])

    @property
    def primary_metric(self) -> str:
        """What the model is judged by."""
        return self.facts["primary_metric"]

    @property
    def primary(self) -> Score | None:
        """The delivered model's score in the primary metric."""
        return self.scores.metrics.get(self.primary_metric)

    @property
    def examples(self) -> int:
        """How many labelled examples the model learnt from."""
        return self.facts["data"]["examples"]

    @cached_property
    def per_class(self) -> Mapping[str, int]:
        """Label to number of training examples."""
        return self.facts["data"].get("per_class") or {}

    @property
    def data_file(self) -> str:
        """The training data in a command; a stand-in where they were no file."""
        return self.facts["recipe"].get("data") or "DATA"

    @property
    def test_name(self) -> str:
        """File name of the test data; empty where there is none."""
        return self.facts["recipe"].get("test") or ""

    @cached_property
    def rungs(self) -> Sequence[Mapping[str, Any]]:
        """The candidates that were tried."""
        return self.facts["rungs"]

    @cached_property
    def taken(self) -> int | None:
        """The place of the delivered model among the rungs: it alone was tuned on all of the data."""
        tuned = [i for i, rung in enumerate(self.rungs) if rung.get("tune_seconds") is not None]
        return tuned[0] if tuned else None

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """What the model said of examples that it had not seen: the test data, else the training data."""
        return self.data.test or self.data.out_of_fold or ()

    @cached_property
    def open_answers(self) -> tuple[OpenAnswer, ...]:
        """The same where answers are no classes."""
        return self.data.open_test or self.data.open_out_of_fold or ()

    @property
    def answers_come_from(self) -> Phrase:
        """Where `answers` are from, as the end of a sentence."""
        if self.data.test or self.data.open_test:
            return say("the test data", "测试数据")
        return say(
            "the training data, each {one} answered by a model that had not seen it",
            "训练数据（每一{measure}都由没有见过它的模型来回答）",
            one=self.noun.one,
            measure=self.noun.measure,
        )

    @cached_property
    def thresholds(self) -> Sequence[Mapping[str, Any]]:
        """For each of several goals, when to say "unsure"; empty where the bundle does not say."""
        return (self.facts.get("answer_rules") or {}).get("thresholds") or ()

    @cached_property
    def threshold(self) -> Mapping[str, Any] | None:
        """The threshold to start with: of those that answer half of the inputs, the one nearest to the usual goal."""
        useful = [
            goal
            for goal in self.thresholds
            if goal["below"] is not None and goal["answered"]["value"] >= _FEWEST_ANSWERED
        ]
        return min(useful, key=lambda goal: abs(goal["target_error"] - _USUAL_GOAL), default=None)

    @property
    def knows_its_scope(self) -> bool:
        """Whether the model can tell inputs of another kind."""
        return (self.facts.get("answer_rules") or {}).get("scope_threshold") is not None

    @cached_property
    def errors(self) -> tuple[Answer, ...]:
        """Wrong answers, the most confident first."""
        return tuple(sorted((a for a in self.answers if not a.is_right), key=lambda answer: -answer.confidence))


def score_of(values: Mapping[str, Any]) -> Score:
    """A score as bundle.json holds it; a value of null becomes NaN."""
    value = values["value"]
    return Score(**{**values, "value": math.nan if value is None else float(value)})
