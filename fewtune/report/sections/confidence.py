"""Whether the model's confidence can be believed."""

from __future__ import annotations

from collections.abc import Sequence

from fewtune.evaluate.intervals import wilson
from fewtune.report.blocks import Column, Figure, Paragraph, Section, Table
from fewtune.report.data import Answer
from fewtune.report.facts import Report
from fewtune.report.phrase import Phrase, percent, say
from fewtune.report.plots.reliability import Bin, reliability_plot

_BINS = 10
_FEWEST = 20
_LEVEL = 0.95


def confidence(report: Report) -> Section | None:
    """The reliability curve; from fewer than twenty answers nothing could be read."""
    if len(report.answers) < _FEWEST:
        return None
    bins = reliability(report.answers)
    caption = say("Confidence and right answers", "置信度与答对的比例")
    description = say(
        "Each dot stands for answers of like confidence. On the dashed line, confidence is what it says; above it, the "
        "model is right more often than it claims; below it, less often. The bars count the answers.",
        "每个点代表置信度相近的一组答案。落在虚线上，说明置信度名副其实；在虚线之上，模型答对得比它说的多；"
        "在虚线之下，则比它说的少。柱子是答案的数量。",
    )
    return Section(
        "confidence",
        say("Whether its confidence can be believed", "置信度可信吗"),
        [Paragraph(_in_words(report)), Figure(caption, reliability_plot(bins), description, _numbers(bins))],
    )


def reliability(answers: Sequence[Answer]) -> list[Bin]:
    """Answers in ten bins of equal width, the empty ones left out."""
    members: list[list[Answer]] = [[] for _ in range(_BINS)]
    for answer in answers:
        members[min(_BINS - 1, int(answer.confidence * _BINS))].append(answer)
    return [_bin(place, some) for place, some in enumerate(members) if some]


def _bin(place: int, answers: Sequence[Answer]) -> Bin:
    right = sum(answer.is_right for answer in answers) / len(answers)
    return Bin(
        place / _BINS,
        (place + 1) / _BINS,
        len(answers),
        sum(answer.confidence for answer in answers) / len(answers),
        right,
        *wilson(right, len(answers), _LEVEL),
    )


def _in_words(report: Report) -> Phrase:
    n = len(report.answers)
    mean = sum(answer.confidence for answer in report.answers) / n
    right = 1 - len(report.errors) / n
    low, high = wilson(right, n, _LEVEL)
    assert low is not None
    assert high is not None
    if low <= mean <= high:
        verdict = say("The two agree as far as {n} answers can tell.", "就 {n} 个答案来看，两者相符。", n=f"{n:,}")
    elif mean > high:
        verdict = say("It is surer than it should be.", "它过于自信。")
    else:
        verdict = say("It is less sure than it could be.", "它过于谨慎。")
    return say(
        "On {source}, the model is {mean} confident on average, and right in {right} of its answers. {verdict}",
        "在{source}上，模型的平均置信度为 {mean}，答对的比例为 {right}。{verdict}",
        source=report.answers_come_from,
        mean=percent(mean, 0),
        right=percent(right, 0),
        verdict=verdict,
    )


def _numbers(bins: Sequence[Bin]) -> Table:
    columns = (
        Column(say("confidence", "置信度")),
        Column(say("answers", "答案数"), "number"),
        Column(say("mean confidence", "平均置信度"), "number"),
        Column(say("right", "答对"), "number"),
        Column(say("95% interval", "95% 区间"), "number"),
    )
    rows = [
        (
            f"{percent(some.start, 0)}–{percent(some.end, 0)}",
            f"{some.count:,}",
            percent(some.confidence),
            percent(some.right),
            say("{low} to {high}", "{low} 至 {high}", low=percent(some.low), high=percent(some.high)),
        )
        for some in bins
    ]
    return Table(say("Confidence and right answers, in numbers", "置信度与答对的比例：数据"), columns, rows)
