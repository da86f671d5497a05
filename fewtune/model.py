"""A tuned model: what `fit` returns and `load` opens."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fewtune import catalog, next_labels, pipeline, under_attack
from fewtune.bundle.manifest import scores_from_json
from fewtune.bundle.read import read_manifest, verify
from fewtune.bundle.write import output_errors, publish
from fewtune.data.read.glossary import read_glossary
from fewtune.errors import RecipeError
from fewtune.evaluate.structured import structured_scores
from fewtune.interfaces import ClassifierTask, Inputs, StructuredTask, Task
from fewtune.progress import Progress, SilentProgress
from fewtune.recipe import Recipe, make_recipe
from fewtune.runtime import Runtime, open_runtime
from fewtune.runtime.answers import answers, read_class_means
from fewtune.runtime.classification import ClassifierRuntime
from fewtune.runtime.translation import TranslationRuntime
from fewtune.types import Answer, AttackResult, FitResult, FloatArray, Scores, Suggestions
from fewtune.under_attack import AttackWishes


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores on labelled data.

    Attributes:
        scores: each with its interval; `scores["accuracy"].value`.
        notes: what was decided while reading the data, in words.
    """

    scores: Scores
    notes: tuple[str, ...]


class Model:
    """A bundle, opened for predictions."""

    def __init__(self, folder: Path, *, threads: int = 0) -> None:
        """Open a bundle; `load` and `fit` call this.

        Raises:
            BundleError: there is none, or a file is missing or altered.
        """
        self.bundle = folder
        self.manifest = read_manifest(folder)
        verify(folder, self.manifest)
        self._threads = threads
        self.result: FitResult | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @cached_property
    def _runtime(self) -> Runtime:
        """The graphs, opened at the first prediction."""
        return open_runtime(self.bundle, self.manifest, threads=self._threads)

    @property
    def _classifier(self) -> ClassifierRuntime:
        if isinstance(self._runtime, ClassifierRuntime):
            return self._runtime
        raise RecipeError(f"A bundle for {self.task} has no probabilities of classes.", where=str(self.bundle))

    @property
    def _task(self) -> Task:
        """The task as it reads data for this bundle."""
        return catalog.find_task(self.task).for_bundle(self.bundle)

    def __repr__(self) -> str:
        """Task, method and place."""
        return f"<fewtune.Model {self.manifest.task}, {self.manifest.method}, {self.bundle}>"

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.manifest.task

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the columns of `predict_proba`."""
        return self.manifest.labels

    @property
    def scores(self) -> Scores:
        """What the fit estimated the model to be worth on new data."""
        return scores_from_json(self.manifest.scores)

    def use_glossary(self, source: Any) -> None:
        """Hold translations to a glossary from now on, in place of the one that the bundle was fitted with.

        Args:
            source: a table of terms with their translations, as a path, a DataFrame or a list of dictionaries.

        Raises:
            RecipeError: the bundle does not translate, or protects nothing.
            DataError: it cannot be read, or a term has two translations.
        """
        if not isinstance(self._runtime, TranslationRuntime):
            raise RecipeError(
                f"A glossary is for translations, and this bundle is for {self.task}.",
                where="--glossary",
                how="Leave it out.",
            )
        self._runtime.use_glossary(read_glossary(source, self._runtime.languages))

    def predict(self, inputs: Sequence[Any], *, progress: Progress | None = None) -> list[Any]:
        """The answer to each input: its likeliest label; or its boxes, its mask, its translation.

        Args:
            inputs: n texts; or n pictures, as paths or opened by Pillow.
            progress: where progress is shown.

        Raises:
            TypeError: `inputs` is one input instead of a list, or holds something else than the model reads.
            DataError: a picture cannot be read.
        """
        if isinstance(self._runtime, ClassifierRuntime):
            return [self.labels[i] for i in self.predict_proba(inputs, progress=progress).argmax(axis=1)]
        checked = self._runtime.checked(inputs)
        with (progress or SilentProgress()).step("Predict", total=len(checked)) as step:
            return self._runtime.answers(checked, step=step)

    def predict_proba(self, inputs: Sequence[Any], *, progress: Progress | None = None) -> FloatArray:
        """Probabilities.

        Args:
            inputs: n texts; or n pictures, as paths or opened by Pillow.
            progress: where progress is shown.

        Returns:
            (n, classes), rows summing to 1, columns in the order of `labels`.

        Raises:
            TypeError: `inputs` is one input instead of a list, or holds something else than the model reads.
            DataError: a picture cannot be read.
            RecipeError: the bundle does not sort into classes.
        """
        checked = self._classifier.checked(inputs)
        with (progress or SilentProgress()).step("Predict", total=len(checked)) as step:
            return np.exp(self._classifier.log_probs(checked, step=step))

    def read_inputs(self, source: Any, *, text: str = "") -> Inputs:
        """Read what is to be predicted from a file, a folder or a glob; `text` names a column.

        Raises:
            DataError: it cannot be read.
        """
        return self._task.inputs(source, Recipe(text=text))

    def answer(
        self,
        inputs: Sequence[Any],
        *,
        max_error: float | None = None,
        coverage: float | None = None,
        progress: Progress | None = None,
    ) -> list[Answer]:
        """Predictions that say when they are unsure, and which labels are possible.

        Args:
            inputs: as for `predict_proba`.
            max_error: highest share of errors among the answers that are not unsure, such as 0.05; inputs of
                another kind than what the model learnt from are unsure too. None: none is.
            coverage: how often the true label is to be among an answer's `labels`, such as 0.9; None: none are
                listed.
            progress: where progress is shown.

        Raises:
            TypeError: as for `predict_proba`.
            RecipeError: the bundle does not sort into classes, promises no such share of errors, or the coverage is
                not between 0 and 1.
        """
        checked = self._classifier.checked(inputs)
        with (progress or SilentProgress()).step("Predict", total=len(checked)) as step:
            log_probs, features = self._classifier.log_probs_and_features(checked, step=step)
        means = None if max_error is None else read_class_means(self.bundle, self.manifest)
        return answers(self.manifest, np.exp(log_probs), features, means, max_error=max_error, coverage=coverage)

    def suggest(
        self,
        inputs: Any,
        n: int = 20,
        *,
        labeled: Any = None,
        text: str = "",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Suggestions:
        """Which inputs to label next: those whose labels would teach the model most.

        Args:
            inputs: what could be labelled: a list of inputs, a path or a DataFrame.
            n: how many are wanted; there are fewer where the pool does not give so many.
            labeled: labelled data beyond what the model learnt from; nothing like it is suggested.
            text: name of the text column, where it is not found by itself.
            seed: draws from a pool too large to be looked at.
            progress: where progress is shown.

        Raises:
            UserError: the pool cannot be read, is empty, is of another task, or nothing in it is new.
        """
        recipe = Recipe(text=text, seed=seed, threads=self._threads)
        opened = self.for_suggestions()
        found, _ = next_labels.suggest(
            inputs, count=n, opened=opened, labelled=labeled, recipe=recipe, progress=progress
        )
        return found

    def for_suggestions(self) -> next_labels.Opened:
        """The bundle as `next_labels.suggest` takes it."""
        return next_labels.Opened(self.bundle, self.manifest, self._runtime)

    def evaluate(self, data: Any, *, text: str = "", label: str = "", progress: Progress | None = None) -> Evaluation:
        """Score the model on labelled data.

        Args:
            data: a path, a DataFrame, or a list of (input, label) pairs; inputs are texts, or pictures by their paths.
            text, label: column names, where they are not found by themselves.
            progress: where progress is shown.

        Raises:
            DataError: the data cannot be read, or has a label that the model does not know.
        """
        task = self._task
        dataset = task.read(data, Recipe(text=text, label=label), "evaluate")
        inputs = [example.input for example in dataset]
        groups, how = task.groups(dataset), f"on {len(dataset)} examples ({dataset.source})"
        if isinstance(task, StructuredTask):
            answers = self.predict(inputs, progress=progress)
            return Evaluation(structured_scores(task, dataset, self.labels, answers, groups, how=how), dataset.notes)
        assert isinstance(task, ClassifierTask)
        task.targets(dataset, self.labels)
        with (progress or SilentProgress()).step("Predict", total=len(inputs)) as step:
            log_probs = self._classifier.log_probs(inputs, step=step)
        return Evaluation(task.score(dataset, self.labels, log_probs, groups, how=how), dataset.notes)

    def attack(
        self,
        data: Any,
        recipe: str = "deepwordbug",
        n: int = 100,
        *,
        max_queries: int = 1000,
        budget: str = "5m",
        seed: int = 0,
        text: str = "",
        label: str = "",
        resume: bool = False,
        progress: Progress | None = None,
    ) -> AttackResult:
        """Attack the model with one of TextAttack's recipes; the bundle's report shows it from then on.

        Args:
            data: labelled texts: a path, a DataFrame, or a list of (text, label) pairs.
            recipe: TextAttack's name: "deepwordbug", "textfooler", ...
            n: how many texts are drawn from the data and looked at.
            max_queries: most questions to the model for one text; 0: any number.
            budget: time to spend, e.g. "90s", "5m".
            seed: where all randomness comes from.
            text, label: column names, where they are not found by themselves.
            resume: go on where an interrupted attack stopped.
            progress: where progress is shown.

        Raises:
            MissingExtraError: there is no environment with TextAttack.
            UserError: the recipe, the data or the bundle's task is not one that can be attacked.
        """
        under_attack.check_bundle(self.bundle, self.manifest)
        wishes = AttackWishes(recipe, n, max_queries)
        settings = make_recipe({"text": text, "label": label, "budget": budget, "seed": seed, "threads": self._threads})
        found = under_attack.attack(
            self.bundle,
            self.manifest,
            self._classifier,
            data,
            wishes,
            recipe=settings,
            resume=resume,
            progress=progress,
        )
        self.manifest = read_manifest(self.bundle)
        return found

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Copy the bundle.

        Raises:
            OutputError: the place is taken, or cannot be written to.
        """
        out = Path(folder)
        partial = out.with_name(f".{out.name}.partial")
        with output_errors(out):
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(self.bundle, partial)
        try:
            publish(partial, out, overwrite=overwrite)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return out


