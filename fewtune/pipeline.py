"""The main path: read, check, split, climb the ladder, evaluate, export. Start reading here."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from fewtune import catalog
from fewtune.advise import advise as advise_on
from fewtune.augment.policy import Policies
from fewtune.augment.table import AugmentedTable, augment_table
from fewtune.bundle.manifest import Manifest, left_out_as_json, rung_as_json, scores_as_json
from fewtune.bundle.read import read_manifest
from fewtune.bundle.write import check_free, output_errors, publish, write_atomically, write_bundle
from fewtune.compress.path import Wishes, compress_bundle, run_context
from fewtune.data.check import check_language
from fewtune.data.columns import find_columns
from fewtune.data.read import read_table
from fewtune.errors import DataError, InternalError, RecipeError, UserError
from fewtune.evaluate.learning_curve import FRACTIONS, learning_curve, smaller, training_size
from fewtune.interfaces import Candidate, Fitted, RunContext, Task, Tuner, TuningError
from fewtune.journal import Journal
from fewtune.ladder import Climb, NothingTriedError, climb, comparisons
from fewtune.progress import Progress, SilentProgress
from fewtune.recipe import Recipe, write_recipe
from fewtune.report.data import read_private
from fewtune.report.render import render_report
from fewtune.runtime import open_bundle
from fewtune.runtime.answers import SCOPE_FILE
from fewtune.runtime.machine import describe_machine, peak_memory_mb
from fewtune.runtime.threads import usable_cores
from fewtune.types import (
    Advice,
    AnswerRules,
    Compression,
    CurvePoint,
    Dataset,
    Example,
    Finding,
    FitResult,
    FloatArray,
    LearningCurve,
    LeftOut,
    Resampling,
    Rung,
    Scores,
    Suspect,
)

_PARITY_INPUTS = 32
_PARITY_TOLERANCE = 1e-4
# Share of the budget that the learning curve may take.
_CURVE_SHARE = 0.1
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
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> FitResult:
    """Tune, evaluate and write a model.

    Args:
        recipe: what to do.
        source: the data, where it is not the file that `recipe.data` names.
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
    tuners = catalog.find_tuners(recipe, task)
    dataset, test, findings = _read_and_check(task, recipe, source)
    threads = recipe.threads or usable_cores()
    run = _open_run(out, recipe, dataset, threads, resume, progress or SilentProgress())
    with output_errors(run.work):
        climbed, not_offered = _climb(tuners, dataset, recipe, task, run)
        climbed, fitted = _fit_winner(climbed, dataset, run)
        rungs = _with_tune_seconds(climbed, fitted)
        tested = None if test is None else fitted.reference([example.input for example in test])
        scores = _evaluate(task, dataset, test, tested, climbed)
        rules = task.answer_rules(dataset, climbed.winner.trial, climbed.winner.resampling.groups, run)
        fitted = _with_scope(fitted, rules)
        suspects = task.suspects(dataset, climbed.winner.trial, fitted, run)
        resolved = _resolved(recipe, task, climbed, threads)
        curve = _learning_curve(task, dataset, resolved, climbed, rungs, scores, run)
        manifest = _manifest(task, dataset, resolved, climbed, rungs, not_offered, fitted, scores, started)
        manifest = replace(
            manifest,
            answer_rules=rules,
            learning_curve=curve,
            comparisons=comparisons(climbed, task.targets(dataset, dataset.labels)),
            # Places and examples stay with the data.
            findings=tuple(replace(finding, places=()) for finding in findings),
        )
        built = run.work / "bundle"
        write_bundle(
            built,
            fitted,
            manifest,
            name=out.name,
            recipe_toml=write_recipe(resolved),
            private=_with_report(manifest, _private(dataset, test, tested, climbed, suspects), out.name),
        )
        _check_parity(built, task, dataset, fitted, threads)
        publish(built, out, overwrite=overwrite)
        shutil.rmtree(run.work, ignore_errors=True)
    return FitResult(
        bundle=out,
        task=task.name,
        method=climbed.winner.candidate.method,
        model=climbed.winner.candidate.model,
        labels=dataset.labels,
        scores=scores,
        primary_metric=task.primary_metric,
        rungs=rungs,
        left_out=not_offered + climbed.left_out,
        findings=tuple(findings),
        notes=dataset.notes,
        seconds=time.monotonic() - started,
        peak_memory_mb=peak_memory_mb(),
        answer_rules=rules,
        comparisons=manifest.comparisons,
        learning_curve=manifest.learning_curve,
        suspects=suspects or (),
    )


