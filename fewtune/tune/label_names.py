"""A first model without any label: each class is what its name, or a line about it, means to an encoder.

The features of the names, centred among themselves, are directions; how far an input lies along each, in deviations
of the unlabelled inputs, says which class it is (by the meaning of names: Chang et al. 2008, AAAI; Yin, Hay & Roth
2019, arXiv:1909.00161). Then a head learns from the names and from the inputs that are surest of their class
(`self_training.py`). What it gives on data with known labels: benchmarks/README.md, "Label names alone".
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from fewtune.backbones.text_encoder import TextEncoder
from fewtune.evaluate.scope import class_means
from fewtune.interfaces import Fitted, RunContext
from fewtune.tune.cache import TrunkCache
from fewtune.tune.encoder import fitted_encoder
from fewtune.tune.linear_head import LinearHead, fit_feature_heads
from fewtune.tune.self_training import SHARE, UnlabelledPool
from fewtune.types import Dataset, FloatArray

METHOD = "label-names"
# How far deviations along a name tell classes apart, the strength of the head, and what a name counts as:
# measured on eight data sets, as nothing in the user's own tells.
_SHARPNESS = 4.0
_STRENGTH = 1.0
_NAME_WEIGHT = 3.0


def fit_names(encoder: TextEncoder, dataset: Dataset, run: RunContext) -> Fitted:
    """A head on a frozen encoder that learnt from names and unlabelled inputs.

    Args:
        encoder: reads both.
        dataset: for each class one example, its name, in the order of the labels; and unlabelled inputs.
        run: caches, threads, progress.
    """
    assert dataset.unlabelled is not None
    started = time.perf_counter()

    def features(texts: Sequence[str], what: str) -> FloatArray:
        return TrunkCache(run.work / "features", encoder.fingerprint).rows(
            texts,
            lambda missing, step: encoder.features(missing, threads=run.threads, step=step),
            progress=run.progress,
            name=f"Encode {what} with {encoder.info.name}",
        )

    names = features([example.input for example in dataset], "label names")
    pool = UnlabelledPool.of(features(dataset.unlabelled.inputs, "unlabelled texts"))
    rows, classes = pool.surest(_by_meaning(names, pool.features), SHARE)
    (head,) = fit_feature_heads(
        pool.features[rows], classes, len(names), [_STRENGTH], names=names, name_weight=_NAME_WEIGHT
    )
    means = class_means(pool.features[rows], classes, len(names))

    def reference(texts: Sequence[str]) -> FloatArray:
        return head.log_probs(features(texts, "texts"))

    seconds = time.perf_counter() - started
    return fitted_encoder(encoder.info, encoder.parts, encoder.graph, head, means, reference, seconds)


def _by_meaning(names: FloatArray, pool: FloatArray) -> LinearHead:
    """The head that takes an input for the class along whose name it lies furthest, for inputs like the pool's."""
    centred = names - names.mean(axis=0)
    directions = (centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)).T
    along = pool @ directions
    scale = _SHARPNESS / np.maximum(along.std(axis=0), 1e-9)
    return LinearHead(directions * scale, -along.mean(axis=0) * scale)
