"""Frozen encoder + linear head: the encoder runs once over every text, the head learns from its features.

The label names are texts too. Each can stand as one more training example of its class (its
features centred among the names' own), which at few labels is worth several real ones: a prior
in the sense of learning from class names (Yin, Hay & Roth 2019, arXiv:1909.00161), kept only
where the folds say that it helps.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from fewtune.augment.policy import Policies, Policy
from fewtune.backbones.text_encoder import TextEncoder
from fewtune.evaluate.scope import class_means, out_of_fold_similarity
from fewtune.interfaces import Candidate, Cost, Fitted, Prior, RunContext, Trial, Tuner
from fewtune.recipe import Recipe
from fewtune.tune.augmented import AUGMENT_HELP, VIEWS_GAIN, AugmentedTexts
from fewtune.tune.cache import TrunkCache
from fewtune.tune.cross_fit import cross_fit
from fewtune.tune.encoder import TEMPERATURE_HELP, encoding_seconds, fitted_encoder, usable_encoders
from fewtune.tune.linear_head import (
    STRENGTHS,
    LinearHead,
    class_indices,
    fit_feature_heads,
    heads_seconds,
    label_texts,
)
from fewtune.types import Dataset, FloatArray, IntArray, LeftOut, Resampling, Split

NAME_WEIGHTS = (0.0, 3.0)


class HeadTuner(Tuner):
    """Offers one rung for every encoder that reads the data's languages."""

    name = "head"
    tasks = ("text-classification",)
    settings = {
        "C": "inverse strength of the head's regularisation, as in scikit-learn",
        "temperature": TEMPERATURE_HELP,
        "label_names": "how many training examples each label's name counts as; 0: the names are not read",
        "augment": AUGMENT_HELP,
    }

    def __init__(self, encoders: Sequence[TextEncoder], policies: Policies) -> None:
        """Choose among these encoders and augmentations."""
        self._encoders = encoders
        self._policies = policies

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """One rung an installed encoder and policy of augmentation; the other encoders with the reason why not."""
        usable, left_out = usable_encoders(self.name, self._encoders, dataset, recipe)
        policies = self._policies.of(dataset, recipe)
        beside_plain = None in policies
        return [
            HeadCandidate(encoder, recipe.settings, policy, beside_plain=beside_plain)
            for policy in policies
            for encoder in usable
        ], left_out


class HeadCandidate(Candidate):
    """One frozen encoder with a linear head, which may learn from views of the training texts too."""

    method = "head"

    def __init__(
        self,
        encoder: TextEncoder,
        settings: Mapping[str, Any],
        policy: Policy | None = None,
        *,
        beside_plain: bool = False,
    ) -> None:
        """Tune a head.

        Args:
            encoder: is frozen.
            settings: those of the hyper-parameters that are fixed.
            policy: makes views to learn from.
            beside_plain: whether the same rung without views is tried too, to be compared with.
        """
        self._encoder = encoder
        self._fixed = settings
        self._policy = policy
        self.model = encoder.info.name
        plain = f"{self.method}:{self.model}"
        self.name = f"{plain} with {policy.name}" if policy and beside_plain else plain
        self.prior = Prior(plain, *VIEWS_GAIN) if policy and beside_plain else None

    @cached_property
    def _trials(self) -> list[dict[str, Any]]:
        strengths = [float(self._fixed["C"])] if "C" in self._fixed else list(STRENGTHS)
        weights = [float(self._fixed["label_names"])] if "label_names" in self._fixed else list(NAME_WEIGHTS)
        augment = {"augment": self._policy.full_name} if self._policy else {}
        return [{"C": strength, "label_names": weight, **augment} for weight in weights for strength in strengths]

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost:
        """Encode a sample of texts and fit heads to it, and scale both up."""
        texts = AugmentedTexts.of(dataset, self._policy, run).texts
        seconds = encoding_seconds(self._encoder, texts, None, run)
        heads = heads_seconds(dataset, self._encoder.parts.width, len(self._trials), run)
        return Cost(once=seconds, each=heads * len(texts) / len(dataset), final=1.0)

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Fit every trial's head on every fold of the cached features."""
        texts = AugmentedTexts.of(dataset, self._policy, run)
        features = self._features(texts.texts, run, "texts")
        names = self._features(label_texts(dataset.labels), run, "label names")
        targets = class_indices(dataset)

        def fit_fold(split: Split) -> Iterator[FloatArray]:
            rows, weight = texts.training_rows(split.train)
            for head in self._heads(features[rows], targets[texts.owners[rows]], weight, names):
                yield head.log_probs(features[split.valid])

        shape = (len(dataset), len(dataset.labels))
        trials = cross_fit(resampling, shape, self._trials, fit_fold, run=run, name=f"Folds of {self.name}")
        near = out_of_fold_similarity(features[: len(dataset)], targets, len(dataset.labels), resampling)
        return tuple(replace(trial, similarity=near) for trial in trials)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Fit the head on all features and put it on the encoder's graph."""
        started = time.perf_counter()
        texts = AugmentedTexts.of(dataset, self._policy, run)
        features = self._features(texts.texts, run, "texts")
        names = self._features(label_texts(dataset.labels), run, "label names")
        rows, weight = texts.training_rows(np.arange(len(dataset)))
        chosen = HeadCandidate(self._encoder, settings)
        targets = class_indices(dataset)
        (head,) = chosen._heads(features[rows], targets[texts.owners[rows]], weight, names)
        head = head.at(float(settings.get("temperature", 1.0)))
        seconds = time.perf_counter() - started

        def reference(texts: Sequence[str]) -> FloatArray:
            return head.log_probs(self._features(texts, run, "texts"))

        means = class_means(features[: len(dataset)], targets, len(dataset.labels))
        return fitted_encoder(
            self._encoder.info, self._encoder.parts, self._encoder.graph, head, means, reference, seconds
        )

    def _heads(
        self, features: FloatArray, targets: IntArray, sample_weight: FloatArray, names: FloatArray
    ) -> Iterator[LinearHead]:
        """A head for every trial, in their order."""
        for weight in dict.fromkeys(trial["label_names"] for trial in self._trials):
            strengths = [trial["C"] for trial in self._trials if trial["label_names"] == weight]
            yield from fit_feature_heads(
                features, targets, len(names), strengths, sample_weight=sample_weight, names=names, name_weight=weight
            )

    def _features(self, texts: Sequence[str], run: RunContext, what: str) -> FloatArray:
        cache = TrunkCache(run.work / "features", self._encoder.fingerprint)
        return cache.rows(
            texts,
            lambda missing, step: self._encoder.features(missing, threads=run.threads, step=step),
            progress=run.progress,
            name=f"Encode {what} with {self.model}",
        )
