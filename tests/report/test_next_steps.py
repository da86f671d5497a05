from __future__ import annotations

from typing import Any

import pytest

from fewtune.report.blocks import Steps
from fewtune.report.data import ReportData
from fewtune.report.facts import Report
from fewtune.report.sections.next_steps import next_steps
from tests.report.sample import make_answers, make_facts, score


def advice(facts: dict[str, Any], data: ReportData | None = None) -> dict[str, tuple[str, str]]:
    """Title to reason and command."""
    [steps] = next_steps(Report(facts, data or ReportData(), "tickets.fewtune")).blocks
    assert isinstance(steps, Steps)
    return {str(title.en).split(".")[0]: (str(reason.en), command) for title, reason, command in steps.items}


def forecast(facts: dict[str, Any], gain_high: float) -> dict[str, Any]:
    """The learning curve with another end."""
    curve = facts["learning_curve"]
    return {**curve, "forecast": [{**curve["forecast"][-1], "gain_high": gain_high}]}


def test_using_the_model_is_always_an_advice(facts: dict) -> None:
    assert advice(facts)["Use it"][1] == "fewtune predict tickets.fewtune NEW.csv --max-error 0.05"
    assert advice({**facts, "answer_rules": None})["Use it"][1] == (
        "fewtune predict tickets.fewtune NEW.csv --out predictions.csv"
    )


def test_suspected_labels_come_before_new_ones(facts: dict, data: ReportData) -> None:
    titles = list(advice(facts, data))
    assert titles.index("Look at the labels that may be wrong") < titles.index("Label more examples")
    assert "Look at the labels that may be wrong" not in advice(facts, ReportData())


def test_more_labels_are_advised_where_the_curve_says_so(facts: dict) -> None:
    assert "Label more examples" in advice({**facts, "learning_curve": forecast(facts, 0.03)})
    in_vain = advice({**facts, "learning_curve": forecast(facts, 0.004)})
    assert "less than a point of accuracy" in in_vain["More labels of the same kind are not the way"][0]
    without = advice({**facts, "learning_curve": None})
    assert not [title for title in without if title.startswith(("Label more examples", "More labels"))]


def test_findings_are_to_be_mended_unless_they_are_good_to_know(facts: dict) -> None:
    assert advice(facts)["Mend the data"][1] == "fewtune check tickets.csv"
    good = [finding for finding in facts["findings"] if finding["level"] == "info"]
    assert "Mend the data" not in advice({**facts, "findings": good})


def test_classes_that_are_missed_are_named(facts: dict) -> None:
    reason, _ = advice(facts)["Label more of the classes that are missed"]
    assert "technical" in reason
    assert "account" not in reason


def test_small_classes_are_named(facts: dict) -> None:
    counts = {"account": 40, "billing": 42, "delivery": 38, "praise": 5, "technical": 41}
    reason, _ = advice({**facts, "data": {**facts["data"], "per_class": counts}})["Fill up the small classes"]
    assert "praise" in reason
    assert "delivery" not in reason


@pytest.mark.parametrize(("n", "is_wide"), [(60, True), (5000, False)])
def test_a_wide_interval_asks_for_a_test(facts: dict, n: int, is_wide: bool) -> None:
    scores = {**facts["scores"], "accuracy": score(0.85, n)}
    found = advice({**facts, "scores": scores})
    assert ("Measure more exactly" in found) == is_wide


def test_perfect_scores_of_few_texts_ask_for_a_number_of_texts_that_is_above_none(facts: dict) -> None:
    scores = {**facts["scores"], "accuracy": score(1.0, 16)}
    reason, _ = advice({**facts, "scores": scores})["Measure more exactly"]
    assert "About 0 test" not in reason


def test_a_longer_budget_is_written_out(facts: dict) -> None:
    _, command = advice(facts)["Give it more time"]
    assert command == "fewtune fit tickets.csv --budget 10m --out tickets.fewtune --overwrite"
    assert "Give it more time" not in advice({**facts, "left_out": []})


def test_a_longer_budget_is_for_the_same_data(facts: dict) -> None:
    asked = {"text": "my text", "label": "kind", "test": "test.csv", "unlabeled": "more.txt", "seed": 7}
    _, command = advice({**facts, "recipe": {**facts["recipe"], **asked}})["Give it more time"]
    assert command == (
        "fewtune fit tickets.csv --text 'my text' --label kind --test test.csv --unlabeled more.txt --seed 7 "
        "--budget 10m --out tickets.fewtune --overwrite"
    )


def test_what_is_confused_most_is_asked_about(facts: dict) -> None:
    assert "Ask whether" in " ".join(advice(facts))
    right = make_answers(("a", "b"), 40)
    for line in right:
        if "prediction" in line:
            line["prediction"] = line["label"]
    assert "Ask whether" not in " ".join(advice(make_facts(("a", "b"), 40, answers=right)))


def test_names_are_quoted_for_the_shell(facts: dict) -> None:
    recipe = {**facts["recipe"], "data": "my tickets; rm -rf.csv"}
    assert advice({**facts, "recipe": recipe})["Mend the data"][1] == "fewtune check 'my tickets; rm -rf.csv'"


def test_data_that_were_no_file_have_a_stand_in(facts: dict) -> None:
    assert advice({**facts, "recipe": {**facts["recipe"], "data": ""}})["Mend the data"][1] == "fewtune check DATA"
