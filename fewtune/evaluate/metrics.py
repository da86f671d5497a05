"""Scores of a classifier, each with its interval.

With repeated cross-validation every repeat is scored on its own and the metric averaged: averaging
the probabilities first would score an ensemble that nobody gets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fewtune.evaluate import intervals
from fewtune.types import FloatArray, IntArray, Score, Scores

_BINS = 10
_DRAWS = 1000
_BOOTSTRAPS = 200
_JEFFREYS = 0.5


@dataclass(frozen=True)
class Outcome:
    """What a classifier answered, in the form that the metrics want.

    Attributes:
        targets: (n,) class indices.
        log_probs: (repeats, n, k); NaN where a repeat did not validate an example.
        groups: (n,) group indices.
    """

    targets: IntArray
    log_probs: FloatArray
    groups: IntArray

    @cached_property
    def seen(self) -> np.ndarray:
        """(repeats, n) whether the example was validated."""
        return ~np.isnan(self.log_probs[:, :, 0])

    @cached_property
    def predicted(self) -> IntArray:
        """(repeats, n) class indices, -1 where the example was not validated."""
        best = np.where(self.seen[:, :, None], self.log_probs, 0).argmax(axis=2)
        return np.where(self.seen, best, -1)

    @cached_property
    def losses(self) -> FloatArray:
        """(n,) mean negative log probability of the truth; NaN where never validated."""
        of_truth = -np.take_along_axis(self.log_probs, self.targets[None, :, None], axis=2)[:, :, 0]
        counts = self.seen.sum(axis=0)
        totals = np.where(self.seen, of_truth, 0.0).sum(axis=0, dtype=np.float64)
        return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)

    @property
    def classes(self) -> int:
        """K."""
        return self.log_probs.shape[2]


def as_outcome(targets: IntArray, log_probs: FloatArray, groups: IntArray) -> Outcome:
    """Bring (n, k) or (repeats, n, k) log probabilities into one form."""
    return Outcome(targets, log_probs if log_probs.ndim == 3 else log_probs[None], groups)


def confusion_matrix(targets: IntArray, predicted: IntArray, classes: int) -> FloatArray:
    """(k, k) counts, rows the truth; predictions of -1 are skipped."""
    kept = predicted >= 0
    cells = targets[kept] * classes + predicted[kept]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(float)


def confusion_metrics(confusion: FloatArray) -> dict[str, float]:
    """Accuracy and averages of precision, recall and F1 over the classes that occur in the truth.

    A class that is never predicted has precision 0, as scikit-learn's `zero_division=0` has it.
    """
    precision, recall, f1 = per_class_metrics(confusion)
    support = confusion.sum(axis=1)
    occurs = support > 0
    return {
        "accuracy": float(np.trace(confusion) / max(confusion.sum(), 1)),
        "precision_macro": float(precision[occurs].mean()),
        "recall_macro": float(recall[occurs].mean()),
        "f1_macro": float(f1[occurs].mean()),
        "f1_weighted": float((f1 * support).sum() / max(support.sum(), 1)),
    }


def per_class_metrics(confusion: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(k,) precision, recall and F1; 0 where a class is never predicted or never occurs."""
    return _rates(np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1))


