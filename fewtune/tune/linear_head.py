"""The linear classifier that ends every classification rung: scikit-learn fits it, we keep its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.types import Dataset, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    Rows = FloatArray | csr_matrix

# From nearly the class centroids to nearly no regularisation; the folds choose.
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class LinearHead:
    """A linear classifier.

    Attributes:
        weight: (width, classes).
        bias: (classes,).
    """

    weight: FloatArray
    bias: FloatArray

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
    model = LogisticRegression(warm_start=True, max_iter=300, tol=1e-3)
    # The optimiser's vectors are so short that a second BLAS thread makes it ten times slower, not faster.
    blas = ThreadpoolController()
    for strength in strengths:
        with blas.limit(limits=1, user_api="blas"):
            model.set_params(C=strength).fit(rows, targets, sample_weight=sample_weight)
        yield _spread(model, present, classes, len(targets))


def _spread(model: Any, present: IntArray, classes: int, count: int) -> LinearHead:
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
