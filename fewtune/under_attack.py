"""A finished model under attack: read the data, draw, attack, sum up, and keep it in the bundle and its report."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fewtune import catalog, pipeline
from fewtune.attack.attack import Target, attack_texts, attackable, check_resources, summarise
from fewtune.attack.process import AttackProcess, the_process
from fewtune.attack.recipes import AttackRecipe, find_recipe
from fewtune.bundle.manifest import Manifest
from fewtune.bundle.write import PRIVATE, output_errors, replace_folder, write_contents
from fewtune.errors import RecipeError
from fewtune.interfaces import ClassifierTask, RunContext
from fewtune.journal import Journal
from fewtune.progress import Progress, SilentProgress
from fewtune.recipe import Recipe
from fewtune.report.data import ATTACKS
from fewtune.runtime.classification import ClassifierRuntime
from fewtune.runtime.threads import usable_cores
from fewtune.types import AttackedText, AttackResult, Dataset

TASK = "text-classification"


class AttackInterrupted(KeyboardInterrupt):
    """Ctrl-C; `result` is what was done so far."""

    def __init__(self, result: AttackResult) -> None:
        super().__init__()
        self.result = result


@dataclass(frozen=True, slots=True)
class AttackWishes:
    """What is asked for.

    Attributes:
        recipe: name of one of TextAttack's recipes.
        count: how many texts are drawn from the data.
        max_queries: most questions to the model for one text; 0: any number.
    """

    recipe: str = "deepwordbug"
    count: int = 100
    max_queries: int = 1000

    def check(self) -> AttackRecipe:
        """The recipe. Raises RecipeError where a wish cannot be."""
        if self.count < 1:
            raise RecipeError(f"{self.count} texts cannot be attacked.", where="-n", how="Give a number from 1.")
        if self.max_queries < 0:
            raise RecipeError(
                f"The model cannot be asked {self.max_queries} times.", where="--queries", how="Give a number from 0."
            )
        return find_recipe(self.recipe)


def check_bundle(folder: Path, manifest: Manifest) -> None:
    """Raises RecipeError where a bundle is for another task than attacks are."""
    if manifest.task != TASK:
        raise RecipeError(
            f"What is attacked sorts texts into classes, and this bundle is for {manifest.task}.",
            where=str(folder),
            how=f"Give a bundle for {TASK}.",
        )


def attack(
    folder: Path,
    manifest: Manifest,
    runtime: ClassifierRuntime,
    data: Any,
    wishes: AttackWishes,
    *,
    recipe: Recipe | None = None,
    resume: bool = False,
    process: AttackProcess | None = None,
    progress: Progress | None = None,
) -> AttackResult:
    """Attack a bundle.

    The bundle keeps the result: bundle.json its summary, private/ its examples and a new report. An earlier one of
    the same recipe goes.

    Args:
        folder, manifest, runtime: the bundle, opened.
        data: labelled texts.
        wishes: how, and how many.
        recipe: columns, seed, budget.
        resume: go on where an interrupted attack stopped.
        process: where TextAttack runs; None: the process that this one's jobs share.
        progress: where progress is shown.

    Raises:
        UserError: the bundle is of another task, the data or a wish cannot be used, or TextAttack is not installed.
        AttackInterrupted: Ctrl-C; what was done so far is kept for `resume`.
    """
    recipe = recipe or Recipe()
    check_bundle(folder, manifest)
    chosen = wishes.check()
    check_resources(chosen)
    task = catalog.find_task(TASK)
    assert isinstance(task, ClassifierTask)
    dataset = task.read(data, recipe, "evaluate")
    task.targets(dataset, manifest.labels)
    kept, left_out = attackable([example.input for example in dataset], chosen)
    process = process or the_process()
    with (progress or SilentProgress()).step("Start TextAttack"):
        process.start()
    wishes = replace(wishes, recipe=chosen.name)
    run = _open_run(folder, manifest, dataset, wishes, recipe, resume, progress or SilentProgress())
    drawn = np.array(kept)[run.generator("attack").permutation(len(kept))[: wishes.count]]
    target = Target(manifest.labels, lambda texts: np.exp(runtime.log_probs(texts)))
    done: list[AttackedText] = []

    def result(stopped: str) -> AttackResult:
        groups = task.groups(dataset)[drawn[: len(done)]]
        name = dataset.source
        summary = summarise(
            done,
            groups,
            chosen,
            run,
            data=name,
            wanted=len(drawn),
            left_out=left_out,
            max_queries=wishes.max_queries,
            stopped=stopped,
        )
        return AttackResult(summary, tuple(done), dataset.notes)

    try:
        examples = [dataset.examples[i] for i in drawn]
        for text in attack_texts(examples, chosen, target, process, run, max_queries=wishes.max_queries):
            done.append(text)
    except KeyboardInterrupt:
        if not done:
            raise
        raise AttackInterrupted(result("interrupted")) from None
    if not done:
        raise RecipeError(
            "The budget was spent before the first text was attacked.", where="--budget", how="Give more."
        )
    found = result("" if len(done) == len(drawn) else "budget")
    if _may_keep(folder):
        keep(folder, manifest, found)
        shutil.rmtree(run.work, ignore_errors=True)
    return found


def _open_run(
    folder: Path,
    manifest: Manifest,
    dataset: Dataset,
    wishes: AttackWishes,
    recipe: Recipe,
    resume: bool,
    progress: Progress,
) -> RunContext:
    """The work in progress, beside the bundle where that can be written to."""
    work = folder.with_name(f"{folder.name}.{wishes.recipe}.work")
    wanted = {
        "graphs": [manifest.files[graph.file].sha256 for graph in manifest.graphs],
        "data_sha256": dataset.sha256,
        "seed": recipe.seed,
        **asdict(wishes),
    }
    journal = pipeline.open_work(work, wanted, resume=resume) if _may_keep(folder) else Journal()
    return RunContext(work, recipe.seed, recipe.threads or usable_cores(), progress, journal, recipe.budget_seconds)


def _may_keep(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and os.access(folder.resolve().parent, os.W_OK)


def keep(folder: Path, manifest: Manifest, result: AttackResult) -> Manifest:
    """Put the result into the bundle, in place of an earlier one of the same recipe.

    Args:
        folder: of the bundle; it is replaced in one step.
        manifest: what it says of itself.
        result: of an attack on it.

    Raises:
        OutputError: the bundle cannot be written to.
    """
    recipe = result.summary.recipe
    others = tuple(some for some in manifest.attacks if some.recipe != recipe)
    manifest = replace(manifest, attacks=(*others, result.summary))
    with output_errors(folder):
        public = {name: (folder / name).read_bytes() for name in manifest.files if name != "README.md"}
        private = {
            name: (folder / PRIVATE / name).read_bytes()
            for name in manifest.private_files
            if (folder / PRIVATE / name).is_file()
        }
        private[ATTACKS] = _examples(private.get(ATTACKS, b""), recipe, result.texts)
        place = folder.resolve()
        private = pipeline.with_report(
            manifest, {name: content for name, content in private.items() if name != "report.html"}, place.name
        )
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as partial:
            built = Path(partial) / place.name
            written = write_contents(built, public, manifest, name=place.name, private=private)
            replace_folder(built, place)
    return written


def _examples(before: bytes, recipe: str, texts: Sequence[AttackedText]) -> bytes:
    """Lines of all recipes' examples, those of this one anew."""
    lines = [json.loads(line) for line in before.decode("utf-8", "surrogatepass").split("\n") if line.strip()]
    lines = [line for line in lines if line["recipe"] != recipe]
    lines += [{"recipe": recipe, **asdict(text)} for text in texts]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode("utf-8", "surrogatepass")