def check(recipe: Recipe, *, source: Any = None) -> tuple[Dataset, list[Finding]]:
    """Read the data and say what is wrong with it, worst first.

    Raises:
        UserError: the data cannot be read at all.
    """
    task = catalog.find_task(recipe.task, recipe.data if source is None else source)
    dataset, test = _read(task, recipe, source)
    return dataset, [*task.check(dataset, test), *_check_model(task, recipe, dataset)]


def advise(recipe: Recipe, *, source: Any = None, progress: Progress | None = None) -> Advice:
    """Say what to fit on the data, how long that takes, and how good it is likely to be.

    Raises:
        UserError: the data or a setting cannot be used.
    """
    task = catalog.find_task(recipe.task, recipe.data if source is None else source)
    dataset, _, _ = _read_and_check(task, recipe, source)
    return advise_on(recipe, dataset, task, recipe.threads or usable_cores(), progress or SilentProgress())


def augment(
    recipe: Recipe, *, copies: int, strength: float, source: Any = None, progress: Progress | None = None
) -> AugmentedTable:
    """The data with views of its texts beside them; those that `fit` learns from, where nothing else is asked for.

    Args:
        recipe: the data, its columns, the augmentations' names and the seed.
        copies: views of each text.
        strength: share of a text's words that is changed.
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
    return augment_table(table, columns, policy, RunContext(Path(), recipe.seed, progress=progress or SilentProgress()))


def compress(
    bundle: Path,
    out: Path,
    wishes: Wishes,
    *,
    data: Any = None,
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
        return _with_report(manifest, {key: value for key, value in files.items() if key != "report.html"}, name)

    known = catalog.compressors()
    return compress_bundle(
        bundle, out, wishes, task, known, run, data=data, recipe=recipe, overwrite=overwrite, private=private
    )


def default_out(recipe: Recipe) -> Path:
    """`./<data name>.fewtune`."""
    stem = Path(recipe.data).name if recipe.data and recipe.data != "-" else "model"
    return Path(f"{Path(stem).stem or stem}.fewtune")


def _read_and_check(task: Task, recipe: Recipe, source: Any) -> tuple[Dataset, Dataset | None, list[Finding]]:
    dataset, test = _read(task, recipe, source)
    findings = [*task.check(dataset, test), *_check_model(task, recipe, dataset)]
    for finding in findings:
        if finding.level == "error":
            raise DataError(finding.what, where=", ".join(finding.places), how=finding.how)
    return dataset, test, findings


def _read(task: Task, recipe: Recipe, source: Any) -> tuple[Dataset, Dataset | None]:
    if source is None and not recipe.data:
        raise RecipeError("No data was given.", where="DATA", how="For example: fewtune fit tickets.csv")
    dataset = task.read(recipe.data if source is None else source, recipe, "fit")
    return dataset, task.read(recipe.test, recipe, "evaluate") if recipe.test else None


def _check_model(task: Task, recipe: Recipe, dataset: Dataset) -> list[Finding]:
    if recipe.model == "auto":
        return []
    info = catalog.find_backbone(recipe.model, task).info
    if info.task != "text":
        return []
    return check_language([example.input for example in dataset], info.languages, info.name)


def _nothing_to_try(not_offered: Sequence[LeftOut]) -> UserError:
    reasons = "; ".join(f"{left_out.name}: {left_out.why}" for left_out in not_offered)
    return RecipeError(f"There is nothing to try: {reasons}.", how="Use --method auto, or install what is missing.")


def _climb(
    tuners: Sequence[Tuner], dataset: Dataset, recipe: Recipe, task: Task, run: RunContext
) -> tuple[Climb, tuple[LeftOut, ...]]:
    """Climb the ladder; where not even the rungs asked for could be had, the frozen ones stand in for them."""
    resampling = task.resample(dataset, run)
    candidates, not_offered = _offers(tuners, dataset, recipe)
    if not candidates:
        raise _nothing_to_try(not_offered)
    temperature = recipe.settings.get("temperature")
    try:
        return climb(candidates, dataset, resampling, task, run, temperature=temperature), not_offered
    except NothingTriedError as error:
        stand_ins = catalog.stand_ins(recipe, task)
        if not stand_ins:
            raise RecipeError(f"Nothing could be tuned: {error}.", where=f"--method {recipe.method}") from None
        run.progress.say(f"The frozen encoder stands in for {recipe.method}: {error}")
        instead, more = _offers(stand_ins, dataset, recipe)
        return climb(
            instead, dataset, resampling, task, run, temperature=temperature
        ), not_offered + error.left_out + more


def _fit_winner(climbed: Climb, dataset: Dataset, run: RunContext) -> tuple[Climb, Fitted]:
    """Tune the winner on everything; where that fails, the next best stands in for it."""
    while True:
        winner = climbed.winner
        try:
            return climbed, winner.candidate.fit(dataset, winner.trial.settings, run)
        except TuningError as error:
            if len(climbed.winners) == 1:
                raise RecipeError(f"Nothing could be tuned on all of the data: {error}.") from None
            run.progress.say(f"{winner.candidate.name} could not be tuned on everything ({error}); the next best is")
            climbed = climbed.without_winner(f"on all of the data, {error}")


def _offers(tuners: Sequence[Tuner], dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], tuple[LeftOut, ...]]:
    offers = [tuner.candidates(dataset, recipe) for tuner in tuners]
    candidates = [candidate for found, _ in offers for candidate in found]
    return candidates, tuple(reason for _, left_out in offers for reason in left_out)


def _open_run(
    out: Path, recipe: Recipe, dataset: Dataset, threads: int, resume: bool, progress: Progress
) -> RunContext:
    """The work in progress: fresh, or the interrupted run's if it was the same work."""
    work = out.with_name(f"{out.name}.work")
    state = work / "run.json"
    wanted = {
        "fewtune_version": _version("fewtune"),
        "data_sha256": dataset.sha256,
        **recipe.model_dump(exclude={"data", "budget"}),
        "threads": threads,
    }
    if resume and state.is_file():
        _check_same_work(state, wanted)
    else:
        with output_errors(work):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            write_atomically(state, json.dumps(wanted, ensure_ascii=False).encode())
    return RunContext(work, recipe.seed, threads, progress, Journal(work), recipe.budget_seconds)


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


