from __future__ import annotations

import math
from collections import Counter
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from fewtune.report.data import Answer
from fewtune.report.phrase import say
from fewtune.report.plots.bar import bar
from fewtune.report.plots.curve import CurvePoint, learning_curve_plot, threshold_plot
from fewtune.report.plots.dots import hundred_dots
from fewtune.report.plots.reliability import reliability_plot
from fewtune.report.plots.svg import Drawing, Frame, element, round_steps, text
from fewtune.report.plots.whisker import ruler, share_axis, whisker
from fewtune.report.sections.confidence import reliability
from fewtune.report.sections.unsure import cuts_of
from fewtune.types import Score


def tree(markup: Markup | Drawing) -> ElementTree.Element:
    content = markup.content if isinstance(markup, Drawing) else markup
    return ElementTree.fromstring(f"<g>{content}</g>")


def classes(markup: Markup | Drawing) -> Counter:
    return Counter(child.get("class") for child in tree(markup).iter() if child.get("class"))


def answer(confidence: float, is_right: bool) -> Answer:
    return Answer("p", "t", "a", "a" if is_right else "b", confidence)


answers = st.lists(st.builds(answer, st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_what_goes_into_svg_is_escaped() -> None:
    assert element("text", Markup("&lt;"), class_='"><script>') == '<text class="&#34;&gt;&lt;script&gt;">&lt;</text>'
    assert "<script>" not in text((0, 0), "<script>")


def test_a_phrase_stands_in_both_languages_at_the_same_place() -> None:
    english, chinese = tree(text((3, 4), say("right", "对"), "tick"))
    assert (english.text, english.get("lang"), english.get("class")) == ("right", "en", "tick en")
    assert (chinese.text, chinese.get("lang"), chinese.get("class")) == ("对", "zh-Hans", "tick zh")
    assert english.get("x") == chinese.get("x") == "3"


def test_values_are_drawn_inside_the_frame() -> None:
    frame = Frame(10, 0, 110, 50, (0, 2), (0, 1))
    assert frame.at(0, 0) == (10, 50)
    assert frame.at(1, 0.5) == (60, 25)
    assert frame.at(9, -9) == (110, 50)
    assert Frame(0, 0, 10, 10, (3, 3), (0, 1)).at(3, 0) == (5, 10)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_steps_are_few_and_round(low: float, width: float) -> None:
    steps = round_steps(low, low + width, 6)
    assert 1 <= len(steps) <= 6
    assert all(low - 1e-6 * width <= step <= low + width * (1 + 1e-6) for step in steps)


def test_steps_of_nothing() -> None:
    assert round_steps(0.5, 0.5) == [0.5]
    assert round_steps(0, 100) == [0, 20, 40, 60, 80, 100]


@pytest.mark.parametrize(
    ("value", "low", "high", "counts"),
    [
        (0.87, 0.79, 0.93, {"is-sure": 79, "is-likely": 8, "is-possible": 6, "is-wrong": 7}),
        (1.0, 0.9, 1.0, {"is-sure": 90, "is-likely": 10}),
        (0.5, None, None, {"is-sure": 50, "is-wrong": 50}),
        (0.0, 0.0, 0.2, {"is-possible": 20, "is-wrong": 80}),
    ],
)
def test_a_hundred_dots(value: float, low: float | None, high: float | None, counts: dict[str, int]) -> None:
    assert classes(hundred_dots(value, low, high)) == counts


def test_a_whisker_lies_on_the_axis() -> None:
    drawn = tree(whisker(Score(0.75, 0.5, 1.0, 40), (0.5, 1.0)))
    spots = {child.get("class"): child.attrib for child in drawn.iter()}
    assert (spots["whisker"]["x1"], spots["whisker"]["x2"]) == ("8", "152")
    assert spots["dot"]["cx"] == "80"


def test_what_is_not_known_has_no_whisker() -> None:
    assert classes(whisker(Score(0.75, None, None, 40), (0, 1))) == {"whiskers": 1, "track": 1, "dot": 1}
    assert whisker(Score(math.nan, None, None, 40), (0, 1)) == ""


@pytest.mark.parametrize(("lows", "start"), [([0.9], 0.8), ([0.9, 0.6], 0.5), ([0.3], 0.0), ([], 0.0)])
def test_the_axis_begins_below_all_intervals(lows: list[float], start: float) -> None:
    axis = share_axis([Score(0.95, low, 1.0, 9) for low in lows])
    assert axis == (start, 1.0)
    assert f"{100 * start:.0f}%" in ruler(axis)


def test_a_bar_is_as_long_as_its_share() -> None:
    widths = [next(tree(bar(count, 8)).iter("rect")).get("width") for count in (8, 4, 0)]
    assert widths == ["160", "80", "0"]
    assert next(tree(bar(0, 0)).iter("rect")).get("width") == "0"


@settings(deadline=None)
@given(answers)
def test_bins_hold_every_answer_once(some: list[Answer]) -> None:
    bins = reliability(some)
    assert sum(one.count for one in bins) == len(some)
    for one in bins:
        assert one.start - 1e-9 <= one.confidence <= one.end + 1e-9
        assert one.low is not None
        assert one.high is not None
        assert one.low <= one.right <= one.high
    assert classes(reliability_plot(bins))["dot"] == len(bins)


@settings(deadline=None)
@given(answers, st.lists(st.floats(0, 1), max_size=8).map(sorted))
def test_a_threshold_counts_right(some: list[Answer], thresholds: list[float]) -> None:
    cuts = {cut.below: cut for cut in cuts_of(some, thresholds)}
    for threshold in thresholds:
        kept = [one for one in some if one.confidence >= threshold]
        assert (threshold in cuts) == bool(kept)
        if kept:
            assert cuts[threshold].answered == pytest.approx(len(kept) / len(some))
            assert cuts[threshold].wrong == pytest.approx(sum(not one.is_right for one in kept) / len(kept))


def test_the_chosen_threshold_is_marked() -> None:
    cuts = cuts_of([answer(0.4, False), answer(0.9, True)], [0.0, 0.5])
    assert classes(threshold_plot(cuts, 0.5))["chosen"] == 1
    assert "chosen" not in classes(threshold_plot(cuts, None))
    assert "measured" in classes(threshold_plot([], None))


def test_the_learning_curve_goes_on_where_it_was_measured() -> None:
    points, today = [CurvePoint(20, 0.6, 0.5, 0.7), CurvePoint(40, 0.7, None, None)], CurvePoint(50, 0.72, 0.6, 0.8)
    forecast = [CurvePoint(80, 0.8, 0.75, 0.85)]
    drawn = learning_curve_plot(points, today, forecast, [], say("accuracy", "准确率"), str)
    found = classes(drawn)
    assert (found["dot"], found["hollow"], found["whisker"], found["band"]) == (3, 1, 2, 1)
    lines = {child.get("class"): (child.get("points") or "").split() for child in tree(drawn).iter("polyline")}
    assert lines["foreseen"][0] == lines["measured"][-1]


def test_a_learning_curve_without_forecast() -> None:
    found = classes(learning_curve_plot([], CurvePoint(20, 0.6, None, None), [], [], say("a", "a"), str))
    assert found["dot"] == 1
    assert "band" not in found
