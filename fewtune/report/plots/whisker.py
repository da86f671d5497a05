"""A dot and its interval on one line, for a cell of a table."""

from __future__ import annotations

from markupsafe import Markup

from fewtune.report.plots.svg import Frame, circle, decoration, line, text
from fewtune.types import Score

_WIDTH, _HEIGHT, _MARGIN = 160, 18, 8


def share_axis(scores: list[Score]) -> tuple[float, float]:
    """From a round number below all intervals to 1: small differences between good scores stay visible."""
    known = [end for score in scores for end in (score.value, score.low) if end is not None and end == end]
    lowest = min(known, default=0.0)
    return next((start for start in (0.8, 0.5) if lowest >= start), 0.0), 1.0


def whisker(score: Score, axis: tuple[float, float]) -> Markup:
    """One score. Its numbers stand beside it in the table."""
    if score.value != score.value:
        return Markup("")
    frame = _frame(axis)
    middle = _HEIGHT / 2
    track = [line((frame.left, middle), (frame.right, middle), "track")]
    if score.low is not None and score.high is not None:
        ends = (frame.at(score.low, 0)[0], middle), (frame.at(score.high, 0)[0], middle)
        track.append(line(*ends, "whisker"))
    dot = circle((frame.at(score.value, 0)[0], middle), 4.5, "dot")
    return decoration(_WIDTH, _HEIGHT, *track, dot, class_="whiskers")


def ruler(axis: tuple[float, float]) -> Markup:
    """The scale of a column of whiskers, for its heading."""
    frame = _frame(axis)
    low, high = axis
    middle = (low + high) / 2
    labels = [
        text((frame.left - _MARGIN + 1, 13), f"{100 * low:.0f}%", "tick"),
        text((frame.at(middle, 0)[0], 13), f"{100 * middle:.0f}%", "tick", anchor="middle"),
        text((frame.right + _MARGIN - 1, 13), f"{100 * high:.0f}%", "tick", anchor="end"),
    ]
    return decoration(_WIDTH, _HEIGHT, *labels, class_="whiskers")


def _frame(axis: tuple[float, float]) -> Frame:
    return Frame(_MARGIN, 0, _WIDTH - _MARGIN, _HEIGHT, axis, (0, 1))
