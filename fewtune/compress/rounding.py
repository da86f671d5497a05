"""Weights rounded to a few steps so that what a layer gives changes least, not so that each weight changes least.

Columns are rounded one after the other, and what one loses the later ones make up for, after what the inputs of the
layer have in common (Frantar et al. 2022, arXiv:2210.17323, GPTQ). What is still lost on average goes into the bias
(Nagel et al. 2019, arXiv:1906.04721, section 4.2).
"""

from __future__ import annotations

import numpy as np

from fewtune.types import FloatArray

_DAMPING = 0.01
# Columns whose losses are handed on together.
_BLOCK = 64


def step_sizes(weight: FloatArray, steps: int) -> FloatArray:
    """(out,) sizes of the steps that reach each row's largest weight; rows of (out, ...)."""
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    return np.maximum(largest / steps, 1e-12).astype(np.float32)


def round_weight(weight: FloatArray, inputs: FloatArray, steps: int) -> FloatArray:
    """A matrix of multiples of each row's step.

    Args:
        weight: (out, in).
        inputs: (n, in) of what the layer is given.
        steps: how many there are on either side of 0; a row's largest weight stays as it is.

    Returns:
        (out, in) float32.
    """
    sizes = step_sizes(weight, steps)
    left = weight.astype(np.float64)
    rounded = np.zeros_like(left)
    shared = inputs.T.astype(np.float64) @ inputs
    shared[np.diag_indices_from(shared)] += _DAMPING * max(float(np.trace(shared)) / len(shared), 1e-9)
    # The upper Cholesky factor of the inverse holds, row by row, how later columns make up for one.
    spread = np.linalg.cholesky(np.linalg.inv(shared)).T
    for start in range(0, left.shape[1], _BLOCK):
        end = min(start + _BLOCK, left.shape[1])
        lost = np.zeros((len(left), end - start))
        for column in range(start, end):
            chosen = np.clip(np.rint(left[:, column] / sizes), -steps, steps) * sizes
            rounded[:, column] = chosen
            lost[:, column - start] = (left[:, column] - chosen) / spread[column, column]
            left[:, column:end] -= lost[:, column - start, None] * spread[column, column:end]
        left[:, end:] -= lost @ spread[start:end, end:]
    return _keep_largest(weight, rounded, sizes, steps).astype(np.float32)


def _keep_largest(weight: FloatArray, rounded: FloatArray, sizes: FloatArray, steps: int) -> FloatArray:
    """Each row's largest weight on the last step: whoever reads the row finds the same size of a step."""
    rows, places = np.arange(len(weight)), np.abs(weight).argmax(axis=1)
    rounded[rows, places] = np.sign(weight[rows, places]) * steps * sizes
    return rounded


def lost_on_average(weight: FloatArray, rounded: FloatArray, mean_input: FloatArray) -> FloatArray:
    """(out,) what the bias has to make up for: (out, in) matrices, (in,) mean of the inputs."""
    return ((weight - rounded) @ mean_input).astype(np.float32)
