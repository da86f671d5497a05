"""Frozen encoder + linear head: the encoder runs once over every text, the head learns from its features.

The label names are texts too. Each can stand as one more training example of its class (its
features centred among the names' own), which at few labels is worth several real ones: a prior
in the sense of learning from class names (Yin, Hay & Roth 2019, arXiv:1909.00161), kept only
where the folds say that it helps. So are unlabelled texts (`self_training.py`): a head that learns from them
too is a rung of its own.
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
from fewtune.tune import self_training
from fewtune.tune.augmented import AUGMENT_HELP, VIEWS_GAIN, AugmentedTexts
from fewtune.tune.cache import TrunkCache
from fewtune.tune.cross_fit import cross_fit
from fewtune.tune.encoder import (
    TEMPERATURE_HELP,
    delivered_mb,
    encoding_seconds,
    fitted_encoder,
    usable_models,
)
from fewtune.tune.linear_head import (
    STRENGTHS,
    LinearHead,
    class_indices,
    fit_feature_heads,
    heads_seconds,
    label_texts,
)
from fewtune.tune.self_training import (
    UNLABELED,
    UNLABELED_GAIN,
    UNLABELED_HELP,
    WITH_UNLABELLED,
    UnlabelledPool,
    pool_shares,
    self_trained,
)
from fewtune.types import Dataset, FloatArray, IntArray, LeftOut, Resampling, Split

NAME_WEIGHTS = (0.0, 3.0)

# Open at the end: the graph of what is delivered, and the bundle under test.
_GRAPHS = 2


class HeadTuner(Tuner):
    """Offers one rung for every encoder that reads the data's languages."""

    name = "head"
    tasks = ("text-classification",)
    settings = {
        "C": "inverse strength of the head's regularisation, as in scikit-learn",
        "temperature": TEMPERATURE_HELP,
        "label_names": "how many training examples each label's name counts as; 0: the names are not read",
        "augment": AUGMENT_HELP,
        UNLABELED: UNLABELED_HELP,
    }
    learns_unlabelled = True

    def __init__(self, encoders: Sequence[TextEncoder], policies: Policies) -> None:
        """Choose among these encoders and augmentations."""
        self._encoders = encoders
        self._policies = policies

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """One rung an installed encoder and policy of augmentation, and one that learns from unlabelled texts too.

        The other encoders come with the reason why not.

        Raises:
            RecipeError: the settings say to learn from unlabelled texts, and there are none.
        """
        usable, left_out = usable_models(self.name, self._encoders, dataset, recipe)
        policies = self._policies.of(dataset, recipe)
        beside_plain = None in policies
        shares = pool_shares(dataset, recipe.settings)
        plain = [
            HeadCandidate(encoder, recipe.settings, policy, beside_plain=beside_plain)
            for policy in policies
            for encoder in usable
            if 0.0 in shares
        ]
        with_pool = [
            HeadCandidate(encoder, recipe.settings, policies[0], share=share, beside_plain=0.0 in shares)
            for share in shares
            for encoder in usable
            if share
        ]
        return [*plain, *with_pool], left_out


