"""The threshold below which the model says that it is unsure, and inputs that are none of its business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewtune.report.blocks import Block, Column, Figure, Paragraph, Section, Table
from fewtune.report.data import Answer
from fewtune.report.facts import Report, score_of
from fewtune.report.phrase import Phrase, of_hundred, percent, say
from fewtune.report.plots.curve import Cut, threshold_plot
from fewtune.report.sections.estimates import between

_FEWEST = 20
_MOST_CUTS = 100
_TABLE_CUTS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def unsure(report: Report) -> Section | None:
    """What withholding the doubtful answers costs and brings."""
    blocks: list[Block] = []
    chosen = report.facts.get("unsure")
    if chosen is not None:
        blocks.append(Paragraph(_threshold(report, chosen)))
    elif len(report.answers) >= _FEWEST:
        blocks.append(
            Paragraph(say("No threshold was set; this is what one would do.", "没有设定阈值；下图显示阈值的作用。"))
        )
    if len(report.answers) >= _FEWEST:
        blocks.append(_figure(report, chosen["below"] if chosen else None))
    scope = report.facts.get("scope")
    if scope is not None:
        blocks.append(Paragraph(_scope(report, scope)))
    return Section("unsure", say("When it should say “unsure”", "何时该说“没把握”"), blocks) if blocks else None


def _threshold(report: Report, chosen: Mapping[str, Any]) -> Phrase:
    target = percent(chosen["target_error"], 0)
    if chosen["below"] is None:
        return say(
            "No threshold was found at which at most {target} of the answers are wrong.",
            "没有找到能使错误率不超过 {target} 的阈值。",
            target=target,
        )
    answered, error = score_of(chosen["answered"]), score_of(chosen["error"])
    return say(
        "Below a confidence of {below}, the model should say “unsure”. It then answers about {answered} of 100 {many}"
        "{answered_between}, and is wrong in about {error} of 100 answers{error_between}. The threshold was chosen so "
        "that at most {target} of the answers are wrong.",
        "置信度低于 {below} 时，模型应当说“没把握”。"
        "这样，每 100 {measure}{many}中它约回答 {answered} {measure}{answered_between}。"
        "每 100 个回答中约有 {error} 个是错的{error_between}。阈值的选取目标是错误率不超过 {target}。",
        below=percent(chosen["below"], 0),
        answered=of_hundred(answered.value),
        answered_between=between(answered) or "",
        error=of_hundred(error.value),
        error_between=between(error) or "",
        many=report.noun.many,
        measure=report.noun.measure,
        target=target,
    )


def _figure(report: Report, chosen: float | None) -> Figure:
    description = say(
        "For each threshold: the share that still gets an answer, and the share of wrong answers among those. Measured "
        "on {source}.",
        "对每个阈值：仍得到回答的比例，以及这些回答中答错的比例。测量所用的是{source}。",
        source=report.answers_come_from,
    )
    cuts = cuts_of(report.answers, [i / _MOST_CUTS for i in range(_MOST_CUTS)])
    return Figure(
        say("Answers withheld below a threshold", "低于阈值则不作答"),
        threshold_plot(cuts, chosen),
        description,
        _numbers(cuts_of(report.answers, sorted({*_TABLE_CUTS, *([chosen] if chosen else [])}))),
    )


def cuts_of(answers: Sequence[Answer], thresholds: Sequence[float]) -> list[Cut]:
    """What each threshold does; those above every confidence are left out."""
    ranked = sorted(answers, key=lambda answer: -answer.confidence)
    wrong_before = [0]
    for answer in ranked:
        wrong_before.append(wrong_before[-1] + (not answer.is_right))
    cuts, kept = [], len(ranked)
    for threshold in thresholds:
        while kept and ranked[kept - 1].confidence < threshold:
            kept -= 1
        if kept:
            cuts.append(Cut(threshold, kept / len(ranked), wrong_before[kept] / kept))
    return cuts


def _numbers(cuts: Sequence[Cut]) -> Table:
    columns = (
        Column(say("unsure below", "阈值")),
        Column(say("answered", "作答"), "number"),
        Column(say("wrong among the answered", "作答中答错"), "number"),
    )
    rows = [(percent(cut.below, 0), percent(cut.answered), percent(cut.wrong)) for cut in cuts]
    return Table(say("Answers withheld below a threshold, in numbers", "低于阈值则不作答：数据"), columns, rows)


def _scope(report: Report, scope: Mapping[str, Any]) -> Phrase:
    return say(
        "Inputs of another kind can be told by their distance from the training data: the bound keeps {kept} of the "
        "{many} that belong.",
        "不属于此范围的输入，可以凭它与训练数据的距离识别出来：所定的界限会保留 {kept} 属于此范围的{many}。",
        many=report.noun.many,
        kept=percent(scope["kept"]),
    )
