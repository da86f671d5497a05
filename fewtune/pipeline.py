"""The main path: read, check, split, climb the ladder, evaluate, export, compress. Start reading here."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fewtune import catalog
from fewtune.advise import advise as advise_classes
from fewtune.augment.picture_folder import AugmentedPictures, Write, augment_pictures
from fewtune.augment.picture_policy import PicturePolicies
from fewtune.augment.policy import AUTO, Policies
from fewtune.augment.table import AugmentedTable, augment_table
from fewtune.backbones.picture_folder import library_of, picture_files
from fewtune.backbones.seq2seq import FastTranslate, FolderTranslator
from fewtune.bundle.earlier import earlier_fits
from fewtune.bundle.export import check_place, export_bundle, write_export
from fewtune.bundle.manifest import Manifest, left_out_as_json, rung_as_json, scores_as_json
from fewtune.bundle.read import read_manifest, verify
from fewtune.bundle.write import (
    check_free,
    check_replaceable,
    check_work,
    output_errors,
    publish,
    replace_folder,
    write_atomically,
    write_bundle,
)
from fewtune.compress.marian_int8 import marian_files
from fewtune.compress.path import NONE, Wishes, check_asked, compress_bundle, compress_fitted, run_context
from fewtune.data.check import by_severity, check_language, find_unseen_labels
from fewtune.data.columns import find_columns
from fewtune.data.read import read_table
from fewtune.data.read.detection import boxes_form
from fewtune.data.write_pictures import (
    write_class_folders,
    write_coco,
    write_listing,
    write_masks,
    write_voc,
    write_yolo,
)
from fewtune.errors import DataError, InternalError, MissingExtraError, OutputError, RecipeError
from fewtune.interfaces import ClassifierTask, Method, RunContext, StructuredTask, Task
from fewtune.journal import Journal
from fewtune.label.apart import OTHER_KIND_CODE
from fewtune.label.names import read_names
from fewtune.label.pool import OTHER_LANGUAGE_CODE
from fewtune.label.suggest import SUGGEST_CACHE
from fewtune.label.unlabelled import with_unlabelled
from fewtune.learn.classes import learn_classes
from fewtune.learn.foreseen import advise_structured
from fewtune.learn.learnt import Learnt
from fewtune.learn.names import learn_names
from fewtune.learn.structured import learn_structured
from fewtune.progress import Progress, SilentProgress
from fewtune.recipe import Recipe, write_recipe
from fewtune.report.data import ATTACKS, read_private
from fewtune.report.render import render_report
from fewtune.runtime import open_bundle
from fewtune.runtime.machine import describe_machine, peak_memory_mb
from fewtune.runtime.threads import usable_cores
from fewtune.tune.generation import MOST_NEW_TOKENS
from fewtune.tune.label_names import METHOD as LABEL_NAMES
from fewtune.tune.reply_tokens import bytes_of, too_long
from fewtune.types import Advice, Compression, Dataset, Finding, FitResult, LeftOut

# Of examples that a finding names.
_PLACES = 5
_SURELY_READ_BYTES = 7_000
_LIBRARIES = (
    "numpy",
    "onnx",
    "onnxruntime",
    "scikit-learn",
    "scipy",
    "tokenizers",
    "jieba",
    "torch",
    "transformers",
    "lightning",
    "peft",
    "timm",
    "torchvision",
    "Pillow",
)


def fit(
    recipe: Recipe,
    *,
    source: Any = None,
    test: Any = None,
    unlabelled: Any = None,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> FitResult:
    """Tune, evaluate and write a model.

    Args:
        recipe: what to do.
        source: the data, where it is not the file that `recipe.data` names.
        test: the test data, where it is not the file that `recipe.test` names.
        unlabelled: inputs to learn from too, where they are not those that `recipe.unlabeled` names.
        out: the bundle's place; by default beside the current folder's files, after the data's name.
        resume: continue the work of an interrupted run.
        overwrite: replace a bundle that stands at `out`.
        progress: where progress is shown.

    Raises:
        UserError: the data, a setting or the place cannot be used; nothing is written at `out`.
    """
    started = time.monotonic()
    out = out or default_out(recipe)
    check_free(out, overwrite=overwrite)
    task = catalog.find_task(recipe.task, recipe.data if source is None else source)
    check_asked(recipe.compress, task, catalog.compressors())
    methods = [] if recipe.labels else catalog.find_methods(recipe, task)
    if recipe.labels:
        dataset, tested, findings = _read_names(task, recipe, source, test, unlabelled)
    else:
        dataset, tested, findings = _read_and_check(task, recipe, source, test)
        dataset, more = _with_unlabelled(task, methods, dataset, tested, recipe, unlabelled)
        findings = by_severity([*findings, *more])
    reading = time.monotonic() - started
    run = _open_run(out, recipe, dataset, recipe.threads or usable_cores(), resume, progress or SilentProgress())
    with output_errors(run.work):
        learnt = _learn(task, methods, dataset, tested, recipe, run)
        built = run.work / "bundle"

        def write(some: Learnt) -> None:
            manifest = _manifest(task, dataset, some, findings, reading + run.journal.elapsed)
            manifest = replace(manifest, earlier=earlier_fits(out, manifest))
            private = with_report(manifest, some.private, out.name)
            text = write_recipe(some.recipe)
            write_bundle(built, some.fitted, manifest, name=out.name, recipe_toml=text, private=private)

        write(replace(learnt, recipe=learnt.recipe.model_copy(update={"compress": NONE})))
        _check_parity(built, learnt, run.threads)
        learnt = _compressed(built, learnt, task, dataset, recipe, run, write)
        earlier = read_manifest(built).earlier
        publish(built, out, overwrite=overwrite)
        shutil.rmtree(run.work, ignore_errors=True)
    return FitResult(
        bundle=out,
        task=task.name,
        method=learnt.recipe.method,
        model=learnt.model,
        labels=dataset.labels,
        scores=learnt.scores,
        primary_metric=task.primary_metric,
        rungs=learnt.rungs,
        left_out=learnt.left_out,
        findings=tuple(findings),
        notes=dataset.notes,
        seconds=reading + run.journal.elapsed,
        peak_memory_mb=peak_memory_mb(),
        answer_rules=learnt.answer_rules,
        comparisons=learnt.comparisons,
        learning_curve=learnt.learning_curve,
        suspects=learnt.suspects,
        unlabelled=learnt.unlabelled,
        compression=learnt.compression,
        earlier=earlier,
    )


def check(recipe: Recipe, *, source: Any = None) -> tuple[Dataset, list[Finding]]:
    """Read the data and say what is wrong with it, worst first.

    Raises:
        UserError: the data cannot be read at all.
    """
    task = catalog.find_task(recipe.task, recipe.data if source is None else source)
    dataset, _, findings = _read_and_find(task, recipe, source)
    return dataset, findings


def advise(recipe: Recipe, *, source: Any = None, progress: Progress | None = None) -> Advice:
    """Say what to fit on the data, how long that takes, and how good it is likely to be.

    Raises:
        UserError: the data or a setting cannot be used.
    """
    task = catalog.find_task(recipe.task, recipe.data if source is None else source)
    methods = catalog.find_methods(recipe, task)
    dataset, test, _ = _read_and_check(task, recipe, source)
    threads, shown = recipe.threads or usable_cores(), progress or SilentProgress()
    if isinstance(task, StructuredTask):
        return advise_structured(task, methods, dataset, test is not None, recipe, threads, shown)
    assert isinstance(task, ClassifierTask)
    return advise_classes(recipe, dataset, task, threads, shown)


def augment(
    recipe: Recipe, *, copies: int, strength: float | None = None, source: Any = None, progress: Progress | None = None
) -> AugmentedTable:
    """The data with views of its texts beside them; those that `fit` learns from, where nothing else is asked for.

    Args:
        recipe: the data, its columns, the augmentations' names and the seed.
        copies: views of each text.
        strength: share of a text's words that is changed; None: the usual one of each augmentation.
        source: the data, where it is not the file that `recipe.data` names.
        progress: where progress is shown.

    Raises:
        UserError: the data cannot be read, an augmentation is not known, or needs what is not installed.
    """
    table = read_table(recipe.data if source is None else source)
    columns = find_columns(table, text=recipe.text, label=recipe.label, group=recipe.group, need_label=False)
    labels = sorted(set(table.column(columns.label))) if columns.label else []
    policies = Policies(catalog.augmentations())
    policy = policies.named(recipe.augment.split(","), copies=copies, strength=strength, keep=labels, where="--with")
    run = RunContext(Path(), recipe.seed, recipe.threads or usable_cores(), progress or SilentProgress())
    return augment_table(table, columns, policy, run)


def augment_pictures_into(
    recipe: Recipe, out: Path, *, copies: int, progress: Progress | None = None
) -> AugmentedPictures:
    """A folder with the pictures, views of them and their labels in the format of the data, and a contact sheet.

    Args:
        recipe: the data, its task, the augmentations' names ("auto": the task's preset) and the seed.
        out: the folder; it must not be there.
        copies: views of each picture.
        progress: where progress is shown.

    Raises:
        UserError: the data cannot be read, an augmentation is not known, or the place is taken.
    """
    if find_spec("torchvision") is None:
        raise MissingExtraError("train", needed_for="Augmenting pictures", where="augment")
    task = catalog.find_task(recipe.task, recipe.data)
    policies = PicturePolicies(catalog.picture_augmentations())
    preset = recipe.augment == AUTO
    policy = policies.preset(task.name) if preset else policies.named(recipe.augment, task.name, where="--with")
    check_replaceable(out, overwrite=False, is_ours=lambda _: False, kind="folder")
    if Path(recipe.data).is_dir() and out.resolve().is_relative_to(Path(recipe.data).resolve()):
        raise OutputError(
            "The views would become a part of the data that they are made of.",
            where=str(out),
            how="Give a folder beside the data.",
        )
    dataset = task.read(recipe.data, recipe, "fit")
    run = RunContext(Path(), recipe.seed, progress=progress or SilentProgress())
    with output_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as work:
            # A folder in it: the temporary one is for its owner's eyes only.
            folder = Path(work) / "pictures"
            folder.mkdir()
            made = augment_pictures(dataset, policy, copies, folder, _picture_writer(task, recipe.data, dataset), run)
            replace_folder(folder, out)
    return made


def _picture_writer(task: Task, data: str, dataset: Dataset) -> Write:
    """What writes pictures in the format that the data are in."""
    if task.name == "segmentation":
        return lambda folder, pictures: write_masks(folder, pictures, dataset.labels)
    if task.name == "object-detection":
        write = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}[boxes_form(data)]
        return lambda folder, pictures: write(folder, pictures, dataset.labels)
    return write_listing if Path(data).is_file() else write_class_folders


def compress(
    bundle: Path,
    out: Path,
    wishes: Wishes,
    *,
    data: Any = None,
    unlabelled: Any = None,
    recipe: Recipe | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Compression:
    """Make a bundle smaller, measure both, and write the better one; see `compress_bundle`.

    Raises:
        UserError: the bundle, a wish, the data or the place cannot be used; nothing is written at `out`.
    """
    recipe = recipe or Recipe()
    task = catalog.find_task(read_manifest(bundle).task)
    threads = recipe.threads or usable_cores()
    run = run_context(out, threads=threads, seed=recipe.seed, progress=progress or SilentProgress())

    def private(manifest: Manifest, files: Mapping[str, bytes], name: str) -> dict[str, bytes]:
        kept = {key: value for key, value in files.items() if key not in ("report.html", ATTACKS)}
        return with_report(manifest, kept, name)

    known = catalog.compressors()
    return compress_bundle(
        bundle,
        out,
        wishes,
        task,
        known,
        run,
        data=data,
        unlabelled=unlabelled or recipe.unlabeled or None,
        recipe=recipe,
        overwrite=overwrite,
        private=private,
    )


def export(
    bundle: Path,
    out: Path,
    *,
    form: str,
    with_data: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[str]:
    """Write a bundle for other programs; see `export_bundle`, and "marian": a tuned student in its own format.

    A network for pictures becomes a folder of the library that it came from ("hf").

    Raises:
        UserError: the bundle or the place cannot be used, or there is no such form of it; nothing is written at `out`.
    """
    manifest = read_manifest(bundle)
    library = library_of(manifest) if form == "hf" and not with_data else None
    if form != "marian" and library is None:
        return export_bundle(bundle, out, form=form, with_data=with_data, overwrite=overwrite)
    verify(bundle, manifest)
    check_place(bundle, out, overwrite)
    if library is not None:
        return write_export(picture_files(bundle, manifest, library, out.name), out)
    model = catalog.find_translator(str(manifest.backbone["name"])) if manifest.task == "translation" else None
    if not isinstance(model, FastTranslate | FolderTranslator):
        raise RecipeError("Only Marian's students have the format marian.", where="--format", how="Use onnx or hf.")
    parts = model.load()
    if model.folder is None:
        raise InternalError("A model that was read has no folder.")
    run = run_context(out, threads=usable_cores(), seed=0, progress=progress or SilentProgress())
    return write_export(marian_files(bundle, manifest, parts, model.folder, run), out)


def default_out(recipe: Recipe) -> Path:
    """`./<data name>.fewtune`."""
    data = recipe.data or recipe.unlabeled
    stem = Path(data).name if data and data != "-" else "model"
    return Path(f"{Path(stem).stem or stem}.fewtune")


def _read_and_check(
    task: Task, recipe: Recipe, source: Any, test_source: Any = None
) -> tuple[Dataset, Dataset | None, list[Finding]]:
    dataset, test, findings = _read_and_find(task, recipe, source, test_source)
    for finding in findings:
        if finding.level == "error":
            raise DataError(finding.what, where=", ".join(finding.places), how=finding.how)
    return dataset, test, findings


def _read_and_find(
    task: Task, recipe: Recipe, source: Any, test_source: Any = None
) -> tuple[Dataset, Dataset | None, list[Finding]]:
    dataset, test = _read(task, recipe, source, test_source)
    dataset, long = _within_reach(task, recipe, dataset)
    if test is not None:
        test, more = _within_reach(task, recipe, test)
        long += more
    return dataset, test, [*long, *task.check(dataset, test), *_check_model(task, recipe, dataset)]


def _within_reach(task: Task, recipe: Recipe, dataset: Dataset) -> tuple[Dataset, list[Finding]]:
    """The data without prompts that are longer than a language model reads, and what is said of those.

    Raises:
        DataError: all of them are.
    """
    if task.reads != "generation":
        return dataset, []
    known = catalog.language_models().values()
    models = known if recipe.model == "auto" else [catalog.find_language_model(recipe.model)]
    most_new = int(recipe.settings.get("max_new_tokens", MOST_NEW_TOKENS))
    ready = [model for model in models if model.info.installed]
    # The models of the catalogue read more than that, and opening one takes a while.
    if recipe.model == "auto" and max(map(bytes_of, dataset.examples), default=0) < _SURELY_READ_BYTES:
        return dataset, []
    long = sorted({i for model in ready for i in too_long(model.parts, dataset.examples, most_new)})
    if not long:
        return dataset, []
    reads = min(model.parts.max_tokens for model in ready)
    places = tuple(dataset.examples[i].place for i in long[:_PLACES])
    what = f"{len(long)} examples are longer than the {reads:,} tokens that the model reads, and are left out."
    how = "Shorten their prompts, or take a --model that reads more."
    if len(long) == len(dataset):
        raise DataError(what, where=", ".join(places), how=how)
    kept = tuple(example for i, example in enumerate(dataset.examples) if i not in set(long))
    return replace(dataset, examples=kept), [Finding("warning", "prompt-too-long", what, how, places, len(long))]


def _read(task: Task, recipe: Recipe, source: Any, test_source: Any = None) -> tuple[Dataset, Dataset | None]:
    if source is None and not recipe.data:
        raise RecipeError("No data was given.", where="DATA", how="For example: fewtune fit tickets.csv")
    dataset = task.read(recipe.data if source is None else source, recipe, "fit")
    return dataset, _read_test(task, recipe, test_source)


def _read_test(task: Task, recipe: Recipe, source: Any) -> Dataset | None:
    if source is None and not recipe.test:
        return None
    return task.read(recipe.test if source is None else source, recipe, "evaluate")


def _read_names(
    task: Task, recipe: Recipe, source: Any, test_source: Any, unlabelled: Any
) -> tuple[Dataset, Dataset | None, list[Finding]]:
    """Names of classes and unlabelled texts, where nothing is labelled."""
    if recipe.data or source is not None:
        raise RecipeError(
            "--labels is for where nothing is labelled, and labelled data was given.",
            where="--labels",
            how="Leave one of the two out: label names are read beside labelled data in any case.",
        )
    if task.name != "text-classification" or recipe.method not in ("auto", LABEL_NAMES):
        raise RecipeError(
            "Names alone make a model of classes of texts, by a method of their own.",
            where="--labels",
            how="Leave --task and --method out, or label a few examples.",
        )
    if not recipe.unlabeled and unlabelled is None:
        raise RecipeError(
            "Names alone are not enough: texts without labels are needed too.",
            where="--unlabeled",
            how='For example: fewtune fit --labels "positive,negative" --unlabeled texts.txt',
        )
    dataset = read_names(recipe.labels, task.name)
    test = _read_test(task, recipe, test_source)
    for finding in find_unseen_labels(dataset, test) if test else ():
        raise DataError(finding.what, where=", ".join(finding.places), how=finding.how)
    generator = RunContext(Path(), recipe.seed).generator("unlabelled")
    given = recipe.unlabeled if unlabelled is None else unlabelled
    dataset, findings = with_unlabelled(dataset, test, given, task, recipe, generator)
    # Names need not be in the language of the texts, nor written like them: the encoder reads both.
    of_names = (OTHER_LANGUAGE_CODE, OTHER_KIND_CODE)
    return dataset, test, [finding for finding in findings if finding.code not in of_names]


def _with_unlabelled(
    task: Task, methods: Sequence[Method], dataset: Dataset, test: Dataset | None, recipe: Recipe, source: Any
) -> tuple[Dataset, list[Finding]]:
    """The data with what is unlabelled to learn from too, where some is given."""
    if source is None and not recipe.unlabeled:
        return dataset, []
    if not any(method.learns_unlabelled for method in methods):
        others = [name for name, method in catalog.methods(recipe, task).items() if method.learns_unlabelled]
        raise RecipeError(
            f"The method {recipe.method} does not learn from unlabelled data."
            if recipe.method != "auto"
            else f"There is nothing that learns from unlabelled data for {task.name}.",
            where="--unlabeled",
            how=f"Use --method {' or '.join(['auto', *others])}, or leave --unlabeled out."
            if others
            else "Leave --unlabeled out.",
        )
    generator = RunContext(Path(), recipe.seed).generator("unlabelled")
    source = recipe.unlabeled if source is None else source
    return with_unlabelled(dataset, test, source, task, recipe, generator)


def _check_model(task: Task, recipe: Recipe, dataset: Dataset) -> list[Finding]:
    if recipe.model == "auto":
        return []
    info = catalog.find_backbone(recipe.model, task).info
    if task.reads != "text":
        return []
    return check_language([example.input for example in dataset], info.languages, info.name)


def _open_run(
    out: Path, recipe: Recipe, dataset: Dataset, threads: int, resume: bool, progress: Progress
) -> RunContext:
    work = out.with_name(f"{out.name}.work")
    wanted = {
        "fewtune_version": _version("fewtune"),
        "data_sha256": dataset.sha256,
        "unlabelled_sha256": dataset.unlabelled.sha256 if dataset.unlabelled else "",
        **recipe.model_dump(exclude={"data", "unlabeled", "budget"}),
        "threads": threads,
    }
    return RunContext(
        work, recipe.seed, threads, progress, open_work(work, wanted, resume=resume), recipe.budget_seconds
    )


def open_work(work: Path, wanted: Mapping[str, Any], *, resume: bool) -> Journal:
    """The journal of the work in progress: fresh, or the interrupted run's if it was the same work.

    Args:
        work: its folder.
        wanted: what makes it the same work, as JSON holds it.
        resume: continue what is there.

    Raises:
        RecipeError: what is there is other work.
        OutputError: the folder is somebody else's, or cannot be written to.
    """
    state = work / "run.json"
    if resume and state.is_file():
        _check_same_work(state, wanted)
    else:
        with output_errors(work):
            check_work(work, state.name, also={SUGGEST_CACHE})
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            write_atomically(state, json.dumps(wanted, ensure_ascii=False).encode())
    return Journal(work)


def _check_same_work(state: Path, wanted: Mapping[str, Any]) -> None:
    anew = "Repeat its settings, or leave --resume out to start anew."
    try:
        known = json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"What the interrupted run left cannot be read ({error}).", where=str(state), how=anew
        ) from None
    differs = [name for name in wanted if known.get(name) != wanted[name]]
    if differs:
        details = "; ".join(f"{name}: then {known.get(name)!r}, now {wanted[name]!r}" for name in differs)
        raise RecipeError(f"The interrupted run differs in {details}.", where=str(state.parent), how=anew)


def _learn(
    task: Task, methods: Sequence[Method], dataset: Dataset, test: Dataset | None, recipe: Recipe, run: RunContext
) -> Learnt:
    if isinstance(task, ClassifierTask) and recipe.labels:
        return learn_names(task, dataset, test, recipe, run)
    if isinstance(task, ClassifierTask):
        return learn_classes(task, methods, dataset, test, recipe, run)
    if isinstance(task, StructuredTask):
        return learn_structured(task, methods, dataset, test, recipe, run)
    raise InternalError(f"The task {task.name} is neither a ClassifierTask nor a StructuredTask.")


def _compressed(
    built: Path,
    learnt: Learnt,
    task: Task,
    dataset: Dataset,
    recipe: Recipe,
    run: RunContext,
    write: Callable[[Learnt], None],
) -> Learnt:
    """What is delivered: the bundle that was written, or a smaller one in its place that keeps its promise."""
    found = compress_fitted(built, recipe.compress, dataset, task, catalog.compressors(), run)
    taken = ",".join(found.compression.name.split(" + ")) if found.content and found.compression else NONE
    learnt = replace(
        learnt,
        recipe=learnt.recipe.model_copy(update={"compress": taken}),
        compression=found.compression,
        left_out=(*learnt.left_out, *([LeftOut(f"compress {recipe.compress}", found.why)] if found.why else [])),
    )
    if found.content is not None:
        some = found.content
        assets = {**learnt.fitted.assets, **some.assets}
        fitted = replace(
            learnt.fitted, graphs=some.graphs, contracts=some.contracts, assets=assets, backbone=some.backbone
        )
        learnt = replace(learnt, fitted=fitted)
    if found.compression is None and not found.why:
        return learnt
    write(learnt)
    if found.content is not None and learnt.on_test is not None:
        # The scores are those of what is delivered.
        _, runtime = open_bundle(built, threads=run.threads)
        scores, tested = learnt.on_test(runtime)
        learnt = replace(learnt, scores=scores, private={**learnt.private, **tested})
        write(learnt)
    return learnt


def _manifest(task: Task, dataset: Dataset, learnt: Learnt, findings: Sequence[Finding], seconds: float) -> Manifest:
    return Manifest(
        task=task.name,
        method=learnt.recipe.method,
        model=learnt.model,
        labels=dataset.labels,
        backbone=learnt.fitted.backbone,
        recipe=learnt.recipe.model_dump(),
        primary_metric=task.primary_metric,
        scores=scores_as_json(learnt.scores),
        resampling=learnt.resampling,
        rungs=tuple(rung_as_json(rung) for rung in learnt.rungs),
        left_out=tuple(left_out_as_json(left_out) for left_out in learnt.left_out),
        notes=dataset.notes,
        data={
            "name": dataset.source,
            "sha256": dataset.sha256,
            "examples": len(dataset),
            "per_class": task.counts(dataset),
            **({"unlabelled": asdict(learnt.unlabelled)} if learnt.unlabelled else {}),
        },
        licences=_licences(learnt),
        versions=_versions(),
        machine=describe_machine(learnt.recipe.threads),
        seconds=round(seconds, 3),
        peak_memory_mb=round(peak_memory_mb(), 1),
        graphs=learnt.fitted.contracts,
        fewtune_version=_version("fewtune"),
        answer_rules=learnt.answer_rules,
        learning_curve=learnt.learning_curve,
        comparisons=learnt.comparisons,
        # Places and examples stay with the data.
        findings=tuple(replace(finding, places=()) for finding in findings),
        compression=learnt.compression,
    )


def _licences(learnt: Learnt) -> tuple[dict[str, str], ...]:
    weights = {"part": f"the pretrained weights ({learnt.model})", "licence": learnt.fitted.backbone.get("licence", "")}
    return (
        {"part": "the code around the weights (fewtune)", "licence": "Apache-2.0"},
        *([weights] if learnt.model else []),
        {"part": "what was learnt from the data", "licence": "the data's owner decides"},
    )


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in _LIBRARIES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def with_report(manifest: Manifest, private: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    """The private files of a bundle, and the report that is made of them and of bundle.json."""
    page = render_report(asdict(manifest), read_private(private), name)
    return {**private, "report.html": page.encode("utf-8", "surrogatepass")}


def _check_parity(built: Path, learnt: Learnt, threads: int) -> None:
    """The written bundle must answer as the tuner does."""
    _, runtime = open_bundle(built, threads=threads)
    gap = learnt.disagreement(runtime)
    if not gap <= learnt.parity_tolerance:
        raise InternalError(
            f"The written bundle's answers differ from the tuned model's by up to {gap:.2g}.", where=str(built)
        )
