"""What a person at a terminal sees: progress with time left, and the result in a few lines. All on standard error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table

from fewtune.errors import FewtuneError
from fewtune.progress import Step
from fewtune.types import (
    Advice,
    AttackResult,
    Compression,
    Earlier,
    Finding,
    FitResult,
    Outlook,
    Rung,
    Score,
    Scores,
    Suggestions,
)

_SHOWN_FINDINGS = 5
_SHOWN_ATTACKS = 3
_SHOWN_ERROR = 0.05
_MARKS = {"error": "[red]✗[/]", "warning": "[yellow]![/]", "info": "[dim]i[/]"}
# Steps shorter than this need no line of their own where there is no terminal to redraw.
_QUICK_SECONDS = 1.0


class _BarStep:
    def __init__(self, bars: RichProgress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, amount: float = 1) -> None:
        self._bars.advance(self._task, amount)


class TerminalProgress:
    """Bars with time left; where standard error is no terminal, a line for each step that took a while."""

    def __init__(self, console: Console) -> None:
        """Draw on `console`."""
        self._console = console

    @contextmanager
    def step(self, name: str, total: float | None = None) -> Iterator[Step]:
        """Show one bar while the step lasts."""
        bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        with bars:
            task = bars.add_task(escape(name), total=total)
            yield _BarStep(bars, task)
        elapsed = bars.tasks[0].elapsed if bars.tasks else None
        if not self._console.is_terminal and elapsed is not None and elapsed >= _QUICK_SECONDS:
            self._console.print(f"{escape(name)}: done in {elapsed:.0f} s")

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(escape(text))

    def rung(self, make: Callable[[], Rung]) -> None:
        """Nothing: all rungs are shown together at the end."""
        del make


def show_error(console: Console, error: FewtuneError) -> None:
    """What, where, how: three short lines."""
    console.print(f"[red bold]Error:[/] {escape(error.what)}", highlight=False)
    if error.where:
        console.print(f"  where: {escape(error.where)}", highlight=False)
    if error.how:
        console.print(f"  how to mend it: {escape(error.how)}", highlight=False)


def show_findings(console: Console, findings: Sequence[Finding], *, limit: int | None = None) -> None:
    """A line for each finding, worst first, with where and how to mend it."""
    for finding in findings[:limit]:
        console.print(f"{_MARKS[finding.level]} {escape(finding.what)}", highlight=False)
        if finding.places:
            console.print(f"    at {escape(', '.join(finding.places))}", style="dim", highlight=False)
        if finding.level != "info":
            console.print(f"    {escape(finding.how)}", style="dim", highlight=False)
    if limit is not None and len(findings) > limit:
        console.print(f"  and {len(findings) - limit} more: `fewtune check` shows all", style="dim")


def show_fit(console: Console, result: FitResult) -> None:
    """The result in one sentence, the rungs, what was left out, and what to do next."""
    for note in result.notes:
        console.print(f"[dim]{escape(note)}[/]", highlight=False)
    show_findings(console, [f for f in result.findings if f.level != "info"], limit=_SHOWN_FINDINGS)
    console.print(_rungs(result))
    for left_out in result.left_out:
        console.print(f"[dim]{left_out.fate}: {escape(left_out.name)}: {escape(left_out.why)}[/]", highlight=False)
    console.print(f"\n[bold]{escape(in_words(result.scores, result.primary_metric, result.task))}[/]", highlight=False)
    name = result.primary_metric
    if not math.isnan(result.scores[name].value):
        console.print(f"[dim]{name.capitalize()} {escape(result.scores.how)}.[/]", highlight=False)
    gain = result.scores.gain_over_baseline
    if gain is not None and name != "accuracy":
        console.print(
            f"Better than the untouched model by {gain.value:.3g} ({_ends(gain, '{:.3g}')}).", highlight=False
        )
    if result.earlier:
        console.print(_before(result.earlier[-1], name), highlight=False)
    if result.learning_curve is not None:
        console.print(escape(result.learning_curve.words), highlight=False)
    for threshold in result.answer_rules.thresholds:
        if threshold.target_error == _SHOWN_ERROR and threshold.answered is not None:
            answered = f"predict answers about {threshold.answered.value:.0%} of new inputs, and is unsure of the rest"
            console.print(f"With --max-error {_SHOWN_ERROR:g}, {answered}.", highlight=False)
    if result.unlabelled is not None:
        console.print(escape(result.unlabelled.words), highlight=False)
    if result.compression is not None:
        kept = f"Made smaller ({result.compression.name}). " if result.compression.kept else ""
        console.print(escape(f"{kept}{result.compression.words}"), highlight=False)
    if result.suspects:
        console.print(
            f"{len(result.suspects)} labels look wrong: see private/report.html in the bundle.",
            highlight=False,
        )
    console.print(f"\nBundle: [bold]{escape(str(result.bundle))}[/]  ({result.seconds:.0f} s)", highlight=False)
    new = "NEW.jpg" if noun_of(result.task) == "pictures" else "NEW.csv"
    console.print(f"Next:   fewtune predict {escape(str(result.bundle))} {new}", highlight=False)


def show_suggestions(console: Console, found: Suggestions, out: Path | None) -> None:
    """What was seen in the pool, and where the suggestions went."""
    for note in found.notes:
        console.print(f"[dim]{escape(note)}[/]", highlight=False)
    show_findings(console, found.findings)
    count = len(found)
    console.print(
        f"{count} of {found.given} to label next; looking at them took {found.encode_seconds:.1f} s, "
        f"choosing {found.choose_seconds:.1f} s.",
        highlight=False,
    )
    if out is not None:
        console.print(f"Wrote {out}", highlight=False, markup=False)


def show_service(console: Console, url: str, names: Sequence[str]) -> None:
    """Where a service listens, and how to try it."""
    console.print(f"Serving [bold]{escape(', '.join(names))}[/] at [bold]{escape(url)}[/]", highlight=False)
    console.print(f"Try it in a browser: {escape(url)}   API: {escape(url)}/docs   Stop: Ctrl-C", highlight=False)


def show_studio(console: Console, url: str, folder: Path) -> None:
    """Where the page is, where its projects are, and how it ends."""
    console.print(f"The studio is at [bold]{escape(url)}[/]", highlight=False)
    console.print(f"Projects are kept in {escape(str(folder))}   Stop: Ctrl-C", highlight=False)


def show_scores(console: Console, scores: Scores) -> None:
    """All metrics and all classes as tables."""
    table = Table("metric", "value", "95 % interval", box=None, header_style="dim")
    for name, score in scores.metrics.items():
        table.add_row(name, f"{score.value:.3f}", _ends(score, "{:.3f}"))
    console.print(table)
    if scores.per_class:
        console.print(_classes(scores))


def _classes(scores: Scores) -> Table:
    keys = list(next(iter(scores.per_class.values())))
    classes = Table("class", "examples", *(key.upper() if key == "f1" else key for key in keys), box=None)
    classes.header_style = "dim"
    for label, metrics in scores.per_class.items():
        values = [f"{metrics[name].value:.2f} ({_ends(metrics[name], '{:.2f}')})" for name in keys]
        classes.add_row(escape(label), str(scores.support.get(label, 0)), *values)
    return classes


def show_attack(console: Console, found: AttackResult, bundle: Path, out: Path | None) -> None:
    """What the attack did to the accuracy, some of the texts, and what stood in for TextAttack's downloads."""
    summary = found.summary
    for note in found.notes:
        console.print(note, style="dim", highlight=False, markup=False)
    for reason, count in summary.left_out.items():
        console.print(f"{count} of the texts are left out: {reason}", style="dim", highlight=False, markup=False)
    for line in summary.replaced:
        console.print(line, style="dim", highlight=False, markup=False)
    for text in [text for text in found.texts if text.outcome in ("broken", "reduced")][:_SHOWN_ATTACKS]:
        console.print(f"\n  {text.text}  →  {text.prediction}", highlight=False, markup=False)
        console.print(f"  {text.attacked}  →  {text.attacked_prediction}", highlight=False, markup=False)
    table = Table("", "value", "95 % interval", box=None, header_style="dim")
    for name, score in (
        ("accuracy before", summary.accuracy_before),
        ("accuracy under attack", summary.accuracy_after),
        ("attacks that succeed", summary.success_rate),
        ("words taken away" if summary.reduces else "words changed where it does", summary.words_changed),
    ):
        if score is not None:
            table.add_row(name, f"{100 * score.value:.1f} %", _ends(score, "{:.0%}"))
    console.print()
    console.print(table)
    console.print(
        f"[dim]{summary.recipe} ({escape(summary.source)}): {summary.examples} texts looked at, {summary.attacked} "
        f"attacked; {summary.queries:.0f} questions to the model and {summary.seconds:.2g} s an attack.[/]",
        highlight=False,
    )
    if summary.stopped:
        console.print(
            f"\nStopped at {summary.examples} of {summary.wanted} texts ({summary.stopped}): the same command with "
            f"--resume continues.",
            highlight=False,
        )
    if out is not None:
        console.print(f"Wrote {len(found.texts)} texts to {out}", highlight=False, markup=False)
    if summary.stopped != "interrupted":
        console.print(f"Next:   fewtune report {bundle}", highlight=False, markup=False)


