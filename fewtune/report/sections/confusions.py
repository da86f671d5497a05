"""Which class is taken for which."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fewtune.report.blocks import Block, Column, HeatMap, Paragraph, Section, Table
from fewtune.report.facts import Report
from fewtune.report.phrase import Phrase, named, percent, say
from fewtune.report.plots.bar import bar

MOST_IN_A_MATRIX = 20
_MOST_LISTED = 20
_SHADES = 8


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often one class was taken for another, of how many."""

    truth: str
    prediction: str
    count: int
    support: int


def confusions(report: Report) -> Section | None:
    """The confusion matrix; of many classes only its largest errors."""
    counts = report.scores.confusion
    if not counts:
        return None
    largest = largest_confusions(report)
    blocks: list[Block] = [Paragraph(_in_words(report, largest))]
    if len(report.labels) <= MOST_IN_A_MATRIX:
        blocks += [_matrix(report.labels, counts), Paragraph(_about_shades(), "aside")]
    elif largest:
        blocks += _list(report, largest)
    return Section("confusions", say("What is taken for what", "什么被当成什么"), blocks)


def largest_confusions(report: Report) -> list[Confusion]:
    """All pairs that were confused, the commonest first."""
    counts = report.scores.confusion
    found = list(_pairs(report.labels, counts)) if counts else []
    return sorted(found, key=lambda confusion: (-confusion.count, confusion.support))


def _pairs(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Iterator[Confusion]:
    for truth, row in zip(labels, counts, strict=True):
        for prediction, count in zip(labels, row, strict=True):
            if count and truth != prediction:
                yield Confusion(truth, prediction, count, sum(row))


def _in_words(report: Report, largest: Sequence[Confusion]) -> Phrase:
    if not largest:
        return say("No class was taken for another.", "没有一个类别被误判为别的类别。")
    worst = largest[0]
    return say(
        "Most often, {truth} was taken for {prediction}: {count} of {support} {many}.",
        "最常见的是把 {truth} 误判为 {prediction}：{support} {measure}{many}中有 {count} {measure}。",
        truth=named(worst.truth),
        prediction=named(worst.prediction),
        count=worst.count,
        support=worst.support,
        many=report.noun.many,
        measure=report.noun.measure,
    )


def _matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> HeatMap:
    shades = [[_shade(count, sum(row)) for count in row] for row in counts]
    caption = say("Rows: what it is. Columns: what the model said.", "行：真实类别。列：模型的回答。")
    return HeatMap(caption, labels, counts, shades)


def _about_shades() -> Phrase:
    return say(
        "The stronger the colour, the larger the share of the row. Right answers are framed.",
        "颜色越浓，占该行的比例越大。加框的是答对的。",
    )


def _shade(count: int, total: int) -> int:
    """A single error must be seen, so the first shade begins at one count."""
    return math.ceil(_SHADES * count / total) if total else 0


def _list(report: Report, largest: Sequence[Confusion]) -> list[Block]:
    shown = largest[:_MOST_LISTED]
    rows = [
        (
            named(some.truth),
            named(some.prediction),
            bar(some.count, shown[0].count),
            f"{some.count}",
            percent(some.count / some.support, 0),
        )
        for some in shown
    ]
    columns = (
        Column(say("what it is", "真实类别")),
        Column(say("what the model said", "模型的回答")),
        Column(say("size", "大小"), "plot"),
        Column(say("count", "次数"), "number"),
        Column(say("of the class", "占该类"), "number"),
    )
    aside = say(
        "{shown} of {count} pairs of classes that were confused; a matrix of {classes} classes would be too large to "
        "read.",
        "这里列出 {count} 对混淆中的 {shown} 对；{classes} 个类别的矩阵太大，不便阅读。",
        shown=len(shown),
        count=len(largest),
        classes=len(report.labels),
    )
    return [Table(say("The largest confusions", "最多的混淆"), columns, rows), Paragraph(aside, "aside")]
