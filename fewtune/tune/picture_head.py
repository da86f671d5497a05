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

from fewtune.backbones.vision import VisionBackbone
from fewtune.evaluate.scope import class_means, out_of_fold_similarity
from fewtune.interfaces import Candidate, Cost, Fitted, RunContext, Trial, Tuner
from fewtune.recipe import Recipe
from fewtune.tune.cross_fit import cross_fit
from fewtune.tune.encoder import TEMPERATURE_HELP
from fewtune.tune.linear_head import STRENGTHS, LinearHead, class_indices, fit_feature_heads, heads_seconds
from fewtune.tune.picture_rung import encoding_seconds, fitted_network, usable_networks
from fewtune.tune.picture_store import VIEWS, PictureStore
from fewtune.types import Dataset, FloatArray, IntArray, LeftOut, Resampling, Split

_VIEWS = 2


class PictureHeadTuner(Tuner):
    """Offers one rung for every network."""

    name = "head"
    tasks = ("image-classification",)
    settings = {
        "C": "inverse strength of the head's regularisation, as in scikit-learn",
        "temperature": TEMPERATURE_HELP,
        "known_classes": "1: the head also reads what the pretrained network takes the picture for; 0: it does not",
        "views": "how many views of each picture are learnt from, 1 to 4: as it is, mirrored, wider, wider mirrored",
    }

    def __init__(self, networks: Sequence[VisionBackbone]) -> None:
        """Choose among these networks."""
        self._networks = networks

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """One rung an installed network; the others with the reason why not."""
        del dataset
        usable, left_out = usable_networks(self.name, self._networks, recipe)
        return [PictureHeadCandidate(network, recipe.settings) for network in usable], left_out


class PictureHeadCandidate(Candidate):
    """One frozen network with a linear head."""

    method = "head"

    def __init__(self, network: VisionBackbone, settings: Mapping[str, Any]) -> None:
        """Tune a head on `network`, with those of the hyper-parameters that `settings` fixes."""
        self._network = network
        self._fixed = settings
        self.model = network.info.name
        self.name = f"{self.method}:{self.model}"

    @cached_property
    def _trials(self) -> list[dict[str, float]]:
        strengths = [float(self._fixed["C"])] if "C" in self._fixed else list(STRENGTHS)
        reads = (0.0, 1.0) if self._network.network.classifier is not None else (0.0,)
        known = [float(self._fixed["known_classes"] > 0)] if "known_classes" in self._fixed else list(reads)
        return [{"C": c, "known_classes": reading, "views": self._views} for reading in known for c in strengths]

    @property
    def _views(self) -> int:
        return min(len(VIEWS), max(1, int(self._fixed.get("views", _VIEWS))))

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost:
        """Encode a few pictures and fit heads, and scale both up."""
        paths = [example.input for example in dataset]
        seconds = self._views * encoding_seconds(self._network, paths, None, run)
        each = self._views * heads_seconds(dataset, self._network.width, len(self._trials), run)
        return Cost(once=seconds, each=each, final=1.0)

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Fit every trial's head on every fold of the cached features; validate on the view that is predicted on."""
        features = PictureStore(self._network, run).features([example.input for example in dataset], self._views)
        targets = class_indices(dataset)

        def fit_fold(split: Split) -> Iterator[FloatArray]:
            for head in self._heads(features[split.train], targets[split.train], len(dataset.labels)):
                yield head.log_probs(features[split.valid, 0])

        shape = (len(dataset), len(dataset.labels))
        trials = cross_fit(resampling, shape, self._trials, fit_fold, run=run, name=f"Folds of {self.name}")
        near = out_of_fold_similarity(features[:, 0], targets, len(dataset.labels), resampling)
        return tuple(replace(trial, similarity=near) for trial in trials)

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Fit the head on all features and put it on the network's graph."""
        started = time.perf_counter()
        chosen = PictureHeadCandidate(self._network, settings)
        store = PictureStore(self._network, run)
        features = store.features([example.input for example in dataset], chosen._views)
        targets = class_indices(dataset)
        (head,) = chosen._heads(features, targets, len(dataset.labels))
        head = head.at(float(settings.get("temperature", 1.0)))
        seconds = time.perf_counter() - started

        def reference(paths: Sequence[str]) -> FloatArray:
            return head.log_probs(store.features(paths)[:, 0])

        fitted = fitted_network(self._network, self._network.graph, head, reference, seconds)
        return replace(fitted, class_means=class_means(features[:, 0], targets, len(dataset.labels)))

    def _heads(self, features: FloatArray, targets: IntArray, classes: int) -> Iterator[LinearHead]:
        """A head for every trial, in their order, on (n, views, width) features; a picture's views count as one."""
        count, views, width = features.shape
        rows, labels = features.reshape(count * views, width), np.repeat(targets, views)
        for reading in dict.fromkeys(trial["known_classes"] for trial in self._trials):
            read = width if reading else self._network.width
            strengths = [trial["C"] / views for trial in self._trials if trial["known_classes"] == reading]
            for head in fit_feature_heads(rows[:, :read], labels, classes, strengths):
                weight = np.zeros((width, classes), head.weight.dtype)
                weight[:read] = head.weight
                yield LinearHead(weight, head.bias)
