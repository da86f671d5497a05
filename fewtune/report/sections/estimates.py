"""Scores as cells of a table and as parts of a sentence."""

from __future__ import annotations

from collections.abc import Mapping

from fewtune.report.phrase import Part, Phrase, of_hundred, percent, plain, say
from fewtune.report.wording import Metric, metric_of
from fewtune.types import Score, Scores


def written(score: Score, metric: Metric) -> str:
    """The value of a score."""
    return percent(score.value) if metric.scale == "share" else plain(score.value)


def interval(score: Score, metric: Metric) -> Part:
    """The ends of a score's interval."""
    if score.low is None or score.high is None:
        return say("not known", "未知")
    form = percent if metric.scale == "share" else plain
    return say("{low} to {high}", "{low} 至 {high}", low=form(score.low), high=form(score.high))


def with_interval(score: Score, metric: Metric, digits: int = 1) -> Part:
    """A score's value and, smaller, the ends of its interval."""
    form = percent if metric.scale == "share" else plain
    digits = digits if metric.scale == "share" else 3
    if score.low is None or score.high is None:
        return form(score.value, digits)
    return say(
        "{value} <small>{low} to {high}</small>",
        "{value} <small>{low} 至 {high}</small>",
        value=form(score.value, digits),
        low=form(score.low, digits),
        high=form(score.high, digits),
    )


def level_of(scores: Scores) -> str:
    """The nominal coverage of the intervals; empty where they differ."""
    levels = {f"{score.level:.0%}" for score in scores.metrics.values()}
    return levels.pop() if len(levels) == 1 else ""


def between(score: Score) -> Phrase | None:
    """What the interval of a share says, as the end of a sentence; None where it is not known."""
    if score.low is None or score.high is None:
        return None
    return say(
        "; with {level} confidence between {low} and {high}",
        "；在 {level} 的置信水平下介于 {low} 与 {high} 之间",
        level=f"{score.level:.0%}",
        low=of_hundred(score.low),
        high=of_hundred(score.high),
    )


def is_share(key: str) -> bool:
    """Whether a metric is a fraction of which more is better, so that it can stand on a common axis."""
    return metric_of(key).scale == "share"


def shares(scores: Scores) -> Mapping[str, Score]:
    """The metrics that are fractions."""
    return {key: score for key, score in scores.metrics.items() if is_share(key)}
