"""Is an input of the kind that the model learnt from? By its distance to the classes in feature space.

The cosine to the nearest class mean. It tells texts of other kinds apart as well as a Mahalanobis
distance (Lee et al. 2018, arXiv:1807.03888) or nearest neighbours do with few labels
(benchmarks/README.md), and unlike the latter gives no single example away, as long as a class has a few.
"""

from __future__ import annotations

import numpy as np

from fewtune.types import FloatArray, IntArray, Resampling

# Share of inputs of the right kind that are kept.
KEPT = 0.95


def class_means(features: FloatArray, targets: IntArray, classes: int) -> FloatArray:
    """(classes, width) mean vectors; of a class without examples, nothing but zeros.

    Args:
        features: (n, width).
        targets: (n,) class indices.
        classes: number of classes.
    """
    sums = np.zeros((classes, features.shape[1]))
    np.add.at(sums, targets, features)
    counts = np.bincount(targets, minlength=classes)
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


def similarity(features: FloatArray, means: FloatArray) -> FloatArray:
    """(n,) cosine of each of (n, width) features to the nearest of (classes, width) means."""
    return (_unit(features) @ _unit(means).T).max(axis=1)


def out_of_fold_similarity(features: FloatArray, targets: IntArray, classes: int, resampling: Resampling) -> FloatArray:
    """(repeats, n) similarity of each example to the means of the folds that it is not in; NaN where not validated."""
    found = np.full((resampling.repeats, len(targets)), np.nan, np.float32)
    for number, split in enumerate(resampling.splits):
        means = class_means(features[split.train], targets[split.train], classes)
        found[number // resampling.folds, split.valid] = similarity(features[split.valid], means)
    return found


def scope_threshold(out_of_fold: FloatArray, kept: float = KEPT) -> float:
    """The similarity that `kept` of the examples reach out of fold (repeats, n), NaN where not validated."""
    known = out_of_fold[~np.isnan(out_of_fold)].astype(np.float64)
    return float(np.quantile(known, 1 - kept, method="lower"))


def _unit(rows: FloatArray) -> FloatArray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
