"""When to say "unsure": the least confidence at which so few of the answers are wrong.

Selective classification (Geifman & El-Yaniv 2017, arXiv:1705.08500) with what few examples allow: no
bound that holds almost surely, but the threshold that is expected to keep the errors among the
answered below a goal, and an interval of what they will be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.evaluate import intervals
from fewtune.types import FloatArray, IntArray, Score, Threshold

GOALS = (0.01, 0.02, 0.05, 0.1, 0.2)
# How many examples the confidence itself counts as, beside those that were seen to be right or wrong.
_PRIOR_EXAMPLES = 5.0
# An error rate among fewer answers than these is not worth naming.
_FEWEST_ANSWERED = 5.0
# Shares of the goal that are aimed at, one after the other, until the error is within the goal after its correction.
_STRICTER = (1.0, 0.8, 0.6, 0.4, 0.25, 0.1)
_DRAWS = 200
# The confidence of what is not answered whatever the threshold is.
_NEVER = -1.0
_SHARE = f"{intervals.WILSON}; {intervals.OUT_OF_FOLD}"
_ERROR = f"{_SHARE}; corrected by the bootstrap for the threshold's choice"


@dataclass(frozen=True)
class _Answers:
    """Answers sorted by falling confidence.

    Attributes:
        confidence: (m,) of each.
        wrong: (m,) whether it is.
        weight: (m,) what each counts; their sum is the number of independent examples.
        member_of: (m,) index of its group.
    """

    confidence: FloatArray
    wrong: FloatArray
    weight: FloatArray
    member_of: IntArray

    def threshold(self, goal: float, drawn: FloatArray | None = None) -> float:
        """The least confidence that is answered; infinite where no threshold reaches the goal.

        Args:
            goal: highest expected share of errors among the answered.
            drawn: (groups,) how often each was drawn; None: once.
        """
        weight = self.weight if drawn is None else self.weight * drawn[self.member_of]
        answered = np.cumsum(weight)
        foreseen = np.cumsum(weight * (1 - self.confidence)) / np.maximum(answered, 1e-12)
        error = (np.cumsum(weight * self.wrong) + _PRIOR_EXAMPLES * foreseen) / (answered + _PRIOR_EXAMPLES)
        # Equal confidences are answered together or not at all.
        last = np.append(self.confidence[1:] < self.confidence[:-1], True)
        possible = self.confidence > _NEVER
        reached = np.flatnonzero((error <= goal) & last & possible & (answered >= _FEWEST_ANSWERED))
        if not len(reached):
            return math.inf
        place = int(reached[-1])
        if place + 1 == len(self.confidence) or self.confidence[place + 1] == _NEVER:
            return 0.0
        return float((self.confidence[place] + self.confidence[place + 1]) / 2)

    def error(self, threshold: float, counted: FloatArray | None = None) -> tuple[float, float]:
        """The share of errors among the answers from `threshold` on, and what these answers count."""
        weight = self.weight if counted is None else self.weight * counted[self.member_of]
        answered = weight * (self.confidence >= threshold)
        total = float(answered.sum())
        return float(answered @ self.wrong) / max(total, 1e-12), total


def choose_thresholds(
    targets: IntArray,
    log_probs: FloatArray,
    groups: IntArray,
    generator: np.random.Generator,
    goals: Sequence[float] = GOALS,
    level: float = 0.95,
    outside: np.ndarray | None = None,
) -> tuple[Threshold, ...]:
    """For each goal, below which confidence to say "unsure".

    Args:
        targets: (n,) class indices.
        log_probs: (repeats, n, k) calibrated, out of fold; NaN where a repeat did not validate an example.
        groups: (n,) group indices.
        generator: draws groups for the correction.
        goals: highest shares of errors among the answered, each above 0.
        level: nominal coverage of the intervals.
        outside: (repeats, n) which inputs are taken for ones of another kind: they are never answered.

    Returns:
        One for each goal; with a `below` of None where no threshold reaches it.
    """
    answers = _sorted_answers(targets, log_probs, groups, outside)
    count = int(answers.member_of.max()) + 1
    effective = intervals.effective_size(groups[~np.isnan(log_probs[:, :, 0]).all(axis=0)])
    effective /= intervals.OUT_OF_FOLD_VARIANCE
    number = max(20, min(_DRAWS, 400_000 // count))
    draws = [np.bincount(generator.integers(count, size=count), minlength=count).astype(float) for _ in range(number)]
    return tuple(_threshold(answers, goal, draws, count, effective, level) for goal in goals)


def _threshold(
    answers: _Answers, goal: float, draws: Sequence[FloatArray], groups: int, effective: float, level: float
) -> Threshold:
    """The lowest threshold whose error, corrected for its choice, is within the goal."""
    for share in _STRICTER:
        below = answers.threshold(share * goal)
        if math.isinf(below):
            break
        seen, counted = answers.error(below)
        error = min(1.0, seen + _optimism(answers, share * goal, draws))
        if error <= goal:
            answered = counted / float(answers.weight.sum())
            # What was seen may be right after all: the correction moves the upper end alone.
            low, high = (intervals.wilson(rate, answered * effective, level) for rate in (seen, error))
            return Threshold(
                goal,
                below,
                Score(answered, *intervals.wilson(answered, effective, level), groups, level, _SHARE),
                Score(error, low[0], high[1], groups, level, _ERROR),
            )
    return Threshold(goal, None, None, None)


def _optimism(answers: _Answers, goal: float, draws: Sequence[FloatArray]) -> float:
    """How much lower the error looks where the threshold was chosen than elsewhere; at least 0."""
    here = there = np.zeros(2)
    for drawn in draws:
        chosen = answers.threshold(goal, drawn)
        if math.isinf(chosen):
            continue
        inside, outside = answers.error(chosen, drawn), answers.error(chosen, (drawn == 0).astype(float))
        here = here + np.array([inside[0] * inside[1], inside[1]])
        there = there + np.array([outside[0] * outside[1], outside[1]])
    if not here[1] or not there[1]:
        return 0.0
    return max(0.0, float(there[0] / there[1] - here[0] / here[1]))


def _sorted_answers(targets: IntArray, log_probs: FloatArray, groups: IntArray, outside: np.ndarray | None) -> _Answers:
    seen = ~np.isnan(log_probs[:, :, 0])
    repeat, example = np.nonzero(seen)
    answers = log_probs[repeat, example]
    confidence = np.exp(answers.max(axis=1).astype(np.float64))
    if outside is not None:
        confidence = np.where(outside[repeat, example], _NEVER, confidence)
    order = np.argsort(-confidence, kind="stable")
    validated = groups[seen.any(axis=0)]
    independent = intervals.effective_size(validated) / len(validated)
    member_of = np.unique(groups[example], return_inverse=True)[1].astype(np.int64)
    return _Answers(
        confidence=confidence[order],
        wrong=(answers.argmax(axis=1) != targets[example]).astype(float)[order],
        weight=(independent / seen.sum(axis=0)[example])[order],
        member_of=member_of[order],
    )
