"""Elements of SVG as safe HTML, and the frame that plots are drawn into."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from fewtune.report.phrase import Phrase

Point = tuple[float, float]


def element(tag: str, *children: Markup, **attributes: str | float) -> Markup:
    """One element; `class_` stands for class, and other underscores for hyphens."""
    written = [
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _short(value))
        for name, value in attributes.items()
    ]
    opening = Markup("<{}{}").format(tag, Markup("").join(written))
    if not children:
        return opening + Markup("/>")
    return opening + Markup(">") + Markup("").join(children) + Markup("</{}>").format(tag)


def _short(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def decoration(width: float, height: float, *children: Markup, class_: str) -> Markup:
    """A drawing beside the number that it shows: nothing for who hears the page."""
    return element(
        "svg",
        *children,
        class_=class_,
        width=width,
        height=height,
        viewBox=f"0 0 {_short(width)} {_short(height)}",
        preserveAspectRatio="none",
        aria_hidden="true",
        focusable="false",
    )


@dataclass(frozen=True, slots=True)
class Drawing:
    """The content of a figure, which scales with the page."""

    width: float
    height: float
    content: Markup


def line(start: Point, end: Point, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def polyline(points: Sequence[Point], class_: str) -> Markup:
    """Straight lines from point to point."""
    return element("polyline", points=_joined(points), class_=class_)


def polygon(points: Sequence[Point], class_: str) -> Markup:
    """A filled shape."""
    return element("polygon", points=_joined(points), class_=class_)


def _joined(points: Sequence[Point]) -> str:
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in points)


def circle(centre: Point, radius: float, class_: str) -> Markup:
    """A dot."""
    return element("circle", cx=centre[0], cy=centre[1], r=radius, class_=class_)


def rectangle(corner: Point, width: float, height: float, class_: str) -> Markup:
    """A bar; `corner` is its upper left."""
    return element("rect", x=corner[0], y=corner[1], width=max(0.0, width), height=max(0.0, height), class_=class_)


def text(
    place: Point, content: Phrase | str, class_: str = "", *, anchor: Literal["start", "middle", "end"] = "start"
) -> Markup:
    """A label: of a phrase both languages stand at the same place, and one is shown."""
    if isinstance(content, str):
        return element("text", escape(content), x=place[0], y=place[1], class_=class_, text_anchor=anchor)
    spoken = (("en", "en", content.en), ("zh", "zh-Hans", content.zh))
    return Markup("").join(
        element("text", said, x=place[0], y=place[1], class_=f"{class_} {mark}".strip(), lang=code, text_anchor=anchor)
        for mark, code, said in spoken
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """The rectangle between the axes, and where values fall in it.

    Attributes:
        left, top, right, bottom: its edges in the drawing.
        x, y: the smallest and the largest value of each axis.
    """

    left: float
    top: float
    right: float
    bottom: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> Point:
        """Where a point of values is drawn; values beyond an axis are drawn at its end."""
        return (
            self.left + (self.right - self.left) * _share(x, self.x),
            self.bottom - (self.bottom - self.top) * _share(y, self.y),
        )

    def axes(
        self,
        x_ticks: Iterable[float],
        y_ticks: Iterable[float],
        x_form: Callable[[float], str],
        y_form: Callable[[float], str],
    ) -> list[Markup]:
        """Grid lines across, and the numbers beside and below."""
        marks = []
        for value in y_ticks:
            _, y = self.at(self.x[0], value)
            marks.append(line((self.left, y), (self.right, y), "grid"))
            marks.append(text((self.left - 6, y + 4), y_form(value), "tick", anchor="end"))
        for value in x_ticks:
            x, _ = self.at(value, self.y[0])
            marks.append(line((x, self.bottom), (x, self.bottom + 4), "axis"))
            marks.append(text((x, self.bottom + 17), x_form(value), "tick", anchor="middle"))
        marks.append(line((self.left, self.bottom), (self.right, self.bottom), "axis"))
        return marks

    def whisker(self, x: float, low: float | None, high: float | None) -> list[Markup]:
        """An upright interval at `x`; nothing where it is not known."""
        if low is None or high is None:
            return []
        return [line(self.at(x, low), self.at(x, high), "whisker")]


def _share(value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.5


def round_steps(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two values, at most so many."""
    if not high > low:
        return [low]
    exponent = math.floor(math.log10((high - low) / most))
    steps = (factor * 10.0**power for power in range(exponent, exponent + 3) for factor in (1, 2, 5))
    step = next(step for step in steps if high // step - -(-low // step) < most)
    return [i * step for i in range(int(-(-low // step)), int(high // step) + 1)]
