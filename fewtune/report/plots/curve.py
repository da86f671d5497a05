"""Lines over an axis: the learning curve with its forecast, and what a threshold does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fewtune.report.phrase import Phrase, say, shortened, whole_percent
from fewtune.report.plots.svg import Drawing, Frame, circle, line, polygon, polyline, round_steps, text

_WIDTH, _HEIGHT = 460, 300
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 30, _WIDTH - 22, _HEIGHT - 48


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A value with its ends over a number of examples."""

    examples: float
    value: float
    low: float | None
    high: float | None


def learning_curve_plot(
    points: Sequence[CurvePoint],
    today: CurvePoint,
    forecast: Sequence[CurvePoint],
    earlier: Sequence[CurvePoint],
    metric: Phrase,
    form: Callable[[float], str],
) -> Drawing:
    """Measured points with whiskers, the delivered model, and from there on the forecast with its band.

    Earlier models, which were fitted to fewer examples, are diamonds.
    """
    everything = [*points, today, *forecast, *earlier]
    values = [end for point in everything for end in (point.value, point.low, point.high) if end is not None]
    spread = (max(values) - min(values)) or 1.0
    low, high = min(values) - 0.05 * spread, max(values) + 0.05 * spread
    frame = Frame(_LEFT, _TOP, _RIGHT, _BOTTOM, (0, max(point.examples for point in everything)), (low, high))
    content = [
        *frame.axes(round_steps(*frame.x), round_steps(low, high, 5), lambda value: f"{value:.0f}", form),
        *_forecast(frame, today, forecast),
        polyline([frame.at(point.examples, point.value) for point in [*points, today]], "measured"),
        text((_LEFT, 17), metric, "axis-title"),
        text((_RIGHT, _HEIGHT - 8), say("labelled examples", "已标注的样例数"), "axis-title", anchor="end"),
    ]
    for point in [*points, today]:
        content += frame.whisker(point.examples, point.low, point.high)
        content.append(circle(frame.at(point.examples, point.value), 4.5, "dot"))
    for point in earlier:
        content += frame.whisker(point.examples, point.low, point.high)
        content.append(_diamond(frame.at(point.examples, point.value)))
    return Drawing(_WIDTH, _HEIGHT, Markup("").join(content))


def _diamond(center: tuple[float, float]) -> Markup:
    x, y = center
    return polygon([(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)], "earlier")


def _forecast(frame: Frame, today: CurvePoint, forecast: Sequence[CurvePoint]) -> list[Markup]:
    if not forecast:
        return []
    ahead = [CurvePoint(today.examples, today.value, None, None), *forecast]
    upper = [frame.at(point.examples, point.value if point.high is None else point.high) for point in ahead]
    lower = [frame.at(point.examples, point.value if point.low is None else point.low) for point in ahead]
    return [
        polygon([*upper, *reversed(lower)], "band"),
        polyline([frame.at(point.examples, point.value) for point in ahead], "foreseen"),
        *(circle(frame.at(point.examples, point.value), 4, "hollow") for point in forecast),
    ]


@dataclass(frozen=True, slots=True)
class Cut:
    """What happens when answers below a confidence are withheld.

    Attributes:
        below: the confidence.
        answered: share of the examples that still get an answer.
        wrong: share of wrong ones among the answered.
    """

    below: float
    answered: float
    wrong: float


def threshold_plot(cuts: Sequence[Cut], chosen: float | None) -> Drawing:
    """Answered and wrong shares over the threshold; the chosen threshold is an upright line."""
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    frame = Frame(_LEFT, _TOP, _RIGHT, _BOTTOM, (0, 1), (0, 1))
    content = [
        *frame.axes(ticks, ticks, whole_percent, whole_percent),
        polyline([frame.at(cut.below, cut.answered) for cut in cuts], "measured"),
        polyline([frame.at(cut.below, cut.wrong) for cut in cuts], "wrong"),
        text((_RIGHT, _HEIGHT - 8), say("threshold", "阈值"), "axis-title", anchor="end"),
    ]
    if cuts:
        content += _line_names(frame, cuts[0])
    if chosen is not None:
        content.append(line(frame.at(chosen, 0), frame.at(chosen, 1), "chosen"))
    return Drawing(_WIDTH, _HEIGHT, Markup("").join(content))


def _line_names(frame: Frame, first: Cut) -> list[Markup]:
    (x, answered), (_, wrong) = frame.at(0, first.answered), frame.at(0, first.wrong)
    return [
        text((x + 6, answered + 18), say("answered", "作答的比例"), "line-name"),
        text((x + 6, wrong - 8), say("wrong among the answered", "作答中答错的比例"), "line-name is-wrong"),
    ]


def precision_plot(curves: Mapping[str, Sequence[float]]) -> Drawing:
    """Precision over recall, a line a class: label to precision at recalls in equal steps from 0 to 1."""
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    frame = Frame(_LEFT, _TOP, _RIGHT, _BOTTOM, (0, 1), (0, 1))
    content = [
        *frame.axes(ticks, ticks, whole_percent, whole_percent),
        text((_LEFT, 17), say("precision", "精确率"), "axis-title"),
        text((_RIGHT, _HEIGHT - 8), say("recall", "召回率"), "axis-title", anchor="end"),
    ]
    for number, (label, values) in enumerate(curves.items()):
        last = max(1, len(values) - 1)
        content.append(
            polyline([frame.at(i / last, value) for i, value in enumerate(values)], f"measured curve-{number}")
        )
        y = _BOTTOM - 14 - 17 * (len(curves) - 1 - number)
        content.append(line((_LEFT + 10, y - 4), (_LEFT + 32, y - 4), f"measured curve-{number}"))
        content.append(text((_LEFT + 38, y), shortened(label, 24), "line-name"))
    return Drawing(_WIDTH, _HEIGHT, Markup("").join(content))
