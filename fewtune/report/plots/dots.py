"""A hundred dots: as many filled as answers are right, the interval between full and empty."""

from __future__ import annotations

from markupsafe import Markup

from fewtune.report.plots.svg import Drawing, circle

_COLUMNS, _ROWS, _STEP, _RADIUS = 25, 4, 16, 5.5


def hundred_dots(value: float, low: float | None, high: float | None) -> Drawing:
    """One dot for each of a hundred examples.

    Args:
        value: share of right answers.
        low, high: its interval; where it is not known, only right and wrong are told apart.
    """
    right = round(100 * value)
    sure = right if low is None else min(right, round(100 * low))
    possible = right if high is None else max(right, round(100 * high))
    dots = [
        circle((_STEP * (i % _COLUMNS + 0.5), _STEP * (i // _COLUMNS + 0.5)), _RADIUS, _look(i, sure, right, possible))
        for i in range(_COLUMNS * _ROWS)
    ]
    return Drawing(_COLUMNS * _STEP, _ROWS * _STEP, Markup("").join(dots))


def _look(place: int, sure: int, right: int, possible: int) -> str:
    if place < sure:
        return "is-sure"
    if place < right:
        return "is-likely"
    return "is-possible" if place < possible else "is-wrong"
