"""What to do next, most useful first: each piece of advice follows from a number and names it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from statistics import median

from fewtune.recipe import Recipe
from fewtune.report.blocks import Section, Steps
from fewtune.report.facts import Report
from fewtune.report.phrase import Phrase, listed, named, percent, say, sentences
from fewtune.report.sections.commands import command
from fewtune.report.sections.confusions import largest_confusions
from fewtune.report.sections.learning_curve import forecast_in_words

Step = tuple[Phrase, Phrase, str]

_WORTHWHILE_GAIN = 0.01
_MOST_NAMED = 3
_WEAK = 0.15
_FEWEST = 3
_WIDE = 0.05
_Z = 1.96


def next_steps(report: Report) -> Section:
    """Advice."""
    steps = [step for advise in _ADVICE for step in advise(report)]
    return Section("next", say("What to do next", "接下来做什么"), [Steps(steps)])


def _label_some(report: Report) -> Iterator[Step]:
    if report.facts["recipe"].get("labels"):
        yield (
            say("Label some {many}.", "标注一些{many}。", many=report.noun.many),
            say(
                "Fifty say how good it is; a few of each class make a better model.",
                "五十个就能说明它有多好；每类几个就能得到更好的模型。",
            ),
            "",
        )


def _mend_data(report: Report) -> Iterator[Step]:
    serious = [finding for finding in report.facts.get("findings") or () if finding["level"] != "info"]
    if serious:
        yield (
            say("Mend the data.", "修正数据。"),
            say("The section on the data names what to look at.", "“数据”一节列出了应当查看的地方。"),
            command("check", report.data_file),
        )


def _relabel(report: Report) -> Iterator[Step]:
    count = len(report.data.label_issues or ())
    if count:
        yield (
            say("Look at the labels that may be wrong.", "查看可能标错的标签。"),
            say(
                "There are {count} of them. A wrong label costs twice: it teaches what is false, and it is scored as "
                "an error.",
                "共有 {count} 个。标错的标签代价是双重的：它教给模型错误的东西，又被算作错误。",
                count=count,
            ),
            "",
        )


def _label_more(report: Report) -> Iterator[Step]:
    said = forecast_in_words(report)
    if said is None:
        return
    if report.facts["learning_curve"]["forecast"][0]["gain_high"] >= _WORTHWHILE_GAIN:
        yield say("Label more examples.", "多标一些样例。"), said, ""
    else:
        yield (
            say("More labels of the same kind are not the way.", "再多标同样的数据，意义不大。"),
            say(
                "{forecast} Harder or rarer examples, or another model, are likelier to help.",
                "{forecast}更难、更少见的样例，或换一个模型，更可能有帮助。",
                forecast=said,
            ),
            "",
        )


def _help_weak_classes(report: Report) -> Iterator[Step]:
    overall = report.scores.metrics.get("recall_macro")
    if overall is None:
        return
    weak = sorted(
        (scores["recall"].value, label)
        for label, scores in report.scores.per_class.items()
        if report.scores.support.get(label, 0) >= _FEWEST and scores["recall"].value < overall.value - _WEAK
    )
    if weak:
        classes = [
            say("{label} ({recall})", "{label}（{recall}）", label=named(label), recall=percent(recall, 0))
            for recall, label in weak[:_MOST_NAMED]
        ]
        yield (
            say("Label more of the classes that are missed.", "多标那些容易漏掉的类别。"),
            say(
                "The smallest share is found of {classes}; the mean of all classes is {overall}.",
                "召回率最低的是 {classes}；各类平均为 {overall}。",
                classes=listed(classes),
                overall=percent(overall.value, 0),
            ),
            "",
        )


def _fill_small_classes(report: Report) -> Iterator[Step]:
    counts = report.per_class
    if not counts:
        return
    typical = median(counts.values())
    small = sorted((count, label) for label, count in counts.items() if count < typical / 3)
    if small:
        classes = [say("{label} ({count})", "{label}（{count}）", label=named(label), count=n) for n, label in small]
        yield (
            say("Fill up the small classes.", "补足小类别。"),
            say(
                "The median class has {typical} examples, and far fewer have {classes}{more}.",
                "类别样例数的中位数是 {typical}，而远少于此的有 {classes}{more}。",
                typical=f"{typical:g}",
                classes=listed(classes[:_MOST_NAMED]),
                more=say(", ...", "等") if len(small) > _MOST_NAMED else "",
            ),
            "",
        )


def _tell_apart(report: Report) -> Iterator[Step]:
    largest = largest_confusions(report)
    if largest and largest[0].count >= _FEWEST:
        worst = largest[0]
        yield (
            say(
                "Ask whether {truth} and {prediction} can be told apart.",
                "想一想 {truth} 和 {prediction} 能否分清。",
                truth=named(worst.truth),
                prediction=named(worst.prediction),
            ),
            say(
                "{count} of {support} {many} of the first were taken for the second. If people hesitate too, merge the "
                "two or write down the rule.",
                "前者的 {support} {measure}{many}中有 {count} {measure}被误判为后者。如果人也会犹豫，"
                "请合并两类，或写明区分的规则。",
                count=worst.count,
                support=worst.support,
                many=report.noun.many,
                measure=report.noun.measure,
            ),
            "",
        )


def _measure_better(report: Report) -> Iterator[Step]:
    score = report.primary
    if report.primary_metric != "accuracy" or score is None or score.low is None or score.high is None:
        return
    half = (score.high - score.low) / 2
    if half <= _WIDE:
        return
    # Wilson's centre keeps the number sensible at an accuracy of 1.
    share = (score.value * score.n + _Z**2 / 2) / (score.n + _Z**2)
    needed = math.ceil(share * (1 - share) * (_Z / (half / 2)) ** 2 / 10) * 10
    yield (
        say("Measure more exactly.", "测得更准一些。"),
        say(
            "The interval is {width} points wide. About {needed} test {many} that are not used for training would "
            "halve it.",
            "现在的区间宽 {width} 个百分点。用约 {needed} {measure}不参与训练的测试{many}，可以把它缩小一半。",
            width=f"{200 * half:.0f}",
            needed=f"{needed:,}",
            many=report.noun.many,
            measure=report.noun.measure,
        ),
        command("evaluate", report.name, report.use.test),
    )


def _spend_more(report: Report) -> Iterator[Step]:
    minutes = [
        int(found[1])
        for left_out in report.facts["left_out"]
        if (found := re.search(r"a --budget longer by about (\d+) min", left_out["why"]))
    ]
    if minutes:
        budget = _longer(report, min(minutes))
        yield (
            say("Give it more time.", "给它更多时间。"),
            say(
                "For want of time not every candidate was tried; the cheapest of the rest needs about {minutes} min "
                "more.",
                "因时间不够，有的候选没有试；其中最省时的约需再加 {minutes} 分钟。",
                minutes=min(minutes),
            ),
            command(
                "fit", report.data_file, *_as_asked(report), "--budget", budget, "--out", report.name, "--overwrite"
            ),
        )


def _as_asked(report: Report) -> Iterator[str]:
    """Options that say again what the data is; the others in the recipe were found, not asked for."""
    for name in ("text", "label", "group", "test", "unlabeled", "glossary", "seed"):
        value = report.facts["recipe"].get(name)
        if value is not None and value != Recipe.model_fields[name].default:
            yield from (f"--{name}", str(value))


def _longer(report: Report, minutes: int) -> str:
    """The recipe's budget and so many minutes more, in minutes."""
    found = re.fullmatch(r"\s*([\d.]+)\s*([smh]?)\s*", str(report.facts["recipe"].get("budget", "")))
    seconds = float(found[1]) * {"h": 3600, "m": 60}.get(found[2], 1) if found else 0.0
    return f"{math.ceil(seconds / 60) + minutes}m"


def _use_it(report: Report) -> Iterator[Step]:
    if report.threshold is not None:
        goal = report.threshold["target_error"]
        yield (
            say("Use it.", "用起来。"),
            sentences(
                report.use.answers,
                say(
                    "It also says which answers are left to a person so that at most {goal} of the others are wrong.",
                    "还会标出哪些要交给人来看，使其余答案的错误率不超过 {goal}。",
                    goal=percent(goal, 0),
                ),
            ),
            command("predict", report.name, report.use.new, "--max-error", f"{goal:g}"),
        )
        return
    use = report.use
    yield say("Use it.", "用起来。"), use.answers, command("predict", report.name, use.new, "--out", use.out)


_ADVICE: tuple[Callable[[Report], Iterator[Step]], ...] = (
    _label_some,
    _mend_data,
    _relabel,
    _label_more,
    _help_weak_classes,
    _fill_small_classes,
    _tell_apart,
    _measure_better,
    _spend_more,
    _use_it,
)
