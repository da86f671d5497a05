"""The worst errors, to be read or looked at."""

from __future__ import annotations

from fewtune.report.blocks import Card, Paragraph, Section
from fewtune.report.data import Answer
from fewtune.report.facts import Report
from fewtune.report.phrase import named, percent, say
from fewtune.report.sections.examples import readable, to_be_seen

_MOST = 20


def worst(report: Report) -> Section | None:
    """Wrong answers, the most confident first."""
    title = say("The worst errors", "最严重的错误")
    if report.data.out_of_fold is None and report.data.test is None:
        if report.facts["recipe"].get("labels"):  # of names alone: nothing was answered that has a label
            return None
        absent = say(
            "This bundle came without its private/ folder, so no examples are shown here.",
            "这个模型包没有带上 private/ 文件夹，所以这里不显示样例。",
        )
        return Section("errors", title, [Paragraph(absent)])
    if not report.answers:
        return None
    if not report.errors:
        none = say("On {source} there is none.", "在{source}上没有错误。", source=report.answers_come_from)
        return Section("errors", title, [Paragraph(none)])
    said = say(
        "On {source}, {count} of {n} answers are wrong. The most confident ones come first{shown}: they show what the "
        "model has not understood, or what is labelled wrongly.",
        "在{source}上，{n} 个回答中有 {count} 个是错的。最自信的错误排在前面{shown}："
        "从中可以看出模型没有学会什么，或者哪里标错了。",
        source=report.answers_come_from,
        count=len(report.errors),
        n=f"{len(report.answers):,}",
        shown=say(" ({most} are shown)", "（列出 {most} 个）", most=_MOST) if len(report.errors) > _MOST else "",
    )
    shown = to_be_seen(report, map(_card, report.errors[:_MOST]))
    return Section("errors", title, [Paragraph(said), *shown])


def _card(answer: Answer) -> Card:
    fact = say(
        "It is {label}; the model said {prediction} ({confidence}).",
        "真实类别是 {label}；模型答的是 {prediction}（{confidence}）。",
        label=named(answer.label),
        prediction=named(answer.prediction),
        confidence=percent(answer.confidence, 0),
    )
    return Card(readable(answer.text), [fact], answer.place)
