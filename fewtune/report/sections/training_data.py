"""What the model learnt from, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewtune.report.blocks import Block, Bullets, Column, Paragraph, Section, Table
from fewtune.report.facts import Report
from fewtune.report.finding_wording import finding_words
from fewtune.report.phrase import Phrase, listed, named, say, shortened
from fewtune.report.plots.bar import bar
from fewtune.report.sections.examples import contact_sheet
from fewtune.report.sections.found_boxes import boxed_data
from fewtune.report.wording import note

_MOST_CLASSES = 40
_MOST_FINDINGS = 20
_MOST_PLACES = 5


def training_data(report: Report) -> Section:
    """Counts of the classes, findings and notes."""
    blocks: list[Block] = []
    if report.per_class:
        blocks += _classes(report)
    findings = report.facts.get("findings") or ()
    serious = [finding for finding in findings if finding["level"] != "info"]
    if "findings" in report.facts:
        blocks.append(Paragraph(_verdict(len(serious))))
    if findings:
        blocks.append(Bullets([_finding(finding) for finding in findings[:_MOST_FINDINGS]]))
    blocks += boxed_data(report)
    blocks += contact_sheet(report)
    if report.facts["notes"]:
        blocks.append(Paragraph(say("How the file was read:", "文件的读取方式："), "aside"))
        blocks.append(Bullets([note(text) for text in report.facts["notes"][:_MOST_FINDINGS]]))
    return Section("data", say("The data", "数据"), blocks)


def _classes(report: Report) -> list[Block]:
    counts = sorted(report.per_class.items(), key=lambda item: -item[1])
    largest = counts[0][1]
    rows = [(named(label), bar(count, largest), f"{count:,}") for label, count in counts[:_MOST_CLASSES]]
    table = Table(
        say("Labelled {many} of each class", "各类别已标注的{many}", many=report.noun.many),
        (
            Column(say("class", "类别")),
            Column(say("share", "比重"), "plot"),
            Column(say("examples", "样例数"), "number"),
        ),
        rows,
    )
    if len(counts) <= _MOST_CLASSES:
        return [table]
    rest = counts[_MOST_CLASSES:]
    more = say(
        "{more} smaller classes with {low} to {high} examples each are not listed.",
        "另有 {more} 个较小的类别未列出，每类 {low} 到 {high} 个样例。",
        more=len(rest),
        low=rest[-1][1],
        high=rest[0][1],
    )
    return [table, Paragraph(more, "aside")]


def _verdict(serious: int) -> Phrase:
    if not serious:
        return say("Nothing in the data calls for mending.", "数据中没有需要修正的问题。")
    if serious == 1:
        return say("One thing in the data should be looked at.", "数据中有 1 处应当看一看。")
    return say("{count} things in the data should be looked at.", "数据中有 {count} 处应当看一看。", count=serious)


def _finding(finding: Mapping[str, Any]) -> Phrase:
    what, how = finding_words(finding["code"], finding["what"], finding["how"], finding.get("count", 1))
    places = finding.get("places") or ()
    where = (
        say(
            " At: {places}.", "位置：{places}。", places=listed(shortened(place, 80) for place in places[:_MOST_PLACES])
        )
        if places
        else ""
    )
    if finding["level"] == "info":
        return say("{what}{where}", "{what}{where}", what=what, where=where)
    return say(
        "<strong>{what}</strong> {how}{where}", "<strong>{what}</strong>{how}{where}", what=what, how=how, where=where
    )
