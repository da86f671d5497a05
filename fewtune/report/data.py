"""What a bundle keeps in private/, as the report reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from fewtune.errors import BundleError

OUT_OF_FOLD = "out_of_fold.jsonl"
TEST = "test.jsonl"
LABEL_ISSUES = "label_issues.jsonl"
ATTACKS = "attacks.jsonl"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said of one labelled example that it had not seen.

    Attributes:
        place: where the example stands, e.g. "tickets.csv:12".
        text: its input.
        label: what it is.
        prediction: what the model took it for.
        confidence: the probability that the model gave to its prediction.
    """

    place: str
    text: str
    label: str
    prediction: str
    confidence: float

    @property
    def is_right(self) -> bool:
        """Whether the prediction is the label."""
        return self.prediction == self.label


@dataclass(frozen=True, slots=True)
class OpenAnswer:
    """What the model answered with something else than a class, of one example that it had not seen.

    Attributes:
        place: where the example stands.
        input: what it read.
        target: what it should have answered, as the task writes it in JSON.
        answer: what it did answer, in the same form.
        before: what the untouched model answered; None where that is not known.
    """

    place: str
    input: str
    target: Any
    answer: Any
    before: Any = None


@dataclass(frozen=True, slots=True)
class LabelIssue:
    """A label that may be wrong.

    Attributes:
        place, text, label: the example as it is labelled.
        suggested: the label that the model would give.
        score: probability of the given label.
        reason: in words.
    """

    place: str
    text: str
    label: str
    suggested: str
    score: float
    reason: str


@dataclass(frozen=True, slots=True)
class Attacked:
    """A text that was attacked, as far as the report shows it.

    Attributes:
        recipe: of the attack.
        place, text, prediction: the example, and what the model took it for.
        outcome: "broken", "held", "reduced" or "wrong".
        attacked: the text that the attack ended with.
        attacked_prediction: what the model took that for.
    """

    recipe: str
    place: str
    text: str
    prediction: str
    outcome: str
    attacked: str
    attacked_prediction: str


@dataclass(frozen=True, slots=True)
class ReportData:
    """Examples for the report; None where the bundle came without them.

    Attributes:
        out_of_fold: the training data, each example answered by a model that had not seen it.
        test: the test data.
        label_issues: the likeliest first.
        open_out_of_fold, open_test: the same where answers are no classes.
        attacked: texts that were attacked, of all recipes.
    """

    out_of_fold: tuple[Answer, ...] | None = None
    test: tuple[Answer, ...] | None = None
    label_issues: tuple[LabelIssue, ...] | None = None
    open_out_of_fold: tuple[OpenAnswer, ...] | None = None
    open_test: tuple[OpenAnswer, ...] | None = None
    attacked: tuple[Attacked, ...] | None = None


def read_private(files: Mapping[str, bytes]) -> ReportData:
    """Read the private files of a bundle.

    Args:
        files: name inside private/ to content; names that are not known are passed over.

    Raises:
        BundleError: a file is not what fewtune writes.
    """
    return ReportData(
        out_of_fold=_answers(files, OUT_OF_FOLD),
        test=_answers(files, TEST),
        label_issues=_label_issues(files),
        open_out_of_fold=_open_answers(files, OUT_OF_FOLD),
        open_test=_open_answers(files, TEST),
        attacked=_attacked(files),
    )


def _answers(files: Mapping[str, bytes], name: str) -> tuple[Answer, ...] | None:
    if name not in files:
        return None
    # An example that was never validated has no prediction.
    lines = [line for line in _lines(files[name], name) if line.get("prediction") is not None]
    return tuple(
        Answer(line["place"], str(line["text"]), line["label"], line["prediction"], float(line["confidence"]))
        for line in _complete(lines, name, ("place", "text", "label", "confidence"))
    )


def _open_answers(files: Mapping[str, bytes], name: str) -> tuple[OpenAnswer, ...] | None:
    if name not in files:
        return None
    # An example that was never validated has no answer.
    lines = [line for line in _lines(files[name], name) if line.get("answer") is not None]
    return tuple(
        OpenAnswer(line["place"], str(line["input"]), line["target"], line["answer"], line.get("before"))
        for line in _complete(lines, name, ("place", "input", "target"))
    )


def _label_issues(files: Mapping[str, bytes]) -> tuple[LabelIssue, ...] | None:
    if LABEL_ISSUES not in files:
        return None
    keys = ("place", "text", "label", "suggested", "score", "reason")
    return tuple(
        LabelIssue(
            line["place"], str(line["text"]), line["label"], line["suggested"], float(line["score"]), line["reason"]
        )
        for line in _complete(_lines(files[LABEL_ISSUES], LABEL_ISSUES), LABEL_ISSUES, keys)
    )


def _attacked(files: Mapping[str, bytes]) -> tuple[Attacked, ...] | None:
    if ATTACKS not in files:
        return None
    keys = tuple(field.name for field in fields(Attacked))
    lines = _complete(_lines(files[ATTACKS], ATTACKS), ATTACKS, keys)
    return tuple(Attacked(*(str(line[key]) for key in keys)) for line in lines)


def _lines(content: bytes, name: str) -> list[Mapping[str, Any]]:
    try:
        found = [json.loads(line) for line in content.decode("utf-8", "surrogatepass").split("\n") if line.strip()]
    except ValueError as error:
        raise _malformed(name, str(error)) from None
    if not all(isinstance(line, dict) for line in found):
        raise _malformed(name, "a line is no object")
    return found


def _complete(lines: list[Mapping[str, Any]], name: str, keys: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        missing = [key for key in keys if line.get(key) is None]
        if missing:
            raise _malformed(name, f"a line lacks {', '.join(missing)}")
        yield line


def _malformed(name: str, why: str) -> BundleError:
    return BundleError(f"{name} is malformed: {why}.", where=f"private/{name}", how="Fit or copy the bundle again.")
