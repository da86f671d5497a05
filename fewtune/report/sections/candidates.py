"""What was tried, how it did, what it took; and what was not tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from fewtune.bundle.manifest import scores_from_json
from fewtune.report.blocks import Block, Bullets, Column, Paragraph, Section, Table
from fewtune.report.facts import Report, score_of
from fewtune.report.phrase import Part, Phrase, named, plain, say, seconds, sentences
from fewtune.report.plots.whisker import ruler, share_axis, whisker
from fewtune.report.sections.estimates import is_share, with_interval
from fewtune.report.wording import metric_of, reason
from fewtune.types import Score

_MOST = 40


def candidates(report: Report) -> Section:
    """The rungs of the ladder."""
    shown = [rung for place, rung in enumerate(report.rungs) if place < _MOST or place == report.taken]
    blocks: list[Block] = [Paragraph(_introduction(report)), _table(report, shown)]
    if len(shown) < len(report.rungs):
        more = say("{more} more are not listed.", "另有 {more} 个未列出。", more=len(report.rungs) - len(shown))
        blocks.append(Paragraph(more, "aside"))
    unlabelled = report.facts["data"].get("unlabelled")
    if unlabelled:
        blocks.append(Paragraph(_unlabelled(unlabelled)))
    comparisons = report.facts.get("comparisons") or ()
    if comparisons:
        blocks.append(Bullets([_compared(comparison) for comparison in comparisons[:_MOST]]))
    if report.facts["left_out"]:
        blocks += _left_out(report)
    return Section("candidates", say("What was tried", "试过的候选"), blocks)


def _introduction(report: Report) -> Phrase:
    if len(report.rungs) == 1:
        return say("One candidate was tried.", "只试了一个候选。")
    if report.primary_metric != "accuracy":
        return say(
            "The candidates were scored on the same held-out examples. The one with the best {metric} was taken; the "
            "scores here are not yet corrected for that choice.",
            "各候选都在相同的留出样例上评分，选用了{metric}最好的一个；这里的分数尚未就这一选择作修正。",
            metric=metric_of(report.primary_metric).name,
        )
    return say(
        "The candidates were scored on the same folds, slow ones on fewer of them. The one with the least expected log "
        "loss was taken; the scores here are not yet corrected for that choice.",
        "各候选都在相同的折上评分，耗时的只用其中一部分。选用了预期对数损失最小的一个；这里的分数尚未就这一选择作修正。",
    )


def _table(report: Report, rungs: Sequence[Mapping[str, Any]]) -> Table:
    metric = metric_of(report.primary_metric)
    scores = [scores_from_json(rung["scores"])[report.primary_metric] for rung in rungs]
    axis = share_axis(scores) if is_share(report.primary_metric) else None
    level = f"{scores[0].level:.0%}" if scores else ""
    by_loss = any(rung["expected_log_loss"] is not None for rung in rungs)
    columns = [
        Column(say("candidate", "候选")),
        Column(
            say("{metric} ({level} interval)", "{metric}（{level} 区间）", metric=metric.name, level=level), "number"
        ),
        *([Column(say("plot", "图示"), "plot", ruler(axis))] if axis else ()),
        *([Column(say("expected log loss", "预期对数损失"), "number")] if by_loss else ()),
        Column(say("time", "用时"), "number"),
    ]
    rows = []
    for rung, score in zip(rungs, scores, strict=True):
        drawn: list[Part] = [whisker(score, axis)] if axis else []
        loss: list[Part] = [plain(rung["expected_log_loss"])] if by_loss else []
        rows.append((_rung_name(rung["name"]), with_interval(score, metric), *drawn, *loss, _time(rung)))
    marked = None if report.taken is None else rungs.index(report.rungs[report.taken])
    return Table(say("Candidates and how they did", "各候选及其成绩"), columns, rows, marked)


def _rung_name(name: str) -> Markup:
    """A blend's members stand below each other."""
    return Markup("<br>+ ").join(named(part) for part in name.split(" + "))


