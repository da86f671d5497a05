"""The report of a model that was made of names of classes alone."""

from __future__ import annotations

from typing import Any

import pytest

from fewtune.report.blocks import Commands
from fewtune.report.data import ReportData
from fewtune.report.facts import Report
from fewtune.report.sections.again import again
from fewtune.report.sections.outcome import outcome
from fewtune.report.sections.worst import worst


@pytest.fixture
def named(facts: dict) -> dict[str, Any]:
    recipe = {**facts["recipe"], "data": "", "labels": "account,billing", "unlabeled": "pool.txt"}
    return {**facts, "method": "label-names", "recipe": recipe}


def first_command(facts: dict[str, Any]) -> str:
    commands = again(Report(facts, ReportData(), "tickets.fewtune")).blocks[0]
    assert isinstance(commands, Commands)
    return commands.items[0][1]


def test_it_is_made_again_without_labelled_data(facts: dict, named: dict[str, Any]) -> None:
    fit = "--config tickets.fewtune/recipe.toml --out again.fewtune"
    assert first_command(named) == f"fewtune fit {fit}"
    given_in_python = {**named, "recipe": {**named["recipe"], "unlabeled": ""}}
    assert first_command(given_in_python) == f"fewtune fit --unlabeled TEXTS {fit}"
    assert first_command(facts) == f"fewtune fit tickets.csv {fit}"


def test_errors_that_nobody_could_count_have_no_section(facts: dict, named: dict[str, Any]) -> None:
    assert worst(Report(named, ReportData(), "tickets.fewtune")) is None
    assert worst(Report(facts, ReportData(), "tickets.fewtune")) is not None


def test_the_method_has_a_name(named: dict[str, Any]) -> None:
    lead = str(outcome(Report(named, ReportData(), "tickets.fewtune")).blocks[0])
    assert "label-names" not in lead
    assert "由类别的名称教成" in lead