def _with_tune_seconds(climbed: Climb, fitted: Fitted) -> tuple[Rung, ...]:
    rungs = list(climbed.rungs)
    rungs[climbed.winner.place] = replace(rungs[climbed.winner.place], tune_seconds=fitted.seconds)
    return tuple(rungs)


def _learning_curve(
    task: Task,
    dataset: Dataset,
    resolved: Recipe,
    climbed: Climb,
    rungs: Sequence[Rung],
    scores: Scores,
    run: RunContext,
) -> LearningCurve:
    """What was taken, trained on parts of the data, where the budget allows; and what more labels would bring."""
    winner, rung = climbed.winner, rungs[climbed.winner.place]
    # The clock decides once: a resumed run draws the same curve.
    folds = run.journal.once("folds of the learning curve", lambda: _curve_folds(rungs, rung, winner.resampling, run))
    resampling = winner.resampling.first(max(1, folds))
    points: list[CurvePoint] = []
    if folds:
        with run.progress.step("Learning curve", total=len(FRACTIONS)) as step:
            for fraction in FRACTIONS:
                point = _curve_point(task, dataset, resolved, resampling, fraction, run)
                if point is None:
                    points = []
                    break
                points.append(point)
                step.advance()
    full = _scored_on(task, dataset, winner.trial.log_probs, resampling)
    now = scores[task.primary_metric]
    return learning_curve(rung.name, task.primary_metric, [*points, full], now, len(dataset), len(dataset.labels))