def _unlabelled(gain: Mapping[str, Any]) -> Phrase:
    """What learning from unlabelled data too brought."""
    kept = (
        say("The model learnt from them.", "模型也从中学习。")
        if gain["kept"]
        else say(
            "The model did not learn from them: nothing that does was expected to do better.",
            "模型没有从中学习：这样做的候选，预期并不更好。",
        )
    )
    count, source = f"{gain['inputs']:,}", named(gain["source"])
    given = say(
        "There were {count} unlabelled inputs beside the labelled ones ({source}).",
        "除已标注的样例外，还有 {count} 条未标注的输入（{source}）。",
        count=count,
        source=source,
    )
    if gain["log_loss"] is None or gain["without"] is None:
        return sentences(given, kept)
    lost = say(
        "With them {rung} is expected to lose {with_them}, without them {without} (log loss).",
        "{rung} 用上它们时预期对数损失为 {with_them}，不用时为 {without}。",
        rung=named(gain["against"]),
        with_them=plain(gain["log_loss"]),
        without=plain(gain["without"]),
    )
    return sentences(given, kept, lost)


def _time(rung: Mapping[str, Any]) -> Part:
    """What its folds took, and what was foreseen of that."""
    if rung.get("predicted_seconds") is None:
        return seconds(rung["seconds"])
    return say(
        "{taken} <small>foreseen {foreseen}</small>",
        "{taken} <small>预估 {foreseen}</small>",
        taken=seconds(rung["seconds"]),
        foreseen=seconds(rung["predicted_seconds"]),
    )


def _compared(comparison: Mapping[str, Any]) -> Phrase:
    difference, metric = score_of(comparison["difference"]), metric_of(comparison["metric"])
    compared = say(
        "<strong>{rung}</strong> against {against}: the difference in {metric} is {value} ({interval}).",
        "<strong>{rung}</strong> 与 {against} 相比：{metric}之差为 {value}（{interval}）。",
        rung=named(comparison["rung"]),
        against=named(comparison["against"]),
        metric=metric.name,
        value=_signed(difference.value, metric.scale == "share"),
        interval=_signed_interval(difference, metric.scale == "share"),
    )
    verdict = (
        say(" This is more than chance would give.", "这超出了偶然的范围。")
        if comparison["declared"]
        else say(" This may be chance: neither is shown to be better.", "这可能只是偶然：不能证明哪一个更好。")
    )
    return say("{compared}{verdict}", "{compared}{verdict}", compared=compared, verdict=verdict)


def _signed(value: float, is_share: bool) -> Part:
    if is_share:
        return say("{points} points", "{points} 个百分点", points=f"{100 * value:+.1f}".replace("-", "−"))
    return f"{value:+.3f}".replace("-", "−")


def _signed_interval(difference: Score, is_share: bool) -> Part:
    if difference.low is None or difference.high is None:
        return say("interval not known", "区间未知")
    return say(
        "{level} interval {low} to {high}",
        "{level} 区间 {low} 至 {high}",
        level=f"{difference.level:.0%}",
        low=_signed(difference.low, is_share),
        high=_signed(difference.high, is_share),
    )


def _left_out(report: Report) -> list[Block]:
    """Those that were not tried, and those that were tried and not taken."""
    tried = [some for some in report.facts["left_out"] if some.get("tried")]
    never = [some for some in report.facts["left_out"] if not some.get("tried")]
    return [
        *_listed(never, say("Not tried, and why:", "没有试的，以及原因：")),
        *_listed(tried, say("Tried, but not taken, and why:", "试过但没有采用的，以及原因：")),
    ]


def _listed(left_out: Sequence[Mapping[str, Any]], heading: Phrase) -> list[Block]:
    items: list[Part] = [
        say("{name}: {why}.", "{name}：{why}。", name=named(some["name"]), why=reason(some["why"]))
        for some in left_out[:_MOST]
    ]
    if len(left_out) > _MOST:
        items.append(say("and {more} more", "另有 {more} 个", more=len(left_out) - _MOST))
    return [Paragraph(heading), Bullets(items)] if items else []
