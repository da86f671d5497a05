"""Probabilities that mean what they say: one temperature for all logits.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599), on out-of-fold answers, with a prior that
holds it near 1 where there are few of them.
"""

from __future__ import annotations

import numpy as np

from fewtune.types import FloatArray, IntArray

# Deviation of the prior on the temperature's logarithm: a factor of 1.6 either way is common.
_PRIOR_SD = 0.5
_PARTS = 5
_BOUNDS = (-2.5, 2.5)


def rescaled(log_probs: FloatArray, temperature: float) -> FloatArray:
    """Log probabilities (..., k) whose logits are divided by `temperature`; NaN stays NaN."""
    logits = np.asarray(log_probs, np.float64) / temperature
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def fit_temperature(log_probs: FloatArray, targets: IntArray, weight: FloatArray | None = None) -> float:
    """The temperature of greatest posterior probability.

    Args:
        log_probs: (m, k), all known.
        targets: (m,) class indices.
        weight: (m,) what each counts; their sum is the number of independent examples.
    """
    from scipy.optimize import minimize_scalar

    if not len(targets):
        return 1.0
    weight = np.ones(len(targets)) if weight is None else weight
    rows = np.arange(len(targets))
    logits = np.asarray(log_probs, np.float64)
    # Where one class is ruled out altogether, the product of 0 and infinity would be nothing at all.
    logits = np.maximum(logits, -1e4)

    def posterior(log_temperature: float) -> float:
        scaled = logits * np.exp(-log_temperature)
        largest = scaled.max(axis=1)
        losses = largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1)) - scaled[rows, targets]
        return float(weight @ losses) + log_temperature**2 / (2 * _PRIOR_SD**2)

    found = minimize_scalar(posterior, bounds=_BOUNDS, method="bounded", options={"xatol": 1e-3})
    return round(float(np.exp(found.x)), 4)


def out_of_fold_temperature(log_probs: FloatArray, targets: IntArray) -> float:
    """The temperature that all out-of-fold answers (repeats, n, k) together give."""
    seen = ~np.isnan(log_probs[:, :, 0])
    repeat, example = np.nonzero(seen)
    return fit_temperature(log_probs[repeat, example], targets[example], 1 / seen.sum(axis=0)[example])


def cross_calibrated(
    log_probs: FloatArray, targets: IntArray, groups: IntArray, generator: np.random.Generator
) -> FloatArray:
    """Out-of-fold answers (repeats, n, k), each rescaled by a temperature that other groups' answers gave.

    So that a score of calibrated probabilities does not stand on examples that calibrated them.
    """
    _, member_of = np.unique(groups, return_inverse=True)
    part_of = generator.permutation(np.arange(int(member_of.max()) + 1) % _PARTS)[member_of]
    calibrated = np.array(log_probs, np.float64)
    for part in range(_PARTS):
        others = np.where((part_of != part)[None, :, None], log_probs, np.nan)
        calibrated[:, part_of == part] = rescaled(
            log_probs[:, part_of == part], out_of_fold_temperature(others, targets)
        )
    return calibrated.astype(np.float32)
