"""What more labels brought, and are likely to bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewtune.report.blocks import Column, Figure, Paragraph, Section, Table
from fewtune.report.facts import Report, score_of
from fewtune.report.phrase import Phrase, named, percent, plain, say, sentences
from fewtune.report.plots.curve import CurvePoint, learning_curve_plot
from fewtune.report.wording import Metric, metric_of

_ENDS = ("examples", "value", "low", "high")


def learning_curve(report: Report) -> Section | None:
    """The curve with its forecast, and with what came true of earlier ones."""
    curve = report.facts.get("learning_curve") or {}
    earlier = [_earlier(some) for some in report.facts.get("earlier") or ()]
    if not curve.get("points") and not earlier:
        return None
    metric = metric_of(report.primary_metric)
    points, today = [_measured(point) for point in curve.get("points") or ()], _today(report)
    forecast = [CurvePoint(*(some[end] for end in _ENDS)) for some in curve.get("forecast") or ()]
    figure = Figure(
        say("How {metric} grows with the labels", "{metric}随标注数量的变化", metric=metric.name),
        learning_curve_plot(points, today, forecast, earlier, metric.name, lambda value: _written(value, metric, 0)),
        _description(curve, bool(earlier)),
        _numbers([*points, today], forecast, earlier, metric),
    )
    said = [some for some in (forecast_in_words(report), came_true_in_words(report)) if some is not None]
    words = [Paragraph(sentences(*said))] if said else []
    return Section("curve", say("What more labels would bring", "再多标一些会怎样"), [*words, figure])


def _description(curve: Mapping[str, Any], earlier: bool) -> Phrase:
    said = []
    if curve.get("points"):
        said.append(
            say(
                "Dots: {rung} on fewer of the examples, and at last the delivered model; with their intervals.",
                "实心点：{rung} 只用一部分样例时的成绩，最后一个是所交付的模型，并附区间。",
                rung=named(curve["rung"]),
            )
        )
    else:
        said.append(say("Dot: the delivered model, with its interval.", "实心点：所交付的模型，并附区间。"))
    if curve.get("forecast"):
        said.append(
            say(
                "Dashed: the forecast, and the band that holds the truth with {level} confidence.",
                "虚线：预测；色带以 {level} 的置信水平包含真实值。",
                level=f"{curve['forecast'][0]['level']:.0%}",
            )
        )
    if earlier:
        said.append(
            say(
                "Diamonds: the models that this one took the place of, as they were delivered.",
                "菱形：此前交付、后被本模型替换的模型。",
            )
        )
    return sentences(*said)


def _today(report: Report) -> CurvePoint:
    score = report.scores.metrics[report.primary_metric]
    return CurvePoint(report.examples, score.value, score.low, score.high)


def _earlier(some: Mapping[str, Any]) -> CurvePoint:
    score = some["score"]
    return CurvePoint(some["examples"], score["value"], score["low"], score["high"])


def _measured(point: Mapping[str, Any]) -> CurvePoint:
    score = score_of(point["score"])
    return CurvePoint(point["examples"], score.value, score.low, score.high)


def _written(value: float, metric: Metric, digits: int = 1) -> str:
    return percent(value, digits) if metric.scale == "share" else plain(value, 2)


def forecast_in_words(report: Report) -> Phrase | None:
    """The nearest forecast as a sentence; None where nothing is foreseen."""
    curve = report.facts.get("learning_curve")
    if not curve or not curve["forecast"]:
        return None
    nearest = curve["forecast"][0]
    low, high = max(0.0, 100 * nearest["gain_low"]), 100 * nearest["gain_high"]
    if high < 1:
        gain = say("less than a point", "不到 1 个百分点的提升")
    else:
        gain = say("{low} to {high} points", "{low} 到 {high} 个百分点的提升", low=f"{low:.0f}", high=f"{high:.0f}")
    return say(
        "The next {more} labels a class are likely to bring {gain} of {metric} ({level} band).",
        "每类再标 {more} 个，{metric}很可能有 {gain}（{level} 预测带）。",
        more=nearest["more_per_class"],
        gain=gain,
        metric=metric_of(curve["metric"]).name,
        level=f"{nearest['level']:.0%}",
    )


def came_true_in_words(report: Report) -> Phrase | None:
    """The last earlier model beside this one, and beside what it foresaw; None where there is none."""
    earlier = report.facts.get("earlier")
    if not earlier:
        return None
    last, now = earlier[-1], _today(report)
    metric = metric_of(report.primary_metric)
    said = say(
        "With {before} labelled examples {metric} was {then}; with {examples} it is {now}.",
        "标注 {before} 个样例时，{metric}为 {then}；标注 {examples} 个之后为 {now}。",
        before=f"{last['examples']:,}",
        then=_end(last["score"]["value"], metric),
        examples=f"{report.examples:,}",
        now=_end(now.value, metric),
        metric=metric.name,
    )
    foreseen = last["foreseen"]
    if foreseen is None:
        return said
    band = say(
        "{low} to {high} had been foreseen.",
        "当时的预测是 {low} 到 {high}。",
        low=_end(foreseen["low"], metric),
        high=_end(foreseen["high"], metric),
    )
    return sentences(said, band)


def _numbers(points: list[CurvePoint], forecast: list[CurvePoint], earlier: list[CurvePoint], metric: Metric) -> Table:
    columns = (
        Column(say("labelled examples", "标注样例数")),
        Column(say("measured or foreseen", "实测或预测")),
        Column(metric.name, "number"),
        Column(say("low", "下限"), "number"),
        Column(say("high", "上限"), "number"),
    )
    kinds = [say("measured", "实测")] * len(points) + [say("foreseen", "预测")] * len(forecast)
    kinds += [say("an earlier model", "此前的模型")] * len(earlier)
    rows = [
        (f"{point.examples:,.0f}", kind, *(_end(end, metric) for end in (point.value, point.low, point.high)))
        for point, kind in zip([*points, *forecast, *earlier], kinds, strict=True)
    ]
    return Table(say("How {metric} grows, in numbers", "{metric}的变化：数据", metric=metric.name), columns, rows)


def _end(value: float | None, metric: Metric) -> str:
    return "–" if value is None else _written(value, metric)
