"""Replies before tuning and after, beside the wanted ones."""

from __future__ import annotations

from fewtune.report.blocks import Card, Cards, Paragraph, Section
from fewtune.report.data import OpenAnswer
from fewtune.report.facts import Report
from fewtune.report.phrase import Phrase, say
from fewtune.report.sections.examples import readable

TASK = "text-generation"
_MOST = 12


def replies(report: Report) -> Section | None:
    """Some replies to be read; nothing for other tasks."""
    if report.facts["task"] != TASK or not report.open_answers:
        return None
    every = report.open_answers
    some = every[:: max(1, -(-len(every) // _MOST))]
    said = say(
        "Some of the replies on {source}, beside the wanted ones.",
        "在{source}上的一些回复，并列出期望的回复。",
        source=report.answers_come_from,
    )
    cards = [Card(readable(answer.input), _facts(answer), answer.place) for answer in some]
    return Section("replies", say("Before and after", "微调前后"), [Paragraph(said), Cards(cards)])


def _facts(answer: OpenAnswer) -> list[Phrase]:
    wanted = say("Wanted: {text}", "期望：{text}", text=readable(str(answer.target)))
    after = say("Written: {text}", "所写：{text}", text=readable(str(answer.answer)))
    if answer.before is None:
        return [wanted, after]
    return [wanted, say("Before tuning: {text}", "微调前：{text}", text=readable(str(answer.before))), after]
