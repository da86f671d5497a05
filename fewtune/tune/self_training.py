"""Unlabelled inputs to learn from: what a head makes of them is smoothed over their likes, and the surest are learnt.

The classes that a head sees in each input spread along a graph of nearest neighbours (label propagation, Zhu &
Ghahramani 2002, CMU-CALD-02-107, in the normalised form of Zhou et al. 2004, NIPS). They start from the head's
probabilities rather than from the labels, which are too few to reach far. Then a head learns from the labelled inputs,
and beside them from those of the unlabelled that are surest of their class: self-training by confidence, as in FixMatch
(Sohn et al. 2020, arXiv:2001.07685), with a threshold of each class's own (Zhang et al. 2021, arXiv:2110.08263), such
that each class is learnt from as often as the head expects it among the unlabelled (Berthelot et al. 2020,
arXiv:1911.09785): labelled data is often balanced where the world is not. What it was compared with:
benchmarks/README.md, "Unlabelled data".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fewtune.errors import RecipeError
from fewtune.tune.linear_head import LinearHead
from fewtune.types import Dataset, FloatArray, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

UNLABELED = "unlabeled"
UNLABELED_HELP = "share of the unlabelled inputs that is learnt from, the surest of each class; 0: none"
# What the names of rungs end in that learn from unlabelled inputs.
WITH_UNLABELLED = " with unlabelled"
# What is tried of the head's regularisation.
STRENGTHS = (1.0, 10.0)
SHARE = 0.5
# Logarithm of the log loss of a head that learns from unlabelled inputs too over that of the one that does not, mean
# and deviation (benchmarks/README.md, "Unlabelled data").
UNLABELED_GAIN = (-0.07, 0.13)
_NEIGHBOURS = 15
# How much of its answer an input takes from its neighbours in a round, and how many rounds there are.
_PULL = 0.8
_ROUNDS = 20
# What an unlabelled input counts, where a labelled one counts 1.
_WEIGHT = 0.3
# Rows whose likes are looked for at once: bounds what is held.
_ROWS = 1024


@dataclass(frozen=True, slots=True)
class UnlabelledPool:
    """Unlabelled inputs as a head sees them.

    Attributes:
        features: (m, width).
        graph: (m, m) how alike neighbours are, normalised on both sides.
    """

    features: FloatArray
    graph: csr_matrix

    @classmethod
    def of(cls, features: FloatArray) -> UnlabelledPool:
        """The pool of m inputs with (m, width) features."""
        return cls(features, _neighbour_graph(features))

    def surest(self, head: LinearHead, share: float) -> tuple[IntArray, IntArray]:
        """The inputs to learn from.

        Args:
            head: what is known so far.
            share: of the pool that is wanted.

        Returns:
            Indices into the pool, and the class that each is learnt as.
        """
        probabilities = np.exp(head.log_probs(self.features))
        smooth = self._spread(probabilities)
        classes, sureness = smooth.argmax(axis=1), smooth.max(axis=1)
        wanted = np.ceil(share * len(classes) * probabilities.mean(axis=0)).astype(np.int64)
        chosen = [
            members[np.argsort(-sureness[members], kind="stable")[:most]]
            for members, most in ((np.flatnonzero(classes == k), most) for k, most in enumerate(wanted))
        ]
        rows = np.sort(np.concatenate(chosen))
        return rows, classes[rows]

    def _spread(self, probabilities: FloatArray) -> FloatArray:
        """(m, classes) probabilities after they spread along the graph."""
        spread = probabilities
        for _ in range(_ROUNDS):
            spread = _PULL * (self.graph @ spread) + (1 - _PULL) * probabilities
        return spread / spread.sum(axis=1, keepdims=True)


class FitHeads(Protocol):
    """Fits a head for each strength to (n, width) features with (n,) classes and weights."""

    def __call__(
        self, features: FloatArray, targets: IntArray, sample_weight: FloatArray, strengths: Sequence[float], /
    ) -> Iterator[LinearHead]:
        """The heads, in the order of the strengths."""
        ...


def self_trained(
    fit: FitHeads,
    strengths: Sequence[float],
    pool: UnlabelledPool,
    share: float,
    features: FloatArray,
    targets: IntArray,
    sample_weight: FloatArray,
) -> Iterator[LinearHead]:
    """A head for each strength that learns from labels and, after what it made of the pool by those alone, from it.

    Args:
        fit: fits heads.
        strengths: of their regularisation.
        pool, share: what is unlabelled, and how much of it is learnt from.
        features, targets, sample_weight: (n, width), (n,) and (n,): what is labelled.
    """
    for head, strength in zip(fit(features, targets, sample_weight, strengths), strengths, strict=True):
        rows, classes = pool.surest(head, share)
        yield from fit(
            np.concatenate([features, pool.features[rows]]),
            np.concatenate([targets, classes]),
            np.concatenate([sample_weight, np.full(len(rows), _WEIGHT)]),
            [strength],
        )


def pool_shares(dataset: Dataset, settings: Mapping[str, Any], usual: float = SHARE) -> tuple[float, ...]:
    """The shares of the unlabelled inputs that rungs learn from: none alone, or with and without, or as it is said.

    Args:
        dataset: with unlabelled inputs, or without.
        settings: may say the share.
        usual: the share where they do not.

    Raises:
        RecipeError: it is said to learn from them, and there are none.
    """
    share = min(1.0, float(settings.get(UNLABELED, usual if dataset.unlabelled else 0.0)))
    if share and dataset.unlabelled is None:
        raise RecipeError(
            f"{UNLABELED} is {share:g}, and there are no unlabelled inputs to learn from.",
            where="settings",
            how="Give them with --unlabeled, or leave the setting out.",
        )
    return (share,) if UNLABELED in settings or not share else (0.0, share)


def _neighbour_graph(features: FloatArray) -> csr_matrix:
    """(m, m) each input beside those most like it: D^-1/2 W D^-1/2, W the cube of their centred cosines."""
    from scipy.sparse import csr_matrix

    centred = features - features.mean(axis=0)
    rows = (centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    count, most = len(rows), min(_NEIGHBOURS, len(rows) - 1)
    found, alike = np.zeros((2, count, most))
    for start in range(0, count if most else 0, _ROWS):
        near = rows[start : start + _ROWS] @ rows.T
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -1.0
        best = np.argpartition(-near, most - 1, axis=1)[:, :most]
        found[start : start + _ROWS] = best
        alike[start : start + _ROWS] = np.maximum(np.take_along_axis(near, best, axis=1), 0.0) ** 3
    weights = csr_matrix(
        (alike.ravel(), (np.repeat(np.arange(count), most), found.ravel().astype(int))), (count, count)
    )
    weights = weights + weights.T
    scale = 1 / np.sqrt(np.maximum(np.asarray(weights.sum(axis=1)).ravel(), 1e-12))
    return weights.multiply(scale[:, None]).multiply(scale[None]).tocsr()