def noun_of(task: str) -> str:
    """What a task's inputs are called."""
    return "pictures" if task.startswith("image") or task in ("object-detection", "segmentation") else "texts"


def in_words(scores: Scores, metric: str, task: str) -> str:
    """The score that counts as a person would say it: so many of 100, between so many and so many."""
    score = scores[metric]
    if math.isnan(score.value):
        return f"How good it is on new {noun_of(task)} is not known."
    form = "{:.1f}" if metric in ("chrf", "bleu") else "{:.3f}"
    text = f"{metric} {form.format(score.value)} on new {noun_of(task)}"
    ends = "" if score.low is None or score.high is None else f"{form.format(score.low)} and {form.format(score.high)}"
    if metric == "accuracy":
        text = f"About {100 * score.value:.0f} of 100 new {noun_of(task)} right"
        ends = ends and f"{100 * (score.low or 0):.0f} and {100 * (score.high or 0):.0f}"
    return f"{text}; with {score.level:.0%} confidence between {ends}." if ends else f"{text}."


def _before(earlier: Earlier, metric: str) -> str:
    """What the bundle was worth that was replaced, and what it foresaw."""
    form = "{:.1f}" if metric in ("chrf", "bleu") else "{:.3f}"
    text = f"With {earlier.examples} labelled examples {metric} was {form.format(earlier.score.value)}"
    if earlier.foreseen is None:
        return f"{text}."
    ends = f"{form.format(earlier.foreseen.low)} to {form.format(earlier.foreseen.high)}"
    return f"{text}, and with about as many as now {ends} were foreseen."


