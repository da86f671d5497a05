"""Frozen network + linear head: every view of every picture passes the network once, the head learns from them.

The head may read, beside the features, what the pretrained network takes the picture for (see
`FrozenFeatures`): worth much where the new classes are kin to the old ones, nothing elsewhere. The
folds tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from fewtune.augment.picture_policy import PICTURE_AUGMENT_HELP, PicturePolicies, PicturePolicy
from fewtune.backbones.vision import VisionBackbone
from fewtune.errors import RecipeError
from fewtune.evaluate.scope import class_means, out_of_fold_similarity
from fewtune.interfaces import Candidate, Cost, Fitted, Prior, RunContext, Trial, Tuner
from fewtune.recipe import Recipe
from fewtune.tune import self_training
from fewtune.tune.cross_fit import cross_fit
from fewtune.tune.encoder import TEMPERATURE_HELP
from fewtune.tune.linear_head import STRENGTHS, LinearHead, class_indices, fit_feature_heads, heads_seconds
from fewtune.tune.picture_rung import encoding_seconds, fitted_network, usable_networks
from fewtune.tune.picture_store import PictureStore
from fewtune.tune.picture_views import VIEWS_HELP, PictureViews, kept_count
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

# What a frozen network's head learns from, and what `auto` tries beside it, each with its prior: mean and deviation of
# the logarithm of its log loss over the preset's (benchmarks/README.md, "Augmentation of pictures").
PRESET = "flip"
BESIDE = (("crop,flip,light", -0.1, 0.15),)


class PictureHeadTuner(Tuner):
    """Offers one rung for every network."""

    name = "head"
    tasks = ("image-classification",)
    settings = {
        "C": "inverse strength of the head's regularisation, as in scikit-learn",
        "temperature": TEMPERATURE_HELP,
        "known_classes": "1: the head also reads what the pretrained network takes the picture for; 0: it does not",
        "augment": PICTURE_AUGMENT_HELP,
        "views": VIEWS_HELP,
        UNLABELED: UNLABELED_HELP,
    }
    learns_unlabelled = True

    def __init__(self, networks: Sequence[VisionBackbone], policies: PicturePolicies) -> None:
        """Choose among these networks and augmentations."""
        self._networks = networks
        self._policies = policies

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """One rung an installed network and policy of augmentation, and one that learns from unlabelled pictures too.

        The other networks come with the reason why not.

        Raises:
            RecipeError: a frozen network cannot learn from what was asked for.
        """
        usable, left_out = usable_networks(self.name, self._networks, recipe)
        asked = self._policies.asked(recipe, dataset.task)
        if asked is not None and asked.mixing:
            if recipe.method == self.name:
                raise RecipeError(
                    f"A frozen network learns nothing from {asked.mixing[0].name}.",
                    where="--augment",
                    how="Use --method partial or full.",
                )
            why = f"a frozen network learns nothing from {asked.mixing[0].name}"
            return [], [*left_out, *(LeftOut(f"{self.name}:{network.info.name}", why) for network in usable)]
        shares = pool_shares(dataset, recipe.settings)
        plain = asked or self._policies.named(PRESET, dataset.task)
        rungs = [PictureHeadCandidate(network, recipe.settings, plain) for network in usable if 0.0 in shares]
        for names, *gain in BESIDE if asked is None and 0.0 in shares else ():
            policy = self._policies.named(names, dataset.task)
            rungs += [PictureHeadCandidate(network, recipe.settings, policy, gain=(*gain,)) for network in usable]
        for share in filter(None, shares):
            gain = UNLABELED_GAIN if 0.0 in shares else None
            rungs += [
                PictureHeadCandidate(network, recipe.settings, plain, gain=gain, share=share) for network in usable
            ]
        return list[Candidate](rungs), left_out


class PictureHeadCandidate(Candidate):
    """One frozen network with a linear head, which learns from views of the pictures, or unlabelled ones, too."""

    method = "head"

    def __init__(
        self,
        network: VisionBackbone,
        settings: Mapping[str, Any],
        policy: PicturePolicy,
        *,
        gain: tuple[float, ...] | None = None,
        share: float = 0.0,
    ) -> None:
        """Tune a head.

        Args:
            network: is frozen.
            settings: those of the hyper-parameters that are fixed.
            policy: makes the views.
            gain: mean and deviation of its prior, where the same rung without what is its own is tried too.
            share: of the unlabelled pictures that is learnt from.
        """
        self._network = network
        self._fixed = settings
        self._policy = policy
        self.model = network.info.name
        plain = f"{self.method}:{self.model}"
        self._share = share
        self.name = plain
        if share:
            self.name = f"{plain}{WITH_UNLABELLED}"
        elif gain:
            self.name = f"{plain} with {policy.name}"
        self.prior = Prior(plain, *gain) if gain else None

    @cached_property
    def _trials(self) -> list[dict[str, Any]]:
        # A student is fitted to many more rows than a head that has labels alone: it has fewer to choose from.
        tried = self_training.STRENGTHS if self._share else STRENGTHS
        strengths = [float(self._fixed["C"])] if "C" in self._fixed else list(tried)
        reads = (0.0, 1.0) if self._network.network.classifier is not None else (0.0,)
        known = [float(self._fixed["known_classes"] > 0)] if "known_classes" in self._fixed else list(reads)
        made: dict[str, Any] = {"views": self._views.count, "augment": self._policy.full_name}
        if self._share:
            made[UNLABELED] = self._share
        return [{"C": c, "known_classes": reading, **made} for reading in known for c in strengths]

    @cached_property
    def _views(self) -> PictureViews:
        return PictureViews(self._policy, kept_count(self._fixed, self._policy))

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost:
        """Encode a few pictures and fit heads, and scale both up."""
        paths = [example.input for example in dataset]
        unlabelled = len(self._unlabelled(dataset))
        once = encoding_seconds(self._network, paths, None, run)
        seconds = once * (self._views.count + unlabelled / len(dataset))
        heads = heads_seconds(dataset, self._network.width, len(self._trials), run)
        each = heads * (self._views.count + self._share * unlabelled / len(dataset))
        return Cost(once=seconds, each=each, final=1.0)

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Fit every trial's head on every fold of the cached features; validate on the view that is predicted on."""
        store = PictureStore(self._network, run)
        features = store.features([example.input for example in dataset], self._views)
        targets, pool = class_indices(dataset), self._pool(dataset, store)

        def fit_fold(split: Split) -> Iterator[FloatArray]:
            for head in self._heads(features[split.train], targets[split.train], len(dataset.labels), pool):
                yield head.log_probs(features[split.valid, 0])

        shape = (len(dataset), len(dataset.labels))
        trials = cross_fit(resampling, shape, self._trials, fit_fold, run=run, name=f"Folds of {self.name}")
        near = out_of_fold_similarity(features[:, 0], targets, len(dataset.labels), resampling)
        return tuple(replace(trial, similarity=near) for trial in trials)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Fit the head on all features and put it on the network's graph."""
        started = time.perf_counter()
        chosen = PictureHeadCandidate(self._network, settings, self._policy, share=self._share)
        store = PictureStore(self._network, run)
        features = store.features([example.input for example in dataset], chosen._views)
        targets = class_indices(dataset)
        (head,) = chosen._heads(features, targets, len(dataset.labels), self._pool(dataset, store))
        head = head.at(float(settings.get("temperature", 1.0)))
        seconds = time.perf_counter() - started

        def reference(paths: Sequence[str]) -> FloatArray:
            return head.log_probs(store.features(paths)[:, 0])

        fitted = fitted_network(self._network, self._network.graph, head, reference, seconds)
        return replace(fitted, class_means=class_means(features[:, 0], targets, len(dataset.labels)))

    def _unlabelled(self, dataset: Dataset) -> tuple[str, ...]:
        return dataset.unlabelled.inputs if self._share and dataset.unlabelled else ()

    def _pool(self, dataset: Dataset, store: PictureStore) -> UnlabelledPool | None:
        paths = self._unlabelled(dataset)
        return UnlabelledPool.of(store.features(paths)[:, 0]) if paths else None

    def _heads(
        self, features: FloatArray, targets: IntArray, classes: int, pool: UnlabelledPool | None
    ) -> Iterator[LinearHead]:
        """A head for every trial, in their order, on (n, views, width) features; a picture's views count as one."""
        count, views, width = features.shape
        rows, labels = features.reshape(count * views, width), np.repeat(targets, views)

        def fit(
            features: FloatArray, targets: IntArray, sample_weight: FloatArray, strengths: Sequence[float]
        ) -> Iterator[LinearHead]:
            return fit_feature_heads(features, targets, classes, strengths, sample_weight=sample_weight)

        for reading in dict.fromkeys(trial["known_classes"] for trial in self._trials):
            read = width if reading else self._network.width
            strengths = [trial["C"] for trial in self._trials if trial["known_classes"] == reading]
            weights = np.full(len(rows), 1 / views)
            if pool is None:
                heads = fit(rows[:, :read], labels, weights, strengths)
            else:
                seen = replace(pool, features=pool.features[:, :read])
                heads = self_trained(fit, strengths, seen, self._share, rows[:, :read], labels, weights)
            for head in heads:
                weight = np.zeros((width, classes), head.weight.dtype)
                weight[:read] = head.weight
                yield LinearHead(weight, head.bias)