def _curve_folds(rungs: Sequence[Rung], rung: Rung, resampling: Resampling, run: RunContext) -> int:
    """How many of the folds the learning curve is measured on; 0 where the budget has no room for it."""
    members = [some.seconds for some in rungs if some.name in rung.name.split(" + ")]
    seconds = sum(FRACTIONS) * (sum(members) or rung.seconds)
    allowed = min(_CURVE_SHARE * run.budget_seconds, run.seconds_left / 2)
    if seconds <= allowed:
        return len(resampling.splits)
    return 1 if seconds / len(resampling.splits) <= allowed else 0


def _curve_point(
    task: Task, dataset: Dataset, resolved: Recipe, resampling: Resampling, fraction: float, run: RunContext
) -> CurvePoint | None:
    """What training on a part gives; None where it could not be had, or not on all of the folds."""
    some = smaller(
        resampling, task.targets(dataset, dataset.labels), fraction, run.generator("learning curve", fraction)
    )
    # Trainings on parts are others than those of the journal, whatever their folds are called.
    place = run.work / f"curve-{fraction}"
    place.mkdir(exist_ok=True)
    apart = replace(run, journal=Journal(place), budget_seconds=max(1.0, run.seconds_left), progress=SilentProgress())
    (candidate,), _ = _offers(catalog.find_tuners(resolved, task), dataset, resolved)
    try:
        (trial,) = candidate.cross_fit(dataset, some, apart)
    except TuningError:
        return None
    answered = np.asarray(np.isfinite(trial.log_probs[:, :, 0]).any(axis=0))
    if not all(answered[split.valid].all() for split in some.splits):
        return None
    return _scored_on(task, dataset, trial.log_probs, some)


def _scored_on(task: Task, dataset: Dataset, log_probs: FloatArray, resampling: Resampling) -> CurvePoint:
    """Out-of-fold answers scored on these folds alone."""
    kept = np.full_like(log_probs[: resampling.repeats], np.nan)
    for number, split in enumerate(resampling.splits):
        repeat = number // resampling.folds if len(resampling.splits) > 1 else 0
        if repeat < len(log_probs):
            kept[repeat, split.valid] = log_probs[repeat, split.valid]
    scores = task.score(dataset, dataset.labels, kept, resampling.groups, how=resampling.name, out_of_fold=True)
    return CurvePoint(training_size(resampling), scores[task.primary_metric])


def _with_scope(fitted: Fitted, rules: AnswerRules) -> Fitted:
    """With the class means among the files of the bundle, where inputs of another kind can be told by them."""
    if rules.scope_threshold is None or fitted.class_means is None:
        return fitted
    from safetensors.numpy import save

    content = save({"class_means": np.ascontiguousarray(fitted.class_means, np.float32)})
    return replace(fitted, assets={**fitted.assets, SCOPE_FILE: content})


def _evaluate(task: Task, dataset: Dataset, test: Dataset | None, tested: FloatArray | None, climbed: Climb) -> Scores:
    """On the test data where there is some; else out of fold, corrected for the choice among the trials."""
    if test is not None and tested is not None:
        how = f"on {len(test)} test examples ({test.source}) that chose nothing"
        return task.score(test, dataset.labels, tested, task.groups(test), how=how)
    how = f"out of fold ({climbed.winner.resampling.name}), corrected for the choice among what was tried"
    groups = climbed.winner.resampling.groups
    log_probs = climbed.winner.trial.log_probs
    return task.score(dataset, dataset.labels, log_probs, groups, how=how, optimism=climbed.optimism, out_of_fold=True)


def _resolved(recipe: Recipe, task: Task, climbed: Climb, threads: int) -> Recipe:
    """The recipe that makes this model again, without the search."""
    return recipe.model_copy(
        update={
            "data": Path(recipe.data).name,
            "test": Path(recipe.test).name if recipe.test else "",
            "task": task.name,
            "method": climbed.winner.candidate.method,
            # A blend names its members' models in its settings.
            "model": "auto" if climbed.winner.candidate.method == "blend" else climbed.winner.candidate.model or "auto",
            # The views that a blend's members learn from are in its settings too.
            "augment": climbed.winner.trial.settings.get("augment", "none"),
            "threads": threads,
            "settings": dict(climbed.winner.trial.settings),
        }
    )


