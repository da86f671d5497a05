"""Every metric of the delivered model, and every class."""

from __future__ import annotations

from fewtune.report.blocks import Block, Column, Paragraph, Section, Table
from fewtune.report.facts import Report
from fewtune.report.phrase import Part, Phrase, joined, listed, named, of_hundred, say
from fewtune.report.plots.whisker import ruler, share_axis, whisker
from fewtune.report.sections.estimates import between, interval, is_share, level_of, shares, with_interval, written
from fewtune.report.wording import method_of_interval, metric_of

_MOST_CLASSES = 40
_CLASS_METRICS = {
    "f1": say("F1", "F1"),
    "precision": say("precision", "精确率"),
    "recall": say("recall", "召回率"),
    "ap": say("AP", "AP"),
    "ap_50": say("AP at 50% overlap", "AP（重叠 50%）"),
    "iou": say("IoU", "交并比"),
    "dice": say("Dice", "Dice 系数"),
}


def scores(report: Report) -> Section:
    """How good the model is."""
    blocks: list[Block] = [_metrics(report)]
    if any(score.interval_method for score in report.scores.metrics.values()):
        blocks.append(Paragraph(_methods(report), "aside"))
    if report.scores.gain_over_baseline is not None:
        blocks.insert(1, Paragraph(_gain(report)))
    if report.scores.per_class:
        blocks += _classes(report)
    return Section("scores", say("How good it is", "有多好"), blocks)


def _metrics(report: Report) -> Table:
    drawn = shares(report.scores)
    axis = share_axis(list(drawn.values())) if drawn else None
    columns = [
        Column(say("measure", "指标")),
        Column(_value_and_interval(report), "number"),
        *([Column(say("plot", "图示"), "plot", ruler(axis))] if axis else ()),
    ]
    rows: list[tuple[Part, ...]] = []
    for key, score in report.scores.metrics.items():
        metric = metric_of(key)
        named_so = say(
            "{name}<br><small>{meaning}</small>",
            "{name}<br><small>{meaning}</small>",
            name=metric.name,
            meaning=metric.meaning,
        )
        plot: list[Part] = [whisker(score, axis) if is_share(key) else ""] if axis else []
        rows.append((named_so, with_interval(score, metric), *plot))
    keys = list(report.scores.metrics)
    marked = keys.index(report.primary_metric) if report.primary_metric in keys else None
    return Table(say("Scores of the delivered model", "所交付模型的分数"), columns, rows, marked)


def _value_and_interval(report: Report) -> Phrase:
    return say("value and {level} interval", "数值与 {level} 区间", level=level_of(report.scores))


def _methods(report: Report) -> Phrase:
    """Which interval was made how; measures with the same method stand together."""
    keys_of: dict[str, list[str]] = {}
    for key, score in report.scores.metrics.items():
        if score.interval_method:
            keys_of.setdefault(score.interval_method, []).append(key)
    parts = [
        say(
            "{method} for {metrics}",
            "{method}：{metrics}",
            metrics=listed(metric_of(key).name for key in keys),
            method=method_of_interval(method),
        )
        for method, keys in keys_of.items()
    ]
    return say("How the intervals were made: {parts}.", "区间的算法：{parts}。", parts=joined(parts, "; ", "；"))


def _gain(report: Report) -> Phrase:
    gain = report.scores.gain_over_baseline
    assert gain is not None
    if report.primary_metric != "accuracy":
        metric = metric_of(report.primary_metric)
        more = say("more", "高") if not metric.lower_is_better else say("less", "低")
        return say(
            "In {metric}, that is {value} {more} than the untouched model ({interval}).",
            "{metric}比未经微调的模型{more} {value}（{interval}）。",
            more=more,
            metric=metric.name,
            value=written(gain, metric),
            interval=interval(gain, metric),
        )
    return say(
        "Of 100 new {many}, that is {value} more than by always answering the commonest class{between}.",
        "与总是回答最常见的类别相比，每 100 {measure}新{many}中多判对 {value} {measure}{between}。",
        value=of_hundred(gain.value),
        between=between(gain) or "",
        many=report.noun.many,
        measure=report.noun.measure,
    )


def _classes(report: Report) -> list[Block]:
    every = report.scores.per_class
    listed_labels = list(every)
    if len(every) > _MOST_CLASSES:
        listed_labels = sorted(every, key=lambda label: _worth(report, label))[:_MOST_CLASSES]
    axis = (0.0, 1.0)
    first, *others = _class_metrics(report)
    columns = [
        Column(say("class", "类别")),
        Column(_CLASS_METRICS[first], "number"),
        Column(say("plot", "图示"), "plot", ruler(axis)),
        *(Column(_CLASS_METRICS[key], "number") for key in others),
        Column(say("trained on", "训练样例"), "number"),
        Column(say("scored on", "评分样例"), "number"),
    ]
    rows = [
        (
            named(label),
            _cell(report, label, first),
            whisker(every[label][first], axis),
            *(_cell(report, label, key) for key in others),
            str(report.per_class.get(label, 0)),
            str(report.scores.support.get(label, 0)),
        )
        for label in listed_labels
    ]
    title = say(
        "Scores of each class, the dots {metric}", "各类别的分数（圆点为 {metric}）", metric=_CLASS_METRICS[first]
    )
    table = Table(title, columns, rows)
    if len(every) == len(listed_labels):
        return [table]
    more = say(
        "These are the {shown} classes with the lowest scores, of {count}.",
        "这里是分数最低的 {shown} 个类别，共有 {count} 个。",
        shown=len(listed_labels),
        count=len(every),
    )
    return [table, Paragraph(more, "aside")]


def _class_metrics(report: Report) -> list[str]:
    """What is known of every class, the one that sums it up first."""
    keys = [key for key in next(iter(report.scores.per_class.values())) if key in _CLASS_METRICS]
    return sorted(keys, key=lambda key: key in ("precision", "recall"))


def _worth(report: Report, label: str) -> float:
    value = report.scores.per_class[label][_class_metrics(report)[0]].value
    return value if value == value else 2.0


def _cell(report: Report, label: str, key: str) -> Part:
    return with_interval(report.scores.per_class[label][key], metric_of("accuracy"), 0)
