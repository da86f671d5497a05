"""Learn from the names of classes alone: nothing is chosen, and without test data nothing is measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewtune import catalog
from fewtune.backbones.text_encoder import TextEncoder
from fewtune.data.language import main_languages
from fewtune.errors import RecipeError
from fewtune.interfaces import ClassifierTask, RunContext
from fewtune.label.names import is_file_of_names
from fewtune.learn.learnt import Learnt, parity_inputs, resolved
from fewtune.recipe import Recipe
from fewtune.runtime.classification import ClassifierRuntime
from fewtune.tune.label_names import METHOD, fit_names
from fewtune.types import Dataset, Rung, Score, Scores, UnlabelledGain

HOW = "on nothing: it was made of the names of its classes alone, without any label"
WORDS = (
    "Nothing measured how good it is: label fifty texts, and let evaluate say, before anything rests on its answers."
)
_PARITY_TOLERANCE = 1e-4
# A language that fewer of the texts are in does not rule an encoder out.
_LANGUAGE_SHARE = 0.1


def learn_names(
    task: ClassifierTask, dataset: Dataset, test: Dataset | None, recipe: Recipe, run: RunContext
) -> Learnt:
    """A first model.

    Args:
        task: classification of texts.
        dataset: a name an example, and unlabelled inputs.
        test: labelled examples to score the model on, if any.
        recipe: the model, and what is resolved.
        run: what all parts share.

    Raises:
        RecipeError: no encoder that is installed reads the names and the texts.
    """
    assert dataset.unlabelled is not None
    encoder = _encoder(dataset, recipe)
    fitted = fit_names(encoder, dataset, run)
    scores = Scores({task.primary_metric: Score(math.nan, None, None, 0)}, how=HOW)
    if test is not None:
        answers = fitted.reference([example.input for example in test])
        how = f"on {len(test)} test examples ({test.source}) that chose nothing"
        scores = task.score(test, dataset.labels, answers, task.groups(test), how=how)
    name = f"{METHOD}:{encoder.info.name}"
    unknown = Scores({task.primary_metric: Score(math.nan, None, None, 0)}, how=HOW)
    rung = Rung(name, METHOD, encoder.info.name, {}, unknown, math.nan, 0.0, tune_seconds=fitted.seconds)
    again = resolved(
        recipe, task, method=METHOD, model=encoder.info.name, settings={}, augment="none", threads=run.threads
    )

    def disagreement(runtime: ClassifierRuntime) -> float:
        assert dataset.unlabelled is not None
        inputs = [*parity_inputs(task, dataset), *dataset.unlabelled.inputs[:: max(1, len(dataset.unlabelled) // 32)]]
        return float(np.abs(np.exp(runtime.log_probs(inputs)) - np.exp(fitted.reference(inputs))).max())

    return Learnt(
        fitted=fitted,
        recipe=again.model_copy(update={"unlabeled": Path(recipe.unlabeled).name, "labels": _name(recipe.labels)}),
        model=encoder.info.name,
        scores=scores,
        rungs=(rung,),
        left_out=(),
        resampling="no folds: there are no labels",
        private={},
        disagreement=disagreement,
        parity_tolerance=_PARITY_TOLERANCE,
        unlabelled=UnlabelledGain(
            source=dataset.unlabelled.source,
            sha256=dataset.unlabelled.sha256,
            inputs=len(dataset.unlabelled),
            rung=name,
            against="",
            log_loss=None,
            without=None,
            kept=True,
            words=f"{len(dataset.unlabelled):,} unlabelled inputs: the model learnt from them."
            + ("" if test else f" {WORDS}"),
        ),
    )


def _encoder(dataset: Dataset, recipe: Recipe) -> TextEncoder:
    """The one that is asked for, or the last of those that read the names and the texts."""
    if recipe.model != "auto":
        return catalog.find_encoder(recipe.model)
    assert dataset.unlabelled is not None
    names, texts = [example.input for example in dataset], list(dataset.unlabelled.inputs)
    needed = [*_languages(names, 0.0), *_languages(texts, _LANGUAGE_SHARE)]
    usable = [some for some in catalog.encoders().values() if some.info.installed and some.info.reads_all(needed)]
    if not usable:
        raise RecipeError(
            f"No encoder that is installed reads the names and the texts ({', '.join(dict.fromkeys(needed))}).",
            where="--labels",
            how="`fewtune models` lists those that can be installed; label a few texts, or name one with --model.",
        )
    return usable[-1]


def _name(labels: str) -> str:
    return Path(labels).name if is_file_of_names(labels) else labels


def _languages(texts: Sequence[str], share: float) -> list[str]:
    return [language for language, some in main_languages(texts).items() if some >= share]