def _manifest(
    task: Task,
    dataset: Dataset,
    recipe: Recipe,
    climbed: Climb,
    rungs: tuple[Rung, ...],
    not_offered: tuple[LeftOut, ...],
    fitted: Fitted,
    scores: Scores,
    started: float,
) -> Manifest:
    backbone = fitted.backbone
    licences = [{"part": "the code around the weights (fewtune)", "licence": "Apache-2.0"}]
    if climbed.winner.candidate.model:
        licences.append(
            {"part": f"the pretrained weights ({climbed.winner.candidate.model})", "licence": backbone["licence"]}
        )
    licences.append({"part": "what was learnt from the data", "licence": "the data's owner decides"})
    return Manifest(
        task=task.name,
        method=climbed.winner.candidate.method,
        model=climbed.winner.candidate.model,
        labels=dataset.labels,
        backbone=backbone,
        recipe=recipe.model_dump(),
        primary_metric=task.primary_metric,
        scores=scores_as_json(scores),
        resampling=climbed.winner.resampling.name,
        rungs=tuple(rung_as_json(rung) for rung in rungs),
        left_out=tuple(left_out_as_json(left_out) for left_out in not_offered + climbed.left_out),
        notes=dataset.notes,
        data={
            "name": dataset.source,
            "sha256": dataset.sha256,
            "examples": len(dataset),
            "per_class": dict(Counter(example.target for example in dataset)),
        },
        licences=tuple(licences),
        versions=_versions(),
        machine=describe_machine(recipe.threads),
        seconds=round(time.monotonic() - started, 3),
        peak_memory_mb=round(peak_memory_mb(), 1),
        graphs=fitted.contracts,
        fewtune_version=_version("fewtune"),
    )


def _versions() -> dict[str, str]:
    return {name: _version(name) for name in _LIBRARIES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _private(
    dataset: Dataset,
    test: Dataset | None,
    tested: FloatArray | None,
    climbed: Climb,
    suspects: Sequence[Suspect] | None,
) -> dict[str, bytes]:
    """What holds training content: answers to examples that were not seen (first repeat), and suspected labels."""
    files = {
        "out_of_fold.jsonl": _answers(dataset, dataset.labels, climbed.winner.trial.log_probs[0]),
    }
    if suspects is not None:
        files["label_issues.jsonl"] = _json_lines(asdict(suspect) for suspect in suspects)
    if test is not None and tested is not None:
        files["test.jsonl"] = _answers(test, dataset.labels, tested)
    return files


def _with_report(manifest: Manifest, private: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    page = render_report(asdict(manifest), read_private(private), name)
    return {**private, "report.html": page.encode("utf-8", "surrogatepass")}


def _answers(dataset: Dataset, labels: Sequence[str], log_probs: FloatArray) -> bytes:
    """A JSON line an example: its label, and what the model answered."""

    def line(example: Example, row: FloatArray) -> dict[str, Any]:
        found = {"place": example.place, "text": example.input, "label": example.target}
        if not np.isnan(row[0]):
            found |= {"prediction": labels[int(row.argmax())], "confidence": round(float(np.exp(row.max())), 6)}
        return found

    return _json_lines(map(line, dataset, log_probs))


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogatepass")


def _check_parity(built: Path, task: Task, dataset: Dataset, fitted: Fitted, threads: int) -> None:
    """The written bundle must answer as the tuner does."""
    step = max(1, len(dataset) // _PARITY_INPUTS)
    inputs = [*(example.input for example in dataset.examples[::step]), *task.odd_inputs]
    _, runtime = open_bundle(built, threads=threads)
    gap = np.abs(np.exp(runtime.log_probs(inputs)) - np.exp(fitted.reference(inputs))).max()
    if not gap <= _PARITY_TOLERANCE:
        raise InternalError(
            f"The written bundle's probabilities differ from the tuned model's by up to {gap:.2g}.", where=str(built)
        )
