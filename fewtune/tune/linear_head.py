"""The linear classifier that ends every classification rung: scikit-learn fits it, we keep its numbers."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.interfaces import RunContext
from fewtune.types import Dataset, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    Rows = FloatArray | csr_matrix

# From nearly the class centroids to nearly no regularisation; the folds choose.
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
# Rows that a head is fitted to, to foresee what heads take.
_PROBE_ROWS = 256
# A head that starts from the one before it takes about this share of what one from nothing takes.
_WARM_START = 0.5


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A linear classifier.

    Attributes:
        weight: (width, classes).
        bias: (classes,).
    """

    weight: FloatArray
    bias: FloatArray

    def at(self, temperature: float) -> LinearHead:
        """The same head with its logits divided by `temperature`."""
        return LinearHead(self.weight / temperature, self.bias / temperature)

    def log_probs(self, rows: Rows) -> FloatArray:
        """(n, width) rows to (n, classes) log probabilities."""
        return log_softmax(np.asarray(rows @ self.weight) + self.bias)


def class_indices(dataset: Dataset) -> IntArray:
    """(n,) index of each example's label in `dataset.labels`."""
    index = {label: number for number, label in enumerate(dataset.labels)}
    return np.array([index[example.target] for example in dataset], dtype=np.int64)


def log_softmax(logits: FloatArray) -> FloatArray:
    """(n, classes) logits to log probabilities, without overflow."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def fit_linear_heads(
    rows: Rows, targets: IntArray, sample_weight: FloatArray, classes: int, strengths: Sequence[float]
) -> Iterator[LinearHead]:
    """Fit an L2-regularised multinomial logistic regression for each strength.

    Args:
        rows: (n, width) features, dense or sparse.
        targets: (n,) class indices; a class may be missing.
        sample_weight: (n,) weights.
        classes: number of classes that the heads tell apart.
        strengths: values of scikit-learn's C, weakest fit first: each start is the solution before it.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import ThreadpoolController

    present, width = np.unique(targets), int(rows.shape[1])  # type: ignore[index]
    if len(present) == 1:
        yield from (_constant(width, classes, int(present[0]), len(targets)) for _ in strengths)
        return
    model = LogisticRegression(warm_start=True, max_iter=500, tol=1e-5)
    # The optimiser's vectors are so short that a second BLAS thread makes it ten times slower, not faster.
    blas = ThreadpoolController()
    for strength in strengths:
        with blas.limit(limits=1, user_api="blas"):
            model.set_params(C=strength).fit(rows, targets, sample_weight=sample_weight)
        yield _all_classes(model, present, classes, len(targets))


def fit_feature_heads(
    features: FloatArray,
    targets: IntArray,
    classes: int,
    strengths: Sequence[float],
    *,
    sample_weight: FloatArray | None = None,
    names: FloatArray | None = None,
    name_weight: float = 0.0,
) -> Iterator[LinearHead]:
    """Fit a head for each strength to an encoder's features, centred and on a scale of their own.

    Args:
        features: (n, width).
        targets: (n,) class indices.
        classes: number of classes that the heads tell apart.
        strengths: values of scikit-learn's C.
        sample_weight: (n,) weights; None: 1 each.
        names: (classes, width) features of the classes' names.
        name_weight: how many examples of its class each name counts as; 0: the names are not read.

    Yields:
        Heads for features that are neither centred nor scaled.
    """
    centre = features.mean(axis=0)
    spread = _length(features - centre)
    rows = (features - centre) / spread
    weight = np.ones(len(targets)) if sample_weight is None else sample_weight
    if names is not None and name_weight > 0:
        name_rows = names - names.mean(axis=0)
        rows = np.vstack([rows, name_rows / _length(name_rows)])
        targets = np.concatenate([targets, np.arange(classes)])
        weight = np.concatenate([weight, np.full(classes, name_weight)])
    for head in fit_linear_heads(rows, targets, weight, classes, strengths):
        scaled = head.weight / spread
        yield LinearHead(scaled, head.bias - centre @ scaled)


def _length(rows: FloatArray) -> float:
    """Root mean square length of the rows."""
    return max(float(np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1).mean())), 1e-9)


def _all_classes(model: Any, present: IntArray, classes: int, count: int) -> LinearHead:
    """The fitted coefficients with a column for every class, missing ones at about one chance in `count`."""
    coefficients, intercepts = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(present) == 2:  # scikit-learn keeps one logit for two classes
        coefficients = np.vstack([-coefficients / 2, coefficients / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    weight = np.zeros((coefficients.shape[1], classes), dtype=coefficients.dtype)
    bias = np.full(classes, -np.log(count), dtype=coefficients.dtype)
    weight[:, present] = coefficients.T
    bias[present] = intercepts
    return LinearHead(weight, bias)


def _constant(width: int, classes: int, only: int, count: int) -> LinearHead:
    bias = np.full(classes, -np.log(count + 1.0))
    bias[only] = 0.0
    return LinearHead(np.zeros((width, classes)), bias)


def heads_seconds(dataset: Dataset, width: int, heads: int, run: RunContext) -> float:
    """What fitting so many heads takes, from one head on a sample of like rows and classes."""
    targets = class_indices(dataset)
    generator = run.generator("probe of heads")
    chosen = generator.permutation(len(targets))[:_PROBE_ROWS]
    centres = generator.normal(size=(len(dataset.labels), width))
    rows = centres[targets[chosen]] + generator.normal(size=(len(chosen), width))
    started = time.perf_counter()
    list(fit_feature_heads(rows.astype(np.float32), targets[chosen], len(dataset.labels), [1.0]))
    return _WARM_START * (time.perf_counter() - started) * heads * len(targets) / len(chosen)


def label_texts(labels: Sequence[str]) -> list[str]:
    """Label names as a person would write them: `card_not_working` and `cardNotWorking` become words."""
    spaced = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[_\-./]+", " ", label)) for label in labels]
    return [" ".join(text.split()) or label for text, label in zip(spaced, labels, strict=True)]
