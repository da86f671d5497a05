"""The report in Chromium; skipped where Chromium, playwright or axe-core is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fewtune.report.data import ReportData
from fewtune.report.render import render_report
from tests.report.browser import LOOKS, browser, find_axe, find_chromium, look
from tests.report.sample import make_answers, make_facts

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def opened() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def page(facts: dict, data: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "page.html"
    path.write_text(render_report(facts, data, "tickets.fewtune"), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", LOOKS)
def test_it_asks_for_nothing_and_fits(opened: Any, page: Path, name: str) -> None:
    seen = look(opened, page, name)
    assert seen.requests == []
    assert seen.messages == []
    assert seen.overflow_px <= 0


@pytest.mark.skipif(find_axe() is None, reason="axe-core is not installed")
@pytest.mark.parametrize("name", [name for name in LOOKS if name != "without-script"])
def test_everybody_can_read_it(opened: Any, page: Path, name: str) -> None:
    assert look(opened, page, name).violations == []


@pytest.mark.skipif(find_axe() is None, reason="axe-core is not installed")
def test_everybody_can_read_one_of_many_classes(opened: Any, tmp_path: Path) -> None:
    labels = [f"class {i}" for i in range(30)]
    answers = make_answers(labels, 400)
    path = tmp_path / "page.html"
    path.write_text(render_report(make_facts(labels, 400, answers=answers), ReportData(), "t"), encoding="utf-8")
    assert look(opened, path, "light").violations == []


def test_it_speaks_the_browsers_language(opened: Any, page: Path) -> None:
    english, chinese = look(opened, page, "light"), look(opened, page, "chinese")
    assert (english.language, chinese.language) == ("en", "zh-Hans")
    assert "What came out" in english.shown
    assert "结果" not in english.shown
    assert "What came out" not in chinese.shown
    assert "结果" in chinese.shown


def test_without_script_it_is_english_and_can_still_be_switched(opened: Any, page: Path) -> None:
    assert look(opened, page, "without-script").language == "en"
    context = opened.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(page.as_uri())
    assert tab.inner_text("#outcome-title") == "What came out"
    tab.check("#chinese")
    assert tab.inner_text("#outcome-title") == "结果"
    context.close()


def test_the_switch_works_by_keyboard(opened: Any, page: Path) -> None:
    context = opened.new_context(locale="en-US")
    tab = context.new_page()
    tab.goto(page.as_uri())
    tab.focus("#english")
    tab.keyboard.press("ArrowRight")
    assert tab.inner_text("#outcome-title") == "结果"
    assert tab.evaluate("document.documentElement.lang") == "zh-Hans"
    context.close()
