"""A causal language model is asked which label fits; a linear head learns from its answer and from what it has in mind.

The labels' logits where the answer would begin are a linear map of the last hidden state, and so is the head on both:
one matrix is delivered. Untaught, the answer alone is calibrated against texts that say nothing (contextual
calibration, Zhao et al. 2021, arXiv:2102.09690).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from fewtune.backbones.bert_onnx import with_linear_head
from fewtune.backbones.causal_lm import CausalLM
from fewtune.backbones.prompted import CONTENT_FREE, PromptedLM, prompted
from fewtune.evaluate.scope import class_means, out_of_fold_similarity
from fewtune.interfaces import Candidate, Cost, Fitted, Prior, RunContext, Trial, Tuner
from fewtune.recipe import Recipe
from fewtune.tune.cache import TrunkCache
from fewtune.tune.cross_fit import cross_fit
from fewtune.tune.encoder import TEMPERATURE_HELP, classifier_contract, delivered_mb, seconds_of_all, usable_models
from fewtune.tune.linear_head import (
    STRENGTHS,
    LinearHead,
    class_indices,
    fit_feature_heads,
    heads_seconds,
    label_texts,
)
from fewtune.types import Dataset, FloatArray, IntArray, LeftOut, Resampling, Split

# Seen on SST-2 and TREC-6 (benchmarks/README.md), and taken for a little less sure than there.
_OVER = "head:multilingual-e5-small"
_GAIN = (-0.1, 0.25)
_UNTAUGHT = {"C": 1.0, "untaught": 1}  # C says nothing then
# Beside its own spread, a share of all directions' keeps one that hardly moves from counting as much as they do.
_LEAST_SPREAD = 1e-3
# No processor that this is likely to run on reads faster: multiplications and additions a second.
_FASTEST = 1e12
_CHARACTERS_PER_TOKEN = 4
# Opened at one time while the bundle is tested: the model as it was asked, and the one that is delivered.
_GRAPHS = 2


class PromptTuner(Tuner):
    """Offers one rung for every causal language model that is installed and reads the data's languages."""

    name = "prompt"
    tasks = ("text-classification",)
    settings = {
        "C": "inverse strength of the head's regularisation, as in scikit-learn",
        "untaught": "1: nothing is learnt, the model's own answer is calibrated and taken",
        "temperature": TEMPERATURE_HELP,
    }

    def __init__(self, models: Sequence[CausalLM]) -> None:
        """Choose among these models."""
        self._models = models

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """One rung a model; the others with the reason why not."""
        usable, left_out = usable_models(self.name, self._models, dataset, recipe)
        return [PromptCandidate(model, recipe.settings, alone=recipe.method == self.name) for model in usable], left_out


