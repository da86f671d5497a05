"""What the bundle was made smaller by, and what that was measured to cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fewtune.compress.wording import FAILED
from fewtune.report.blocks import Block, Column, Figure, Paragraph, Section, Table
from fewtune.report.facts import Report
from fewtune.report.phrase import Part, Phrase, english, listed, named, percent, plain, say, sentences
from fewtune.report.plots.trade_offs import TradeOff, trade_off_plot
from fewtune.report.wording import metric_of


def compression(report: Report) -> Section | None:
    """The models beside each other; nothing where no smaller one was tried."""
    found = report.facts.get("compression")
    if not found:
        return None
    blocks: list[Block] = [Paragraph(compression_in_words(found)), _table(found)]
    if all(trade["score"] is not None for trade in found["trades"]):
        blocks.append(_figure(found))
    return Section("compression", say("What being smaller costs", "变小的代价"), blocks)


def compression_in_words(found: Mapping[str, Any]) -> Phrase:
    """What was made smaller, or why it was not, and what is known of the drop."""
    if not found["name"]:
        return say(
            "A smaller model was tried and not taken. {words}",
            "尝试过更小的模型，但未采用。{words}",
            words=_not_kept(found),
        )
    taken = next(trade for trade in found["trades"] if trade["name"] == found["name"])
    return say(
        "This model was made from a larger one ({name}) and measured beside it, with {threads} threads. {known}",
        "本模型由较大的模型压缩而来（{name}），并与之在同一次运行中用 {threads} 个线程对比测量。{known}",
        name=named(found["name"]),
        threads=found["threads"],
        known=_known(taken["evidence"], metric_of(found["metric"]).name),
    )


_FAILED = {
    "score": say(FAILED["score"], "它的回答相差太大"),
    "size": say(FAILED["size"], "它并不更小"),
    "speed": say(FAILED["speed"], "它在这台机器上更慢"),
    "alone": say(FAILED["alone"], "它的回答会随同批的其他输入而变"),
}


def _not_kept(found: Mapping[str, Any]) -> Phrase:
    """Which promises every smaller model broke."""
    metric = metric_of(found["metric"]).name
    broken = [
        say(
            "{name}: {promises}{figures}.",
            "{name}：{promises}{figures}。",
            name=named(trade["name"]),
            promises=listed(_FAILED.get(promise) or english(promise) for promise in trade["failed"]),
            figures=_figures(trade["evidence"], found["max_drop"], metric) if "score" in trade["failed"] else "",
        )
        for trade in found["trades"][1:]
    ]
    return sentences(*broken)


def _figures(evidence: Mapping[str, Any] | None, allowed: float, metric: Phrase) -> Part:
    if evidence is None:
        return ""
    if evidence["by"] in ("metric", "labels"):
        return say(
            " ({metric} drops by {drop}, which could be {bound}; {allowed} are allowed)",
            "（{metric}下降 {drop}，也可能下降 {bound}；允许下降 {allowed}）",
            metric=metric,
            drop=percent(evidence["drop"]),
            bound=percent(evidence["bound"]),
            allowed=percent(allowed),
        )
    if evidence["by"] == "answers":
        return say(
            " ({changed} of the answers changed, which could be {bound}; {allowed} may)",
            "（{changed} 的回答有变化，也可能有 {bound}；允许 {allowed}）",
            changed=percent(evidence["changed"]),
            bound=percent(evidence["bound"]),
            allowed=percent(allowed),
        )
    return say(
        " ({changed} of the answers changed, probabilities move by up to {shift})",
        "（{changed} 的回答有变化，概率至多变动 {shift}）",
        changed=percent(evidence["changed"]),
        shift=plain(evidence["shift"]),
    )


def _known(evidence: Mapping[str, Any], metric: Phrase) -> Phrase:
    if evidence["by"] == "metric":
        return _known_of_metric(evidence, metric)
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


def _known_of_metric(evidence: Mapping[str, Any], metric: Phrase) -> Phrase:
    drop = say(
        "On {inputs} examples {metric} drops by {drop} of its full scale.",
        "在 {inputs} 个样例上，{metric} 下降了满分的 {drop}。",
        inputs=evidence["inputs"],
        metric=metric,
        drop=percent(evidence["drop"]),
    )
    if evidence["proven"]:
        return say(
            "{drop} With 95% confidence it is at most {bound}.",
            "{drop}在 95% 的置信度下至多下降 {bound}。",
            drop=drop,
            bound=percent(evidence["bound"]),
        )
    return say(
        "{drop} That new ones lose as little is not proven.", "{drop}这不足以证明新输入的损失同样小。", drop=drop
    )


def _figure(found: Mapping[str, Any]) -> Figure:
    metric = metric_of(found["metric"])
    models = [
        TradeOff(
            model_title(trade),
            trade["footprint"]["size_mb"],
            trade["footprint"]["p50_ms"],
            trade["score"],
            trade["name"] == _taken(found),
        )
        for trade in found["trades"]
    ]
    form = percent if metric.scale == "share" else plain
    return Figure(
        say("Size, time and score", "大小、时间与分数"),
        trade_off_plot(models, metric.name, form),
        say(
            "A dot a model: its {metric} over its size. The larger the dot, the longer an answer takes; the filled "
            "one is this bundle. The line joins those that no other model beats in both.",
            "每个点是一个模型：横轴为大小，纵轴为{metric}。点越大，回答越慢；实心点即本模型。"
            "连线上的模型在两方面都没有被其他模型超过。",
            metric=metric.name,
        ),
    )


def _taken(found: Mapping[str, Any]) -> str:
    return found["name"] or found["trades"][0]["name"]


def model_title(trade: Mapping[str, Any]) -> Phrase:
    """What a model is called beside others."""
    return say("original", "原模型") if trade["name"] == "original" else say("{name}", "{name}", name=trade["name"])


def _table(found: Mapping[str, Any]) -> Table:
    columns = (
        Column(say("model", "模型")),
        Column(say("size", "大小"), "number"),
        Column(say("one answer", "单次回答"), "number"),
        Column(say("95 of 100 below", "95% 不超过"), "number"),
        Column(say("answers a second", "每秒回答"), "number"),
        Column(say("first answer", "首次回答"), "number"),
        Column(say("memory", "内存"), "number"),
        Column(metric_of(found["metric"]).name, "number"),
    )
    names = [trade["name"] for trade in found["trades"]]
    return Table(
        say("The models beside each other", "各模型对比"),
        columns,
        [_row(trade, found["metric"]) for trade in found["trades"]],
        names.index(_taken(found)),
    )


def _row(trade: Mapping[str, Any], metric: str) -> tuple[Part, ...]:
    size = trade["footprint"]
    name = say("original", "原模型") if trade["name"] == "original" else named(trade["name"])
    return (
        name,
        f"{size['size_mb']:.1f} MB",
        f"{size['p50_ms']:.1f} ms",
        f"{size['p95_ms']:.1f} ms",
        f"{size['per_second']:.0f}",
        f"{size['load_ms']:.0f} ms",
        f"{size['peak_memory_mb']:.0f} MB",
        (percent if metric_of(metric).scale == "share" else plain)(trade["score"]),
    )