def suggest(
    inputs: Any,
    n: int = 20,
    *,
    labeled: Any = None,
    text: str = "",
    model: str = "auto",
    seed: int = 0,
    threads: int = 0,
    progress: Progress | None = None,
) -> Suggestions:
    """Which inputs to label first, where nothing is learnt yet; `Model.suggest` says which next.

    Args:
        inputs: what could be labelled: a list of inputs, a path or a DataFrame.
        n: how many are wanted; there are fewer where the pool does not give so many.
        labeled: what is labelled already; nothing like it is suggested.
        text: name of the text column, where it is not found by itself.
        model: the pretrained model that looks at the inputs, by name or folder; "auto" takes one that reads them.
        seed: draws from a pool too large to be looked at.
        threads: threads to use; 0: all cores that this process may use.
        progress: where progress is shown.

    Raises:
        UserError: the pool cannot be read, is empty, or nothing in it is new.
    """
    recipe = Recipe(text=text, model=model, seed=seed, threads=threads)
    found, _ = next_labels.suggest(inputs, count=n, labelled=labeled, recipe=recipe, progress=progress)
    return found


def load(folder: str | Path, *, threads: int = 0) -> Model:
    """Open a bundle.

    Args:
        folder: the bundle.
        threads: how many threads a prediction may use; 0: all cores that this process may use.

    Raises:
        BundleError: there is no bundle, or a file of it is missing or altered.
    """
    return Model(Path(folder), threads=threads)