class PromptCandidate(Candidate):
    """One model with a linear head on what it answers."""

    method = "prompt"

    def __init__(self, model: CausalLM, settings: Mapping[str, Any], *, alone: bool = False) -> None:
        """Ask `model`.

        Args:
            model: is frozen.
            settings: those of the hyper-parameters that are fixed.
            alone: whether no other rung is tried that it could be compared with beforehand.
        """
        self._model = model
        self._fixed = settings
        self.model = model.info.name
        self.name = f"{self.method}:{self.model}"
        self.prior = None if alone else Prior(_OVER, *_GAIN)

    @cached_property
    def _trials(self) -> list[dict[str, float]]:
        if self._fixed.get("untaught"):
            return [dict(_UNTAUGHT)]
        if "C" in self._fixed:
            return [{"C": float(self._fixed["C"]), "untaught": 0}]
        return [dict(_UNTAUGHT), *({"C": strength, "untaught": 0} for strength in STRENGTHS)]

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost:
        """Read a sample of texts and fit heads to it, and scale both up; unless it can be told without that."""
        texts = [example.input for example in dataset]
        tokens = sum(map(len, texts)) / _CHARACTERS_PER_TOKEN
        at_best = tokens * self._model.info.parameters_millions * 1e6 / _FASTEST
        if at_best > run.seconds_left:
            return Cost(once=at_best, each=0.0, final=0.0)
        asked = self._asked(dataset)
        seconds = seconds_of_all(
            lambda some: asked.features(some, threads=run.threads), texts, longest=4 * asked.max_tokens
        )
        width = int(asked.answers.shape[1]) + len(dataset.labels)
        each = heads_seconds(dataset, width, len(self._trials), run)
        return Cost(once=seconds, each=each, final=2.0, delivered_mb=delivered_mb(asked.graph, _GRAPHS))

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Fit every trial's head on every fold of the cached features."""
        asked, targets = self._asked(dataset), class_indices(dataset)
        features = self._features([example.input for example in dataset], asked, run)
        nothing = self._features(CONTENT_FREE, asked, run)

        def fit_fold(split: Split) -> Iterator[FloatArray]:
            for head in self._heads(features[split.train], targets[split.train], asked.answers, nothing):
                yield head.log_probs(features[split.valid])

        shape = (len(dataset), len(dataset.labels))
        trials = cross_fit(resampling, shape, self._trials, fit_fold, run=run, name=f"Folds of {self.name}")
        near = out_of_fold_similarity(features, targets, len(dataset.labels), resampling)
        return tuple(replace(trial, similarity=near) for trial in trials)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Fit the head on all features and put it on the model's graph."""
        started = time.perf_counter()
        asked, targets = self._asked(dataset), class_indices(dataset)
        features = self._features([example.input for example in dataset], asked, run)
        nothing = self._features(CONTENT_FREE, asked, run)
        (head,) = PromptCandidate(self._model, settings)._heads(features, targets, asked.answers, nothing)
        head = head.at(float(settings.get("temperature", 1.0)))
        seconds = time.perf_counter() - started

        def reference(texts: Sequence[str]) -> FloatArray:
            return head.log_probs(self._features(texts, asked, run))

        return Fitted(
            graphs={"model.onnx": with_linear_head(asked.graph, head.weight, head.bias)},
            contracts=(
                classifier_contract(
                    len(head.bias),
                    features.shape[1],
                    ids="ids of tokenizer.json, which puts the prompt around the text; padded at the end",
                    features="what the model has in mind where its answer would begin",
                ),
            ),
            assets={"tokenizer.json": asked.tokenizer_json},
            backbone=_card(self._model, asked, dataset),
            reference=reference,
            seconds=seconds,
            class_means=class_means(features, targets, len(dataset.labels)),
        )

    def _heads(
        self, features: FloatArray, targets: IntArray, answers: FloatArray, nothing: FloatArray
    ) -> Iterator[LinearHead]:
        """A head for every trial, in their order.

        Args:
            features: (n, width) of the training texts.
            targets: (n,) class indices.
            answers: (classes, width): features times these are the labels' logits.
            nothing: (m, width) features of texts that say nothing.
        """
        if self._trials[0]["untaught"]:
            yield LinearHead(np.ascontiguousarray(answers.T), -answers @ nothing.mean(axis=0))
        strengths = [trial["C"] for trial in self._trials if not trial["untaught"]]
        if strengths:
            basis = _basis(features, answers)
            for head in fit_feature_heads(features @ basis, targets, len(answers), strengths):
                yield LinearHead(basis @ head.weight, head.bias)

    def _asked(self, dataset: Dataset) -> PromptedLM:
        return prompted(self._model, tuple(label_texts(dataset.labels)))

    def _features(self, texts: Sequence[str], asked: PromptedLM, run: RunContext) -> FloatArray:
        cache = TrunkCache(run.work / "features", asked.fingerprint)
        return cache.rows(
            texts,
            lambda missing, step: asked.features(missing, threads=run.threads, step=step),
            progress=run.progress,
            name=f"Ask {self.model}",
        )


def _basis(features: FloatArray, answers: FloatArray) -> FloatArray:
    """(width, width + classes): every direction of the features on a scale of its own, beside the labels' logits.

    A few directions of a language model's hidden states are a hundred times as long as the others. All of them
    together count as much as the answer.
    """
    features = features.astype(np.float64)
    spread = features.std(axis=0)
    spread = spread + _LEAST_SPREAD * features.std() + 1e-9
    own = (answers - answers.mean(axis=0)).T
    logits = features @ own
    size = np.sqrt(np.square(logits - logits.mean(axis=0)).sum(axis=1).mean())
    scaled = np.eye(len(spread)) / (spread * np.sqrt(len(spread)))
    # In float64: on rows of float32 the optimiser's line search fails now and then.
    return np.hstack([scaled, own / max(float(size), 1e-9)])


def _card(model: CausalLM, asked: PromptedLM, dataset: Dataset) -> dict[str, Any]:
    info, config = model.info, model.parts.weights.config
    return {
        "name": info.name,
        "licence": info.licence,
        "languages": list(info.languages),
        "package": info.package,
        "max_tokens": asked.max_tokens,
        "prompt": {"before": asked.prompt.before, "after": asked.prompt.after},
        "answers": dict(zip(dataset.labels, label_texts(dataset.labels), strict=True)),
        "config": {
            key: value for key, value in config.items() if key[:1] != "_" and isinstance(value, str | int | float)
        },
    }
