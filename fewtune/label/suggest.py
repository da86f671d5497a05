"""Which examples to label next: those after whose labels a linear head would be least in doubt about all the others.

Transductive experimental design (Yu, Bi & Tresp 2006, ICML): a ridge regression on the features is as unsure of an
input z as z' (lambda I + sum of the labelled x x')^-1 z, whatever the labels are; the input is taken whose label lowers
the sum of that over the pool the most, then the next one, each counted as labelled. So the first labels, for which no
model is there yet, are dealt out by the same rule: what is common in the pool is learnt first, and nothing twice. Where
there is a model, each input counts by how unsure the model is of it, as one to be answered and as one to learn from:
the weights of a logistic regression's information (designs by it: Ash et al. 2021, arXiv:2106.09675). What it was
compared with: benchmarks/README.md, "Suggestions".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.types import FloatArray, IntArray

# The folder that features are kept in, among a bundle's work in progress.
SUGGEST_CACHE = "suggest"
# Of the ridge regression, on features of length 1.
_RIDGE = 1.0
# What an input counts at least that the model is sure of: it may be wrong.
_LEAST = 1e-3
# How much more than its even share of the suggestions a class may get, by what the model predicts.
_SHARE = 2.0


@dataclass(frozen=True, slots=True)
class Pool:
    """What can be labelled, and what is.

    Attributes:
        size: n, how many inputs can be labelled.
        features: (n, width) of them; None where no model gives any.
        labelled: (m, width) features of what is labelled already; None where there is nothing, or no features.
        uncertainty: (n,) how unsure the model is of each, from 0; None where there is no model.
        labelled_uncertainty: (m,) the same of what is labelled.
        predicted: (n,) class that the model predicts; None where there is none, or no classes.
    """

    size: int
    features: FloatArray | None = None
    labelled: FloatArray | None = None
    uncertainty: FloatArray | None = None
    labelled_uncertainty: FloatArray | None = None
    predicted: IntArray | None = None


def choose(pool: Pool, count: int, repeats: Callable[[Sequence[int]], Sequence[int]]) -> list[int]:
    """Indices of the inputs to label, the most instructive first.

    Args:
        pool: n inputs.
        count: how many are wanted; there are fewer where the pool does not give so many.
        repeats: of indices, in their order, those that say the same as one before them or as what is labelled.
    """
    free = np.ones(pool.size, bool)
    while True:
        found = _ranked(pool, free, min(count, int(free.sum())))
        again = repeats(found)
        if not again:
            return found
        free[list(again)] = False


def _ranked(pool: Pool, free: np.ndarray, count: int) -> list[int]:
    if pool.features is None:
        unsure = np.zeros(len(free)) if pool.uncertainty is None else pool.uncertainty
        return np.argsort(np.where(free, -unsure, np.inf), kind="stable")[:count].tolist()
    rows, labelled = _centred(pool.features, pool.labelled)
    weight, unit = _weights(pool.uncertainty, len(rows))
    of_labelled = np.ones(len(labelled)) if pool.labelled_uncertainty is None else pool.labelled_uncertainty / unit
    known = (labelled * of_labelled[:, None]).T @ labelled
    return _designed(rows, weight, known, free, count, _Quota(pool, count))


class _Quota:
    """Keeps a class from taking all of the suggestions."""

    def __init__(self, pool: Pool, count: int) -> None:
        self._predicted = pool.predicted
        classes = len(np.unique(pool.predicted)) if pool.predicted is not None else 1
        self._left = np.full(
            0 if pool.predicted is None else int(pool.predicted.max(initial=0)) + 1,
            max(1, int(np.ceil(_SHARE * count / classes))),
        )

    def open(self) -> np.ndarray | bool:
        """(n,) whether an input's class may have one more; True where nothing is known of classes."""
        return True if self._predicted is None else self._left[self._predicted] > 0

    def take(self, index: int) -> None:
        """Count one."""
        if self._predicted is not None:
            self._left[self._predicted[index]] -= 1


def _designed(
    rows: FloatArray, weight: FloatArray, known: FloatArray, free: np.ndarray, count: int, quota: _Quota
) -> list[int]:
    """Greedy design: for every one that is taken a rank-one update, of n x width operations.

    Args:
        rows, weight: (n, width) and (n,): the pool.
        known: (width, width) weighted sum of the outer products of what is labelled.
        free, count, quota: which may be taken, how many, and how many of each class.
    """
    target = ((rows * weight.astype(rows.dtype)[:, None]).T @ rows / len(rows)).astype(np.float64)
    inverse = _inverse(_RIDGE * np.eye(rows.shape[1]) + known)
    reach = rows @ inverse.astype(rows.dtype)
    variance = np.einsum("ij,ij->i", reach, rows).astype(np.float64)
    gain = np.einsum("ij,ij->i", reach @ target.astype(rows.dtype), reach).astype(np.float64)
    free, found = free.copy(), []
    while len(found) < count:
        score = np.where(free, weight * gain / (1 + weight * variance), -np.inf)
        within = np.where(quota.open(), score, -np.inf)
        best = int(np.argmax(within if np.isfinite(within).any() else score))
        found.append(best)
        free[best] = False
        quota.take(best)
        along = inverse @ rows[best]
        step = weight[best] / (1 + weight[best] * variance[best])
        pulled = target @ along
        # Both products in one pass over the rows, in their own precision: they are what takes the time.
        seen, back = (rows @ np.stack([along, inverse @ pulled], axis=1).astype(rows.dtype)).T.astype(np.float64)
        gain = gain - 2 * step * seen * back + (step * seen) ** 2 * (along @ pulled)
        variance = variance - step * seen**2
        inverse = inverse - step * np.outer(along, along)
    return found


def _inverse(matrix: FloatArray) -> FloatArray:
    from threadpoolctl import threadpool_limits

    # Several BLAS threads wait for each other at every column of so small a matrix, for minutes on a busy machine.
    with threadpool_limits(limits=1, user_api="blas"):
        return np.linalg.inv(matrix)


def _weights(uncertainty: FloatArray | None, count: int) -> tuple[FloatArray, float]:
    """(n,) how much each input counts, 1 in the mean, and the uncertainty that counts 1."""
    unit = 1.0 if uncertainty is None else float(uncertainty.mean())
    if uncertainty is None or unit <= 0:
        return np.ones(count), 1.0
    return np.maximum(uncertainty / unit, _LEAST), unit


def _centred(features: FloatArray, labelled: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Both sets centred where the pool is, of length 1."""
    centre = features.mean(axis=0)
    rows = _unit(features - centre)
    others = rows[:0] if labelled is None else _unit(labelled - centre)
    return rows, others


def _unit(rows: FloatArray) -> FloatArray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