def _rates(hits: FloatArray, called: FloatArray, support: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    tiny = 1e-12
    precision = hits / np.maximum(called, tiny)
    recall = hits / np.maximum(support, tiny)
    return precision, recall, 2 * hits / np.maximum(called + support, tiny)


def calibration_error(outcome: Outcome, repeat: int, chosen: IntArray | slice = slice(None)) -> float:
    """Expected calibration error of the predicted class in equal-mass bins (Nixon et al. 2019, ACE)."""
    seen = outcome.seen[repeat][chosen]
    confidence = np.exp(outcome.log_probs[repeat][chosen][seen].max(axis=1))
    right = (outcome.predicted[repeat][chosen][seen] == outcome.targets[chosen][seen]).astype(float)
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, min(_BINS, max(1, len(order) // 5)))
    gaps = [abs(confidence[some].mean() - right[some].mean()) * len(some) for some in bins if len(some)]
    return float(sum(gaps) / max(1, len(order)))


def classification_scores(
    targets: IntArray,
    log_probs: FloatArray,
    labels: Sequence[str],
    groups: IntArray,
    *,
    how: str,
    level: float = 0.95,
    optimism: Mapping[str, float] | None = None,
    out_of_fold: bool = False,
) -> Scores:
    """Score a classifier.

    Args:
        targets: (n,) class indices.
        log_probs: (n, k) or (repeats, n, k); NaN where a repeat did not validate an example.
        labels: k class names.
        groups: (n,) group indices; examples of one group count as one to the intervals.
        how: what was scored on what, in words.
        level: nominal coverage of the intervals.
        optimism: metric to what its plain value is too good by (too low by, for losses); subtracted
            before the interval is made.
        out_of_fold: whether the answers are those of cross-validation: then the intervals are wider.
    """
    outcome = as_outcome(targets, log_probs, groups)
    used = outcome.seen.any(axis=0)
    outcome = Outcome(targets[used], outcome.log_probs[:, used], groups[used])
    confusions = [
        confusion_matrix(outcome.targets, row, outcome.classes) for row in outcome.predicted if (row >= 0).any()
    ]
    mean_confusion = np.mean(confusions, axis=0)
    plain = {
        name: float(np.mean([confusion_metrics(c)[name] for c in confusions]))
        for name in confusion_metrics(mean_confusion)
    }
    corrected = {name: float(np.clip(value - (optimism or {}).get(name, 0.0), 0, 1)) for name, value in plain.items()}
    maker = _ScoreMaker(len(np.unique(outcome.groups)), level, intervals.OUT_OF_FOLD_VARIANCE if out_of_fold else 1.0)
    posterior = _Posterior(mean_confusion, intervals.effective_size(outcome.groups) / maker.variance)
    metrics = _confusion_scores(corrected, posterior, maker)
    metrics["log_loss"] = _log_loss(outcome, maker, (optimism or {}).get("log_loss", 0.0))
    metrics["ece"] = _ece(outcome, maker, (optimism or {}).get("ece", 0.0))
    support = np.bincount(outcome.targets, minlength=outcome.classes)
    return Scores(
        metrics=metrics,
        per_class=_per_class(mean_confusion, posterior, labels, maker),
        support={label: int(count) for label, count in zip(labels, support, strict=True)},
        confusion=tuple(tuple(int(cell) for cell in row) for row in _whole(mean_confusion, support)),
        gain_over_baseline=_gain(outcome, maker, corrected["accuracy"] - plain["accuracy"]),
        how=how,
    )


@dataclass(frozen=True, slots=True)
class _ScoreMaker:
    """What all scores of one evaluation share."""

    n: int
    level: float
    variance: float

    def score(self, value: float, interval: intervals.Interval, method: str) -> Score:
        low, high = (None if end is None or not np.isfinite(end) else float(end) for end in interval)
        named = method if self.variance == 1 else f"{method}; {intervals.OUT_OF_FOLD}"
        return Score(float(value), low, high, self.n, self.level, named)


class _Posterior:
    """The confusion matrix's posterior: what its metrics could be, and so how much data stands behind each.

    Each count is a Gamma variate with Jeffreys' prior on the diagonal and one half for all errors
    of a row or a column together (Goutte & Gaussier 2005), so that nothing is certain at 100 %.
    """

    def __init__(self, confusion: FloatArray, effective: float) -> None:
        generator = np.random.default_rng(0)
        classes = len(confusion)
        self.size = confusion.sum()
        scale = effective / max(self.size, 1)
        draws = max(100, min(_DRAWS, 2_000_000 // max(1, np.count_nonzero(confusion) + classes)))
        rows, columns = np.nonzero(confusion - np.diag(np.diag(confusion)))
        errors = generator.gamma(confusion[rows, columns] * scale, size=(draws, len(rows)))
        self._hits = generator.gamma(np.diag(confusion) * scale + _JEFFREYS, size=(draws, classes))
        missed = generator.gamma(_JEFFREYS, size=(draws, classes))
        called = generator.gamma(_JEFFREYS, size=(draws, classes))
        np.add.at(missed.T, rows, errors.T)
        np.add.at(called.T, columns, errors.T)
        self._support = self._hits + missed
        self._called = self._hits + called
        self.scale = scale
        self._occurs = confusion.sum(axis=1) > 0
        self.precision, self.recall, self.f1 = _rates(self._hits, self._called, self._support)

    def effective(self, metric: str, limit: float) -> float:
        """The number of trials at which a proportion would vary as the metric does, at most `limit`."""
        share = self._support[:, self._occurs] / self._support[:, self._occurs].sum(axis=1, keepdims=True)
        if metric == "f1_weighted":
            draws = (self.f1[:, self._occurs] * share).sum(axis=1)
        else:
            rate = {"precision_macro": self.precision, "recall_macro": self.recall, "f1_macro": self.f1}[metric]
            draws = rate[:, self._occurs].mean(axis=1)
        return self._trials(draws, limit)

    def effective_f1(self, label: int, limit: float) -> float:
        """The same for one class's F1."""
        return self._trials(self.f1[:, label], limit)

    @staticmethod
    def _trials(draws: FloatArray, limit: float) -> float:
        mean, variance = float(draws.mean()), float(draws.var())
        return min(limit, mean * (1 - mean) / max(variance, 1e-12))


def _confusion_scores(values: Mapping[str, float], posterior: _Posterior, maker: _ScoreMaker) -> dict[str, Score]:
    n = posterior.size * posterior.scale
    scores = {
        "accuracy": maker.score(
            values["accuracy"], intervals.wilson(values["accuracy"], n, maker.level), intervals.WILSON
        )
    }
    for name, value in values.items():
        if name != "accuracy":
            interval = intervals.wilson(value, posterior.effective(name, n), maker.level)
            scores[name] = maker.score(value, interval, intervals.WILSON_EFFECTIVE)
    return scores


def _per_class(
    confusion: FloatArray, posterior: _Posterior, labels: Sequence[str], maker: _ScoreMaker
) -> dict[str, dict[str, Score]]:
    precision, recall, f1 = per_class_metrics(confusion)
    called, support = confusion.sum(axis=0) * posterior.scale, confusion.sum(axis=1) * posterior.scale
    found = {}
    for i, label in enumerate(labels):
        trials = posterior.effective_f1(i, called[i] + support[i]) if support[i] else 0.0
        # Of a class that no example belongs to, nothing can be said.
        if not support[i]:
            recall[i] = f1[i] = np.nan
            precision[i] = precision[i] if called[i] else np.nan
        found[label] = {
            "precision": maker.score(
                precision[i], intervals.wilson(precision[i], called[i], maker.level), intervals.WILSON
            ),
            "recall": maker.score(recall[i], intervals.wilson(recall[i], support[i], maker.level), intervals.WILSON),
            "f1": maker.score(f1[i], intervals.wilson(f1[i], trials, maker.level), intervals.WILSON_EFFECTIVE),
        }
    return found


def _log_loss(outcome: Outcome, maker: _ScoreMaker, optimism: float) -> Score:
    losses = outcome.losses - optimism
    low, high = intervals.student(losses, outcome.groups, maker.level, maker.variance)
    return maker.score(losses.mean(), (None if low is None else max(0.0, low), high), intervals.STUDENT)


def _ece(outcome: Outcome, maker: _ScoreMaker, optimism: float) -> Score:
    repeats = [i for i in range(len(outcome.seen)) if outcome.seen[i].any()]
    value = max(0.0, float(np.mean([calibration_error(outcome, i) for i in repeats])) - optimism)
    _, member_of = np.unique(outcome.groups, return_inverse=True)
    members = np.split(np.argsort(member_of, kind="stable"), np.cumsum(np.bincount(member_of))[:-1])
    if len(members) < 2:
        return maker.score(value, (None, None), intervals.BOOTSTRAP)
    generator = np.random.default_rng(0)
    draws = np.array(
        [
            calibration_error(outcome, repeats[i % len(repeats)], np.concatenate([members[g] for g in chosen]))
            for i, chosen in enumerate(generator.integers(len(members), size=(_bootstraps(len(members)), len(members))))
        ]
    )
    low, high = intervals.basic_bootstrap(value, draws, maker.level, maker.variance)
    return maker.score(
        value, (min(value, max(0.0, low or 0.0)), min(1.0, max(value, high or 0.0))), intervals.BOOTSTRAP
    )


def _bootstraps(groups: int) -> int:
    """Fewer draws where there is so much data that each says more."""
    return max(50, min(_BOOTSTRAPS, 400_000 // groups))


def _gain(outcome: Outcome, maker: _ScoreMaker, correction: float) -> Score:
    """Accuracy minus that of always answering the commonest class of the truth."""
    commonest = np.bincount(outcome.targets).argmax()
    base = outcome.targets == commonest
    right = np.where(outcome.seen, outcome.predicted == outcome.targets, np.nan)
    better = float(np.nanmean(np.where(base[None], np.where(outcome.seen, 0.0, np.nan), right)))
    worse = float(np.nanmean(np.where(base[None], 1 - right, np.where(outcome.seen, 0.0, np.nan))))
    n = intervals.effective_size(outcome.groups) / maker.variance
    low, high = intervals.paired_difference(max(0.0, better + correction), worse, n, maker.level)
    return maker.score(better - worse + correction, (low, high), intervals.PAIRED)


def _whole(confusion: FloatArray, support: IntArray) -> IntArray:
    """Averaged counts rounded to whole ones, each row still summing to its class's support."""
    rounded = np.floor(confusion).astype(np.int64)
    for row, total in enumerate(support):
        missing = int(total - rounded[row].sum())
        if missing > 0:
            fractions = confusion[row] - rounded[row]
            rounded[row, np.argsort(-fractions, kind="stable")[:missing]] += 1
    return rounded
