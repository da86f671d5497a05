"""What is unlabelled is learnt from only where it is neither labelled nor tested, and what was left out is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewtune.errors import DataError
from fewtune.label import unlabelled
from fewtune.label.unlabelled import with_unlabelled
from fewtune.recipe import Recipe
from fewtune.tasks.text_classification import TextClassification
from fewtune.types import Dataset, Finding

TASK = TextClassification()
LABELLED = [("Where is my parcel, it should have been here last week", "delivery"), ("Take the money back", "billing")]
TESTED = [("The app crashes when I turn the phone to its side", "technical")]
NEW = ["A lovely team", "The page stays white", "My card was charged twice"]


def read(pool: object, text: str = "") -> tuple[Dataset, list[Finding]]:
    dataset = TASK.read(LABELLED * 2, Recipe(), "fit")
    test = TASK.read(TESTED, Recipe(), "evaluate")
    return with_unlabelled(dataset, test, pool, TASK, Recipe(text=text), np.random.default_rng(0))


def codes(findings: list[Finding]) -> dict[str, int]:
    return {finding.code: finding.count for finding in findings}


def test_what_is_labelled_tested_empty_or_a_repeat_is_left_out_and_said() -> None:
    nearly = "Where is my parcel, it should have been here last week??"
    near_test = "The app crashes when I turn the phone to its side!"
    pool = [*NEW, LABELLED[1][0], nearly, near_test, "", NEW[0].upper()]
    dataset, findings = read(pool)
    assert dataset.unlabelled is not None
    assert dataset.unlabelled.inputs == tuple(NEW)
    assert codes(findings) == {"already-labelled": 2, "test-in-pool": 1, "empty-input": 1, "repeated-input": 1}
    assert dataset.examples == read(NEW)[0].examples


def test_nearly_the_same_is_found_too() -> None:
    long = "The parcel that you sent me last Monday came broken, wet and two days late, and nobody answers the phone"
    dataset = TASK.read([(long, "delivery"), *LABELLED], Recipe(), "fit")
    pool = [*NEW, f"{long}s"]
    found, findings = with_unlabelled(dataset, None, pool, TASK, Recipe(), np.random.default_rng(0))
    assert found.unlabelled is not None
    assert found.unlabelled.inputs == tuple(NEW)
    assert codes(findings) == {"already-labelled": 1}


@pytest.mark.parametrize(
    ("pool", "what"),
    [
        ([TESTED[0][0], NEW[0]], "test data"),
        ([text for text, _ in LABELLED], "nothing unlabelled"),
        (["", " "], "nothing unlabelled"),
        ([], "no unlabelled inputs"),
    ],
    ids=["test", "labelled", "blank", "empty"],
)
def test_what_cannot_be_learnt_from_is_refused(pool: list[str], what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        read(pool)
    assert "--unlabeled" in caught.value.where


def test_a_large_pool_is_sampled_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlabelled, "MOST_UNLABELLED", 10)
    pool = [f"The thing that I have not got is number {i}" for i in range(40)]
    dataset, findings = read(pool)
    assert dataset.unlabelled is not None
    assert len(dataset.unlabelled) == 10
    assert dataset.unlabelled == read(pool)[0].unlabelled
    assert codes(findings) == {"pool-sampled": 30}


def test_another_language_is_said() -> None:
    _, findings = read([*NEW, "我的包裹在哪里", "请把钱退给我", "应用程序崩溃了"])
    assert "pool-in-another-language" in codes(findings)


def test_the_column_may_be_called_otherwise(tmp_path: Path) -> None:
    pool = tmp_path / "pool.csv"
    pool.write_text("id,text\n1,A lovely team\n2,The page stays white\n")
    dataset, _ = read(str(pool), text="body")
    assert dataset.unlabelled is not None
    assert dataset.unlabelled.inputs == tuple(NEW[:2])
    assert dataset.unlabelled.source == "pool.csv"


def test_a_column_that_is_named_and_not_there_is_what_is_said(tmp_path: Path) -> None:
    pool = tmp_path / "pool.csv"
    pool.write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(DataError) as caught:
        read(str(pool), text="body")
    assert "body" in str(caught.value)
