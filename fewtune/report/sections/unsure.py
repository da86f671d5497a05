"""The threshold below which the model says that it is unsure, and inputs that are none of its business."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewtune.report.blocks import Block, Column, Figure, Paragraph, Section, Table
from fewtune.report.data import Answer
from fewtune.report.facts import Report, score_of
from fewtune.report.phrase import Part, Phrase, of_hundred, percent, say
from fewtune.report.plots.curve import Cut, threshold_plot
from fewtune.report.sections.estimates import between, with_interval
from fewtune.report.wording import metric_of

_FEWEST = 20
_MOST_CUTS = 100
_TABLE_CUTS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def unsure(report: Report) -> Section | None:
    """What withholding the doubtful answers costs and brings."""
    blocks: list[Block] = []
    if report.thresholds:
        blocks += [Paragraph(_in_words(report)), _goals(report)]
    elif len(report.answers) >= _FEWEST:
        blocks.append(
            Paragraph(say("No threshold was set; this is what one would do.", "没有设定阈值；下图显示阈值的作用。"))
        )
    if len(report.answers) >= _FEWEST:
        blocks.append(_figure(report))
    if report.knows_its_scope:
        blocks.append(Paragraph(_about_scope(report)))
    return Section("unsure", say("When it should say “unsure”", "何时该说“没把握”"), blocks) if blocks else None


def _in_words(report: Report) -> Phrase:
    chosen = report.threshold
    if chosen is None:
        return say(
            "With these labels, no threshold is expected to keep the errors among the answers at {most} or below and "
            "to answer half of the {many}.",
            "以现有的标注，预计没有阈值能既使回答中的错误率不超过 {most}，又回答一半的{many}。",
            most=percent(max(goal["target_error"] for goal in report.thresholds), 0),
            many=report.noun.many,
        )
    answered, error = score_of(chosen["answered"]), score_of(chosen["error"])
    wrong = say(
        "about {error} of 100 answers are wrong{between}",
        "每 100 个回答中约有 {error} 个是错的{between}",
        error=of_hundred(error.value),
        between=between(error) or "",
    )
    if chosen["below"] <= 0:
        return say(
            "No answer need be withheld to keep the errors at {target} or below: {wrong}.",
            "即使全部作答，错误率预计也不超过 {target}：{wrong}。",
            target=percent(chosen["target_error"], 0),
            wrong=wrong,
        )
    return say(
        "To keep the errors among the answers at {target} or below, the model should say “unsure” where its confidence "
        "is below {below}. It then answers {answered} of 100 {many}{between}, and {wrong}.",
        "要让回答中的错误率不超过 {target}，模型应当在置信度低于 {below} 时说“没把握”。"
        "这样，每 100 {measure}{many}中它约回答 {answered} {measure}{between}；{wrong}。",
        target=percent(chosen["target_error"], 0),
        below=percent(chosen["below"], 0),
        answered=of_hundred(answered.value),
        between=between(answered) or "",
        wrong=wrong,
        many=report.noun.many,
        measure=report.noun.measure,
    )


def _goals(report: Report) -> Table:
    columns = (
        Column(say("errors allowed", "允许的错误率")),
        Column(say("unsure below", "阈值"), "number"),
        Column(say("answered", "作答"), "number"),
        Column(say("errors among the answers", "回答中的错误率"), "number"),
    )
    rows = [(percent(goal["target_error"], 0), *_goal(goal)) for goal in report.thresholds]
    marked = None if report.threshold is None else report.thresholds.index(report.threshold)
    return Table(say("What each goal costs", "各个目标的代价"), columns, rows, marked)


def _goal(goal: Mapping[str, Any]) -> tuple[Part, ...]:
    if goal["below"] is None:
        return say("cannot be had", "达不到"), "–", "–"
    share = metric_of("accuracy")
    answered, error = (with_interval(score_of(goal[key]), share, 0) for key in ("answered", "error"))
    return percent(goal["below"], 0), answered, error


def _figure(report: Report) -> Figure:
    description = say(
        "For each threshold: the share that still gets an answer, and the share of wrong answers among those. Measured "
        "on {source}.",
        "对每个阈值：仍得到回答的比例，以及这些回答中答错的比例。测量所用的是{source}。",
        source=report.answers_come_from,
    )
    cuts = cuts_of(report.answers, [i / _MOST_CUTS for i in range(_MOST_CUTS)])
    return Figure(
        say("Answers withheld below a threshold", "低于阈值则不作答"),
        threshold_plot(cuts, report.threshold["below"] if report.threshold else None),
        description,
        _numbers(cuts_of(report.answers, _TABLE_CUTS)),
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


def _about_scope(report: Report) -> Phrase:
    return say(
        "Inputs of another kind than the {many} that it learnt from are told by their distance to the classes, and are "
        "left to a person as well.",
        "与训练所用的{many}不同类型的输入，可以凭它们与各类别的距离识别出来，也交给人来看。",
        many=report.noun.many,
    )
