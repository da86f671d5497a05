"""What more labels brought, and are likely to bring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewtune.report.blocks import Column, Figure, Paragraph, Section, Table
from fewtune.report.facts import Report, score_of
from fewtune.report.phrase import Phrase, named, percent, plain, say
from fewtune.report.plots.curve import CurvePoint, learning_curve_plot
from fewtune.report.wording import Metric, metric_of


def learning_curve(report: Report) -> Section | None:
    """The curve with its forecast."""
    curve = report.facts.get("learning_curve")
    if not curve or not curve["points"]:
        return None
    metric = metric_of(curve["metric"])
    points, today = [_measured(point) for point in curve["points"]], _today(report, curve)
    forecast = [CurvePoint(some["examples"], some["value"], some["low"], some["high"]) for some in curve["forecast"]]
    description = say(
        "Dots: {rung} on fewer of the examples, and at last the delivered model; with their intervals. Dashed: the "
        "forecast, and the band that holds the truth with {level} confidence.",
        "实心点：{rung} 只用一部分样例时的成绩，最后一个是所交付的模型，并附区间。"
        "虚线：预测；色带以 {level} 的置信水平包含真实值。",
        rung=named(curve["rung"]),
        level=f"{curve['forecast'][0]['level']:.0%}" if curve["forecast"] else "80%",
    )
    figure = Figure(
        say("How {metric} grows with the labels", "{metric}随标注数量的变化", metric=metric.name),
        learning_curve_plot(points, today, forecast, metric.name, lambda value: _written(value, metric, 0)),
        description,
        _numbers([*points, today], forecast, metric),
    )
    said = forecast_in_words(report)
    words = [] if said is None else [Paragraph(said)]
    return Section("curve", say("What more labels would bring", "再多标一些会怎样"), [*words, figure])


def _today(report: Report, curve: Mapping[str, Any]) -> CurvePoint:
    score = report.scores.metrics[curve["metric"]]
    return CurvePoint(report.examples, score.value, score.low, score.high)


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


def _numbers(points: list[CurvePoint], forecast: list[CurvePoint], metric: Metric) -> Table:
    columns = (
        Column(say("labelled examples", "标注样例数")),
        Column(say("measured or foreseen", "实测或预测")),
        Column(metric.name, "number"),
        Column(say("low", "下限"), "number"),
        Column(say("high", "上限"), "number"),
    )
    kinds = [say("measured", "实测")] * len(points) + [say("foreseen", "预测")] * len(forecast)
    rows = [
        (f"{point.examples:,.0f}", kind, *(_end(end, metric) for end in (point.value, point.low, point.high)))
        for point, kind in zip([*points, *forecast], kinds, strict=True)
    ]
    return Table(say("How {metric} grows, in numbers", "{metric}的变化：数据", metric=metric.name), columns, rows)


def _end(value: float | None, metric: Metric) -> str:
    return "–" if value is None else _written(value, metric)
