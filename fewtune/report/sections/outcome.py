"""What was asked and what came out, in a few sentences and a hundred dots."""

from __future__ import annotations

from fewtune.report.blocks import Block, Figure, Paragraph, Section
from fewtune.report.facts import Report
from fewtune.report.phrase import Phrase, named, of_hundred, percent, say, sentences
from fewtune.report.plots.dots import hundred_dots
from fewtune.report.sections.estimates import between, interval, written
from fewtune.report.wording import method_name, metric_of, resampling_name, task_name


def outcome(report: Report) -> Section:
    """The section that everybody reads."""
    blocks: list[Block] = [
        Paragraph(sentences(_asked(report), _worth(report), _taken(report)), "lead"),
        Paragraph(sentences(_measured(report), _what_to_do(report))),
    ]
    if report.primary_metric == "accuracy" and report.primary is not None and _is_known(report):
        blocks.insert(1, _dots(report))
    return Section("outcome", say("What came out", "结果"), blocks)


def _is_known(report: Report) -> bool:
    return report.primary is not None and report.primary.value == report.primary.value


def _asked(report: Report) -> Phrase:
    count, source = f"{report.examples:,}", named(report.facts["data"]["name"])
    if report.facts["recipe"].get("labels"):
        return say(
            "You asked for a model that tells {classes} classes apart, from nothing but their names ({source}).",
            "您要的是一个能区分 {classes} 个类别的模型，仅凭各类别的名称（{source}）得来。",
            classes=len(report.labels),
            source=source,
        )
    if report.labels:
        return say(
            "You asked for a model that tells {classes} classes apart, from {count} labelled {many} ({source}).",
            "您要的是一个能区分 {classes} 个类别的模型，由 {count} {measure}已标注的{many}（{source}）训练而成。",
            classes=len(report.labels),
            count=count,
            many=report.noun.many,
            measure=report.noun.measure,
            source=source,
        )
    return say(
        "You asked for a model for {task}, from {count} {many} ({source}).",
        "您要的是一个用于{task}的模型，由 {count} {measure}{many}（{source}）训练而成。",
        task=task_name(report.facts["task"]),
        count=count,
        many=report.noun.many,
        measure=report.noun.measure,
        source=source,
    )


def _worth(report: Report) -> Phrase:
    score = report.primary
    if score is None or score.value != score.value:
        return say("How good it is could not be measured.", "它的好坏无法测出。")
    if report.primary_metric == "accuracy":
        return say(
            "About {value} of 100 new {many} get the right class{between}.",
            "每 100 {measure}新{many}中，约有 {value} {measure}会被判对{between}。",
            value=of_hundred(score.value),
            many=report.noun.many,
            measure=report.noun.measure,
            between=between(score) or "",
        )
    metric = metric_of(report.primary_metric)
    return say(
        "Its {metric} on new {many} is about {value} (interval: {interval}).",
        "它在新{many}上的{metric}约为 {value}（区间：{interval}）。",
        metric=metric.name,
        many=report.noun.many,
        value=written(score, metric),
        interval=interval(score, metric),
    )


def _taken(report: Report) -> Phrase:
    model = report.facts["model"]
    on = say(", with {model}", "（{model}）", model=named(model)) if model else ""
    method = method_name(report.facts["method"])
    if len(report.rungs) < 2:
        return say("It is {method}{on}.", "所用方法是{method}{on}。", method=method, on=on)
    return say(
        "Of {count} candidates, {method}{on} was taken: it promises the best {by} on new {many}.",
        "在 {count} 个候选中选用了{method}{on}：预计它在新{many}上的{by}最好。",
        count=len(report.rungs),
        method=method,
        on=on,
        by=_chosen_by(report),
        many=report.noun.many,
    )


def _chosen_by(report: Report) -> Phrase:
    """Classifiers are chosen by their log loss, all others by what they are scored by."""
    if report.facts["task"].endswith("-classification"):
        return say("probabilities", "概率")
    return metric_of(report.primary_metric).name


def _measured(report: Report) -> Phrase:
    n = report.primary.n if report.primary is not None else 0
    if not n and report.facts["recipe"].get("labels"):
        return say(
            "It was made of the names of its classes alone: nothing measured it. Label fifty {many} and evaluate it on "
            "them before anything rests on its answers.",
            "它只由各类别的名称得来，没有经过任何测量。请先标注五十{measure}{many}来评估它，再依据它的回答做事。",
            many=report.noun.many,
            measure=report.noun.measure,
        )
    if report.test_name:
        return say(
            "This was measured on {n} distinct test {many} ({test}), which had no part in any choice.",
            "以上是在 {n} {measure}互不相同的测试{many}（{test}）上测得的，它们没有参与任何选择。",
            n=n,
            many=report.noun.many,
            measure=report.noun.measure,
            test=named(report.test_name),
        )
    return say(
        "This was measured on {n} distinct {many} of the training data by {resampling}: each was answered by a model "
        "that had not seen it. The figures are corrected for what was chosen on the same data.",
        "以上是在训练数据中 {n} {measure}互不相同的{many}上测得的（{resampling}）："
        "每一{measure}都由没有见过它的模型来回答。由于各项选择也是在这些数据上作出的，数字已作相应修正。",
        n=n,
        many=report.noun.many,
        measure=report.noun.measure,
        resampling=resampling_name(report.facts["resampling"]),
    )


def _what_to_do(report: Report) -> Phrase:
    gain = report.scores.gain_over_baseline
    if gain is not None and gain.low is not None and gain.low <= 0:
        if not report.labels:
            return say("It is not shown to be better than the untouched model.", "目前还不能证明它胜过未经微调的模型。")
        return say(
            "It is not shown to be better than always answering the commonest class, so do not rely on it yet.",
            "目前还不能证明它胜过“总是回答最常见的类别”，所以暂时不要依赖它。",
        )
    if report.threshold is not None and report.threshold["below"] > 0:
        return say(
            "Use its answers as they are where it is sure, and let a person look where its confidence is below "
            "{below}.",
            "它有把握时可以直接采用；置信度低于 {below} 时，请由人来看。",
            below=percent(report.threshold["below"], 0),
        )
    return report.use.look


def _dots(report: Report) -> Figure:
    score = report.primary
    assert score is not None
    caption = say("Of 100 new {many}", "每 100 {measure}新{many}中", many=report.noun.many, measure=report.noun.measure)
    if score.low is None or score.high is None:
        said = say("{value} right answers.", "{value} 个判对。", value=of_hundred(score.value))
    else:
        said = say(
            "Filled: about {value} are right. With {level} confidence it is at least {low} (strong) and at most {high} "
            "(ringed).",
            "实心：约有 {value} 个判对。在 {level} 的置信水平下，至少 {low} 个（浓色），至多 {high} 个（带圈）。",
            value=of_hundred(score.value),
            low=of_hundred(score.low),
            high=of_hundred(score.high),
            level=f"{score.level:.0%}",
        )
    return Figure(caption, hundred_dots(score.value, score.low, score.high), said)