def load_files(files: Mapping[str, bytes], *, threads: int = 0) -> Model:
    """Open a bundle whose files are in memory; it lives in a temporary folder that goes with the model.

    Raises:
        BundleError: a file is missing or altered.
    """
    folder = tempfile.TemporaryDirectory(prefix="fewtune-")
    for name, content in files.items():
        (Path(folder.name) / name).write_bytes(content)
    model = load(folder.name, threads=threads)
    model._temporary = folder
    return model


def fit(
    data: Any = None,
    *,
    out: str | Path | None = None,
    test: Any = None,
    labels: str | Sequence[str] = "",
    unlabeled: Any = None,
    task: str = "auto",
    text: str = "",
    label: str = "",
    group: str = "",
    glossary: str = "",
    model: str = "auto",
    method: str = "auto",
    augment: str = "auto",
    compress: str = "auto",
    budget: str = "5m",
    seed: int = 0,
    threads: int = 0,
    settings: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Model:
    """Tune a model on labelled data.

    Args:
        data: a path, a DataFrame, or a list of (input, label) pairs; inputs are texts, or pictures by their paths.
        out: where the bundle is written; None: a temporary place that goes with the model (see `Model.save`).
        test: labelled data to score the finished model on, given as `data` is; it never chooses anything.
        labels: where nothing is labelled yet, the names of the classes, or a file of them: a first model is made of
            their meaning and of `unlabeled` texts.
        unlabeled: inputs without a label that may be learnt from too: a path, a DataFrame or a list; kept where the
            folds say that it pays.
        task: what is learnt; "auto" finds it from the data.
        text, label, group: column names, where they are not found by themselves.
        glossary: a table of terms with the translations that they are to have.
        model: a pretrained model by name or folder; "auto" tries all that fit.
        method: how to tune; "auto" climbs the ladder.
        augment: views of what is learnt from: "auto" keeps what helps, "none", or names with commas between them.
        compress: what makes the tuned model smaller, where that is measured to cost nothing: "auto" tries int8 where
            it is not in integers already, "none", or names of compressors.
        budget: time to spend, e.g. "90s", "5m".
        seed: where all randomness comes from.
        threads: threads to use; 0: all cores that this process may use.
        settings: hyper-parameters of the method.
        overwrite: replace a bundle that stands at `out`.
        progress: where progress is shown.

    Raises:
        UserError: the data, a setting or the place cannot be used; says what, where and how to mend it.
    """
    is_path, pool_is_path = isinstance(data, str | Path), isinstance(unlabeled, str | Path)
    test_is_path = isinstance(test, str | Path)
    recipe = make_recipe(
        {
            "data": str(data) if is_path else "",
            "test": str(test) if test_is_path else "",
            "labels": labels if isinstance(labels, str) else ",".join(labels),
            "unlabeled": str(unlabeled) if pool_is_path else "",
            "task": task,
            "text": text,
            "label": label,
            "group": group,
            "glossary": str(glossary),
            "model": str(model),
            "method": method,
            "augment": augment,
            "compress": compress,
            "budget": budget,
            "seed": seed,
            "threads": threads,
            "settings": settings or {},
        }
    )
    temporary = tempfile.TemporaryDirectory(prefix="fewtune-") if out is None else None
    place = Path(temporary.name) / "model.fewtune" if temporary else Path(str(out))
    result = pipeline.fit(
        recipe,
        source=None if is_path else data,
        test=None if test_is_path else test,
        unlabelled=None if pool_is_path else unlabeled,
        out=place,
        overwrite=overwrite,
        progress=progress,
    )
    tuned = Model(result.bundle, threads=threads)
    tuned.result = result
    tuned._temporary = temporary
    return tuned