def show_advice(console: Console, advice: Advice, data: str) -> None:
    """The reasons, what each rung is likely worth, and the command."""
    languages = ", ".join(f"{language} {share:.0%}" for language, share in advice.languages.items())
    classes = f" in {advice.classes} classes" if advice.classes else ""
    console.print(f"{advice.examples} examples{classes}{f'; {languages}' if languages else ''}", highlight=False)
    table = Table("  candidate", "likely right", "s", "how it is known", box=None, header_style="dim")
    for some in advice.outlooks:
        table.add_row(
            f"{'→' if some.taken else ' '} {escape(some.name)}".replace(" + ", "\n    + "),
            _likely(some),
            "" if some.seconds is None else f"{some.seconds:.0f}",
            "tried" if some.measured else "by trying it" if math.isnan(some.likely) else "after other data sets",
            style="bold" if some.taken else "",
        )
    console.print(table)
    for sentence in advice.why:
        console.print(escape(sentence), highlight=False)
    console.print(
        f"\nfit takes about {advice.seconds:.0f} s and {advice.peak_memory_mb:.0f} MB on this machine "
        f"({escape(str(advice.machine['processor']))}, {advice.machine['threads']} threads).",
        highlight=False,
    )
    console.print(f"Next:   fewtune fit {escape(data)}", highlight=False)


