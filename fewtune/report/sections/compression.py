"""What the bundle was made smaller by, and what that was measured to cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewtune.report.blocks import Column, Paragraph, Section, Table
from fewtune.report.facts import Report
from fewtune.report.phrase import Part, Phrase, named, percent, say


def compression(report: Report) -> Section | None:
    """The models beside each other; nothing where the bundle is as fit wrote it."""
    found = report.facts.get("compression")
    if not found:
        return None
    blocks = [Paragraph(_introduction(found)), _table(found)]
    return Section("compression", say("What being smaller costs", "变小的代价"), blocks)


def _introduction(found: Mapping[str, Any]) -> Phrase:
    taken = next(trade for trade in found["trades"] if trade["name"] == found["name"])
    return say(
        "This model was made from a larger one ({name}) and measured beside it, with {threads} threads. {known}",
        "本模型由较大的模型压缩而来（{name}），并与之在同一次运行中用 {threads} 个线程对比测量。{known}",
        name=named(found["name"]),
        threads=found["threads"],
        known=_known(taken["evidence"]),
    )


def _known(evidence: Mapping[str, Any]) -> Phrase:
    if evidence["by"] == "labels":
        return say(
            "On {inputs} labelled examples the accuracy drops by {drop}, with 95% confidence by at most {bound}.",
            "在 {inputs} 个有标注的样例上，准确率下降 {drop}；在 95% 的置信度下至多下降 {bound}。",
            inputs=evidence["inputs"],
            drop=percent(evidence["drop"]),
            bound=percent(evidence["bound"]),
        )
    changed = say(
        "Of {inputs} inputs {changed} got another answer.",
        "在 {inputs} 个输入中，{changed} 的回答有变化。",
        inputs=evidence["inputs"],
        changed=percent(evidence["changed"]),
    )
    if evidence["proven"]:
        return say(
            "{changed} With 95% confidence it is at most {bound} of new ones.",
            "{changed}在 95% 的置信度下，新输入中至多 {bound} 会变化。",
            changed=changed,
            bound=percent(evidence["bound"]),
        )
    return say(
        "{changed} That new ones lose as little is not proven.",
        "{changed}这不足以证明新输入的损失同样小。",
        changed=changed,
    )


def _table(found: Mapping[str, Any]) -> Table:
    columns = (
        Column(say("model", "模型")),
        Column(say("size", "大小"), "number"),
        Column(say("one answer", "单次回答"), "number"),
        Column(say("95 of 100 below", "95% 不超过"), "number"),
        Column(say("answers a second", "每秒回答"), "number"),
        Column(say("memory", "内存"), "number"),
        Column(say("accuracy", "准确率"), "number"),
    )
    names = [trade["name"] for trade in found["trades"]]
    return Table(
        say("The models beside each other", "各模型对比"),
        columns,
        [_row(trade) for trade in found["trades"]],
        names.index(found["name"]),
    )


def _row(trade: Mapping[str, Any]) -> tuple[Part, ...]:
    size = trade["footprint"]
    name = say("original", "原模型") if trade["name"] == "original" else named(trade["name"])
    return (
        name,
        f"{size['size_mb']:.1f} MB",
        f"{size['p50_ms']:.1f} ms",
        f"{size['p95_ms']:.1f} ms",
        f"{size['per_second']:.0f}",
        f"{size['peak_memory_mb']:.0f} MB",
        percent(trade["score"]),
    )
