"""A bar for a cell of a table."""

from __future__ import annotations

from markupsafe import Markup

from fewtune.report.plots.svg import decoration, rectangle

_WIDTH, _HEIGHT = 160, 18


def bar(count: float, largest: float) -> Markup:
    """One count, beside the largest of its column. The number stands beside it in the table."""
    return decoration(
        _WIDTH, _HEIGHT, rectangle((0, 3), _WIDTH * count / max(largest, 1), _HEIGHT - 6, "bar"), class_="bars"
    )
