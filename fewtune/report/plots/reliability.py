"""Confidence against the share of right answers, over a histogram of the confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fewtune.report.phrase import Phrase, say, whole_percent
from fewtune.report.plots.svg import Drawing, Frame, circle, line, rectangle, text

_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_WIDTH, _HEIGHT = 400, 380
_LEFT, _RIGHT = 56, _WIDTH - 20
_TOP, _MIDDLE, _BASE, _BOTTOM = 28, 270, 308, 352


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of like confidence.

    Attributes:
        start, end: of the confidence.
        count: how many answers.
        confidence: their mean.
        right: share of right ones.
        low, high: its interval.
    """

    start: float
    end: float
    count: int
    confidence: float
    right: float
    low: float | None
    high: float | None


def reliability_plot(bins: Sequence[Bin]) -> Drawing:
    """Points above the line: more is right than the model says; below it: less."""
    frame = Frame(_LEFT, _TOP, _RIGHT, _MIDDLE, (0, 1), (0, 1))
    content = [
        *frame.axes(_TICKS, _TICKS, whole_percent, whole_percent),
        line(frame.at(0, 0), frame.at(1, 1), "ideal"),
        _title((_LEFT, 16), say("right answers", "答对的比例")),
    ]
    for some in bins:
        content += frame.whisker(some.confidence, some.low, some.high)
        content.append(circle(frame.at(some.confidence, some.right), 5, "dot"))
    content += _histogram(bins)
    return Drawing(_WIDTH, _HEIGHT, Markup("").join(content))


def _histogram(bins: Sequence[Bin]) -> list[Markup]:
    most = max((some.count for some in bins), default=0)
    frame = Frame(_LEFT, _BASE, _RIGHT, _BOTTOM, (0, 1), (0, max(1, most)))
    content = frame.axes((), (most,), str, lambda value: f"{value:.0f}")
    for some in bins:
        left, top = frame.at(some.start, some.count)
        right, _ = frame.at(some.end, 0)
        content.append(rectangle((left + 1, top), right - left - 2, frame.bottom - top, "bar"))
    content.append(_title((_RIGHT, _BOTTOM + 20), say("confidence", "置信度"), "end"))
    content.append(_title((_LEFT, _BOTTOM + 20), say("answers (bars)", "答案数（柱）")))
    return content


def _title(place: tuple[float, float], words: Phrase, anchor: str = "start") -> Markup:
    return text(place, words, "axis-title", anchor="end" if anchor == "end" else "start")
