"""Attacks, with a process that needs no TextAttack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewtune.attack.attack import MOST_WORDS, Target, attack_texts, attackable, summarise
from fewtune.attack.process import AttackProcess, JobError, OutOfTimeError
from fewtune.attack.recipes import RECIPES
from fewtune.errors import InternalError, RecipeError
from fewtune.interfaces import RunContext
from fewtune.journal import Journal
from fewtune.types import Example

TEXTS = ["good film", "good fun", "bad film", "good good film"]
EXAMPLES = [Example(text, "+" if "good" in text else "-", f"films.csv:{i}") for i, text in enumerate(TEXTS, start=2)]
# The third is labelled as the model does not see it.
EXAMPLES[2] = Example("bad film", "+", "films.csv:4")


def probabilities(texts: Any) -> np.ndarray:
    good = np.array(["good" in text for text in texts], float)
    return np.stack([1 - good, good], axis=1) * 0.8 + 0.1


TARGET = Target(["-", "+"], probabilities)


class Speller(AttackProcess):
    """Misspells the first "good" of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Mapping[str, Any]] = []

    def start(self) -> None:
        pass

    def do(self, job: Mapping[str, Any], answers: Mapping[str, Any], *, seconds: float = 9) -> Any:
        self.jobs.append(job)
        text = job["text"].replace("good", "gud", 1)
        label = int(np.argmax(answers["probabilities"]([text])[0]))
        return {
            "text": text,
            "broken": label != job["label"],
            "label": label,
            "queries": 3,
            "words": len(text.split()),
            "changed": 1,
        }


def outcomes(process: AttackProcess, run: RunContext) -> list[Any]:
    return list(attack_texts(EXAMPLES, RECIPES["deepwordbug"], TARGET, process, run, max_queries=9))


def test_what_is_right_is_attacked_and_summed_up(tmp_path: Path) -> None:
    process, run = Speller(), RunContext(tmp_path)
    found = outcomes(process, run)
    assert [text.outcome for text in found] == ["broken", "broken", "wrong", "held"]
    assert [text.attacked for text in found] == ["gud film", "gud fun", "", "gud good film"]
    assert found[0].attacked_prediction == "-"
    assert found[0].attacked_confidence == pytest.approx(0.9)
    assert len({job["seed"] for job in process.jobs}) == 3
    summary = summarise(
        found,
        np.arange(4),
        RECIPES["deepwordbug"],
        run,
        data="films.csv",
        wanted=4,
        left_out={},
        max_queries=9,
        stopped="",
    )
    assert (summary.examples, summary.attacked, summary.queries) == (4, 3, 3.0)
    assert summary.accuracy_before.value == 0.75
    assert summary.accuracy_after is not None
    assert summary.accuracy_after.value == 0.25
    assert summary.success_rate is not None
    assert summary.success_rate.value == pytest.approx(2 / 3)
    assert 0 < (summary.success_rate.low or 0) < 2 / 3 < (summary.success_rate.high or 0) < 1
    assert summary.words_changed is not None
    assert summary.words_changed.value == pytest.approx(0.5)


def test_another_sitting_goes_on_to_the_same(tmp_path: Path) -> None:
    whole = outcomes(Speller(), RunContext(tmp_path))
    first = Speller()
    begun = attack_texts(
        EXAMPLES, RECIPES["deepwordbug"], TARGET, first, RunContext(tmp_path, journal=Journal(tmp_path)), max_queries=9
    )
    assert len([next(begun) for _ in range(2)]) == 2
    second = Speller()
    resumed = outcomes(second, RunContext(tmp_path, journal=Journal(tmp_path)))
    assert len(first.jobs) == 2
    assert len(second.jobs) == 1
    assert [(text.place, text.outcome, text.attacked) for text in resumed] == [
        (text.place, text.outcome, text.attacked) for text in whole
    ]


def test_a_spent_budget_ends_it(tmp_path: Path) -> None:
    assert outcomes(Speller(), RunContext(tmp_path, budget_seconds=0)) == []


def test_a_text_that_takes_the_rest_of_the_budget_is_not_counted(tmp_path: Path) -> None:
    class Slow(Speller):
        def do(self, job: Mapping[str, Any], answers: Mapping[str, Any], *, seconds: float = 9) -> Any:
            if "fun" in job["text"]:
                raise OutOfTimeError
            return super().do(job, answers, seconds=seconds)

    assert [text.text for text in outcomes(Slow(), RunContext(tmp_path, budget_seconds=60))] == ["good film"]


def test_words_that_can_go_are_counted_where_the_answer_stays(tmp_path: Path) -> None:
    class Shortener(Speller):
        def do(self, job: Mapping[str, Any], answers: Mapping[str, Any], *, seconds: float = 9) -> Any:
            words = job["text"].split()
            return {
                "text": words[0],
                "broken": False,
                "label": job["label"],
                "queries": 1,
                "words": len(words),
                "changed": len(words) - 1,
            }

    run = RunContext(tmp_path)
    recipe = RECIPES["input-reduction"]
    found = list(attack_texts(EXAMPLES, recipe, TARGET, Shortener(), run, max_queries=0))
    assert [text.outcome for text in found] == ["reduced", "reduced", "wrong", "reduced"]
    summary = summarise(found, np.arange(4), recipe, run, data="", wanted=4, left_out={}, max_queries=0, stopped="")
    assert (summary.accuracy_after, summary.success_rate) == (None, None)
    assert summary.words_changed is not None
    assert summary.words_changed.value == pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)


def test_a_text_that_textattack_cannot_take_is_counted(tmp_path: Path) -> None:
    class Fussy(Speller):
        def do(self, job: Mapping[str, Any], answers: Mapping[str, Any], *, seconds: float = 9) -> Any:
            if "fun" in job["text"]:
                raise JobError("ValueError: substring not found")
            return super().do(job, answers, seconds=seconds)

    run = RunContext(tmp_path)
    recipe = RECIPES["deepwordbug"]
    found = outcomes(Fussy(), run)
    assert [text.outcome for text in found] == ["broken", "failed", "wrong", "held"]
    summary = summarise(
        found, np.arange(4), recipe, run, data="", wanted=4, left_out={"x": 1}, max_queries=0, stopped=""
    )
    assert (summary.examples, summary.attacked) == (3, 2)
    assert summary.left_out == {"x": 1, "that TextAttack cannot take": 1}


def test_what_textattack_should_be_able_to_do_is_an_error(tmp_path: Path) -> None:
    class Broken(Speller):
        def do(self, job: Mapping[str, Any], answers: Mapping[str, Any], *, seconds: float = 9) -> Any:
            raise JobError("AttributeError: no")

    with pytest.raises(InternalError, match="AttributeError"):
        outcomes(Broken(), RunContext(tmp_path))


def test_texts_that_cannot_be_attacked_are_left_out_and_counted() -> None:
    texts = ["good", "", "😀 ... 12", "酒店很干净", "word " * (MOST_WORDS + 1)]
    kept, left_out = attackable(texts, RECIPES["textfooler"])
    assert kept == [0]
    assert left_out == {"without words": 2, "longer than 300 words": 1, "in Chinese": 1}
    assert attackable(texts, RECIPES["deepwordbug"])[0] == [0, 3]
    with pytest.raises(RecipeError, match="none of the texts") as caught:
        attackable(["酒店很干净"], RECIPES["pwws"])
    assert "deepwordbug" in caught.value.how
    with pytest.raises(RecipeError, match="2 without words"):
        attackable(["", "?"], RECIPES["deepwordbug"])