class HeadCandidate(Candidate):
    """One frozen encoder with a linear head, which may learn from views of the texts, or unlabelled ones, too."""

    method = "head"

    def __init__(
        self,
        encoder: TextEncoder,
        settings: Mapping[str, Any],
        policy: Policy | None = None,
        *,
        share: float = 0.0,
        beside_plain: bool = False,
    ) -> None:
        """Tune a head.

        Args:
            encoder: is frozen.
            settings: those of the hyper-parameters that are fixed.
            policy: makes views to learn from.
            share: of the unlabelled texts that is learnt from.
            beside_plain: whether the same rung with nothing of that kind is tried too, to be compared with.
        """
        self._encoder = encoder
        self._fixed = settings
        self._policy = policy
        self._share = share
        self.model = encoder.info.name
        plain = f"{self.method}:{self.model}"
        self.name, self.prior = plain, None
        if share:
            self.name = f"{plain}{WITH_UNLABELLED}"
            self.prior = Prior(plain, *UNLABELED_GAIN) if beside_plain else None
        elif policy and beside_plain:
            self.name, self.prior = f"{plain} with {policy.name}", Prior(plain, *VIEWS_GAIN)

    @cached_property
    def _trials(self) -> list[dict[str, Any]]:
        strengths = [float(self._fixed["C"])] if "C" in self._fixed else self._strengths
        weights = [float(self._fixed["label_names"])] if "label_names" in self._fixed else list(NAME_WEIGHTS)
        made: dict[str, Any] = {"augment": self._policy.full_name} if self._policy else {}
        if self._share:
            made[UNLABELED] = self._share
        return [{"C": strength, "label_names": weight, **made} for weight in weights for strength in strengths]

    @property
    def _strengths(self) -> Sequence[float]:
        # A student is fitted to many more rows than a head that has labels alone: it has fewer to choose from.
        return self_training.STRENGTHS if self._share else STRENGTHS

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost:
        """Encode a sample of texts and fit heads to it, and scale both up."""
        texts, of_views = AugmentedTexts.foreseen(dataset, self._policy, run)
        unlabelled = self._unlabelled(dataset)
        seconds = of_views + encoding_seconds(self._encoder, [*texts, *unlabelled], None, run)
        heads = heads_seconds(dataset, self._encoder.parts.width, len(self._trials), run)
        each = heads * (len(texts) + self._share * len(unlabelled)) / len(dataset)
        return Cost(once=seconds, each=each, final=1.0, delivered_mb=delivered_mb(self._encoder.graph, _GRAPHS))

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Fit every trial's head on every fold of the cached features."""
        texts = AugmentedTexts.of(dataset, self._policy, run)
        features = self._features(texts.texts, run, "texts")
        names = self._features(label_texts(dataset.labels), run, "label names")
        pool = self._pool(dataset, run)
        targets = class_indices(dataset)

        def fit_fold(split: Split) -> Iterator[FloatArray]:
            rows, weight = texts.training_rows(split.train)
            for head in self._heads(features[rows], targets[texts.owners[rows]], weight, names, pool):
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
        chosen = HeadCandidate(self._encoder, settings, share=self._share)
        targets = class_indices(dataset)
        (head,) = chosen._heads(features[rows], targets[texts.owners[rows]], weight, names, self._pool(dataset, run))
        head = head.at(float(settings.get("temperature", 1.0)))
        seconds = time.perf_counter() - started

        def reference(texts: Sequence[str]) -> FloatArray:
            return head.log_probs(self._features(texts, run, "texts"))

        means = class_means(features[: len(dataset)], targets, len(dataset.labels))
        return fitted_encoder(
            self._encoder.info, self._encoder.parts, self._encoder.graph, head, means, reference, seconds
        )

    def _heads(
        self,
        features: FloatArray,
        targets: IntArray,
        sample_weight: FloatArray,
        names: FloatArray,
        pool: UnlabelledPool | None,
    ) -> Iterator[LinearHead]:
        """A head for every trial, in their order."""
        for weight in dict.fromkeys(trial["label_names"] for trial in self._trials):
            strengths = [trial["C"] for trial in self._trials if trial["label_names"] == weight]

            def fit(
                features: FloatArray,
                targets: IntArray,
                sample_weight: FloatArray,
                strengths: Sequence[float],
                weight: float = weight,
            ) -> Iterator[LinearHead]:
                return fit_feature_heads(
                    features,
                    targets,
                    len(names),
                    strengths,
                    sample_weight=sample_weight,
                    names=names,
                    name_weight=weight,
                )

            if pool is None:
                yield from fit(features, targets, sample_weight, strengths)
            else:
                yield from self_trained(fit, strengths, pool, self._share, features, targets, sample_weight)

    def _unlabelled(self, dataset: Dataset) -> tuple[str, ...]:
        return dataset.unlabelled.inputs if self._share and dataset.unlabelled else ()

    def _pool(self, dataset: Dataset, run: RunContext) -> UnlabelledPool | None:
        texts = self._unlabelled(dataset)
        return UnlabelledPool.of(self._features(texts, run, "unlabelled texts")) if texts else None

    def _features(self, texts: Sequence[str], run: RunContext, what: str) -> FloatArray:
        cache = TrunkCache(run.work / "features", self._encoder.fingerprint)
        return cache.rows(
            texts,
            lambda missing, step: self._encoder.features(missing, threads=run.threads, step=step),
            progress=run.progress,
            name=f"Encode {what} with {self.model}",
        )
