"""Labels that may be wrong."""

from __future__ import annotations

from fewtune.report.blocks import Block, Card, Paragraph, Section
from fewtune.report.data import LabelIssue
from fewtune.report.facts import Report
from fewtune.report.phrase import named, say
from fewtune.report.sections.examples import readable, to_be_seen
from fewtune.report.wording import label_issue_reason

_MOST = 20


def suspects(report: Report) -> Section | None:
    """Suspected label errors, the likeliest first."""
    issues = report.data.label_issues
    if issues is None:
        return None
    title = say("Labels that may be wrong", "可能标错的标签")
    if not issues:
        return Section("suspects", title, [Paragraph(say("No label looks wrong.", "没有看起来标错的标签。"))])
    said = say(
        "{count} labels look wrong, the likeliest first. Look at each: the model may be the one that errs. Mend those "
        "that are wrong in your file, and fit again.",
        "有 {count} 个标签看起来不对，最可疑的排在前面。请逐个查看：也可能错的是模型。"
        "确实标错的，请在文件里改正后重新训练。",
        count=len(issues),
    )
    blocks: list[Block] = [Paragraph(said), *to_be_seen(report, map(_card, issues[:_MOST]))]
    if len(issues) > _MOST:
        more = say("The first {shown} are shown.", "这里列出前 {shown} 个。", shown=_MOST)
        blocks.append(Paragraph(more, "aside"))
    return Section("suspects", title, blocks)


def _card(issue: LabelIssue) -> Card:
    facts = [
        say(
            "Labelled {label}; it may be {suggested}.",
            "标为 {label}；可能是 {suggested}。",
            label=named(issue.label),
            suggested=named(issue.suggested),
        )
    ]
    if issue.reason:
        facts.append(say("Why: {reason}.", "理由：{reason}。", reason=label_issue_reason(issue.reason)))
    return Card(readable(issue.text), facts, issue.place)
