"""Models that trade size and time for a score: a dot each, and the line of those that no other beats in both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fewtune.report.phrase import Phrase, say
from fewtune.report.plots.svg import Drawing, Frame, circle, polyline, round_steps, text

_WIDTH, _HEIGHT = 460, 260
_LEFT, _TOP, _RIGHT, _BOTTOM = 62, 34, _WIDTH - 30, _HEIGHT - 48
_SMALLEST_DOT, _LARGEST_DOT = 4.5, 14.0


@dataclass(frozen=True, slots=True)
class TradeOff:
    """A model: what it is called, its megabytes, the milliseconds of an answer, its score, whether it was taken."""

    name: Phrase
    size_mb: float
    ms: float
    score: float
    taken: bool


def trade_off_plot(models: Sequence[TradeOff], axis: Phrase, form: Callable[[float], str]) -> Drawing:
    """Score over megabytes; the larger a dot, the slower the model."""
    scores = [model.score for model in models]
    spread = (max(scores) - min(scores)) or 0.01
    low, high = min(scores) - 0.4 * spread, max(scores) + 0.4 * spread
    frame = Frame(_LEFT, _TOP, _RIGHT, _BOTTOM, (0, 1.1 * max(model.size_mb for model in models)), (low, high))
    content = [
        *frame.axes(round_steps(*frame.x), round_steps(low, high, 5), lambda value: f"{value:g}", form),
        polyline([frame.at(model.size_mb, model.score) for model in frontier(models)], "foreseen"),
        text((_LEFT, 17), axis, "axis-title"),
        text((_RIGHT, _HEIGHT - 8), say("megabytes", "大小（MB）"), "axis-title", anchor="end"),
    ]
    slowest = max(model.ms for model in models)
    for model in models:
        x, y = frame.at(model.size_mb, model.score)
        radius = max(_SMALLEST_DOT, _LARGEST_DOT * (model.ms / slowest) ** 0.5)
        content.append(circle((x, y), radius, "dot" if model.taken else "hollow"))
        right = x > (_LEFT + _RIGHT) / 2
        beside = (x - radius - 5 if right else x + radius + 5, y - 7)
        label = say("{name}, {ms} ms", "{name}，{ms} 毫秒", name=model.name, ms=f"{model.ms:.1f}")
        content.append(text(beside, label, "line-name", anchor="end" if right else "start"))
    return Drawing(_WIDTH, _HEIGHT, Markup("").join(content))


def frontier(models: Sequence[TradeOff]) -> list[TradeOff]:
    """Those that no other model beats in size and score alike, smallest first."""
    best: list[TradeOff] = []
    for model in sorted(models, key=lambda model: (model.size_mb, -model.score)):
        if not best or model.score > best[-1].score:
            best.append(model)
    return best