def show_compression(console: Console, found: Compression, out: Path) -> None:
    """The models beside each other, what became of the promise, and where the result is."""
    table = Table(
        "  model", "MB", "ms (p95)", "a second", "load ms", "MB held", found.metric, box=None, header_style="dim"
    )
    for trade in found.trades:
        size = trade.footprint
        taken = trade.name == found.name or (not found.kept and trade is found.trades[0])
        table.add_row(
            f"{'→' if taken else ' '} {escape(trade.name)}",
            f"{size.size_mb:.1f}",
            f"{size.p50_ms:.1f} ({size.p95_ms:.1f})",
            f"{size.per_second:.0f}",
            f"{size.load_ms:.0f}",
            f"{size.peak_memory_mb:.0f}",
            "" if trade.score is None else _scored(trade.score, found.metric),
            style="bold" if taken else "",
        )
    console.print(table)
    for trade in found.trades[1:]:
        for note in trade.notes:
            console.print(f"[dim]{escape(trade.name)}: {escape(note)}[/]", highlight=False)
    console.print(f"\n[bold]{escape(found.words)}[/]", highlight=False)
    threads = "1 thread" if found.threads == 1 else f"{found.threads} threads"
    console.print(f"[dim]Measured {escape(found.measured_on)}; {threads}.[/]", highlight=False)
    what = "Bundle" if found.kept else "A copy of the original"
    console.print(f"\n{what}: [bold]{escape(str(out))}[/]", highlight=False)


def _scored(score: float, metric: str) -> str:
    if metric == "accuracy":
        return f"{100 * score:.1f} %"
    return f"{score:.1f}" if metric in ("chrf", "bleu") else f"{score:.3f}"


def _likely(outlook: Outlook) -> str:
    if math.isnan(outlook.likely):
        return "not known"
    return f"{outlook.likely:.0%} ({outlook.low:.0%} to {outlook.high:.0%})".replace("%", " %")


def _rungs(result: FitResult) -> Table:
    """A line a rung, the taken one marked; no wider than a terminal of 80 columns."""
    by_loss = any(math.isfinite(rung.expected_log_loss) for rung in result.rungs)
    heads = [f"{result.primary_metric} (95 %)", *(["log loss"] if by_loss else []), "s (foreseen)"]
    table = Table("  candidate", *heads, box=None, header_style="dim")
    for column in table.columns[1:]:
        column.no_wrap = True
    for rung in result.rungs:
        taken = rung.tune_seconds is not None
        cells = _rung_cells(rung, result.primary_metric, by_loss, "→" if taken else " ")
        table.add_row(*cells, style="bold" if taken else "")
    return table


def _rung_cells(rung: Rung, metric: str, by_loss: bool, mark: str) -> tuple[str, ...]:
    score = rung.scores[metric]
    foreseen = "" if rung.predicted_seconds is None else f" ({rung.predicted_seconds:.1f})"
    if math.isnan(score.value):
        value = "not known"
    elif metric == "accuracy":
        value = f"{100 * score.value:.1f} % ({_ends(score, '{:.0%}').replace('%', '')})"
    else:
        value = f"{score.value:.3g} ({_ends(score, '{:.3g}')})"
    return (
        # A blend's two members stand below each other.
        f"{mark} {escape(rung.name)}".replace(" + ", "\n    + "),
        value,
        *([f"{rung.expected_log_loss:.3f}"] if by_loss else []),
        f"{rung.seconds:.1f}{foreseen}",
    )


def _ends(score: Score, form: str) -> str:
    if score.low is None or score.high is None:
        return "unknown"
    return f"{form.format(score.low)} to {form.format(score.high)}"
