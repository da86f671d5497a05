"""Training texts and their views, which no fold may part: what the frozen rungs learn from.

The views of an example are training rows beside it. They carry half of its weight together, so that
every example counts as much as without them, and follow it through every split: what validates an
example has never seen a view of it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fewtune.augment.policy import Policy
from fewtune.interfaces import RunContext, TuningError
from fewtune.types import Dataset, FloatArray, IntArray

AUGMENT_HELP = "augmentations whose views are learnt from too, with commas between them; none: no views"
# Share of an example's weight that goes to its views.
_SHARE = 0.5
# What was foreseen is exceeded now and then: so much room is kept.
_ROOM = 1.25
# Logarithm of the log loss of a rung with views over that of the one without, mean and deviation
# (benchmarks/README.md, "Augmentation").
VIEWS_GAIN = (-0.01, 0.015)


@dataclass(frozen=True, slots=True)
class AugmentedTexts:
    """The texts of a data set, and after them their views.

    Attributes:
        texts: (n + m) the examples' texts in their order, then the views.
        owners: (n + m,) index of the example that each belongs to.
        examples: n.
    """

    texts: Sequence[str]
    owners: IntArray
    examples: int

    @classmethod
    def of(cls, dataset: Dataset, policy: Policy | None, run: RunContext) -> AugmentedTexts:
        """With the views that a policy makes, once in a run; without any where it is None.

        Raises:
            TuningError: making the views would take longer than is left of the budget.
        """
        texts = [example.input for example in dataset]
        examples = np.arange(len(texts), dtype=np.int64)
        if policy is None:
            return cls(texts, examples, len(texts))

        def make() -> AugmentedTexts:
            make_views = _kept_views if policy.is_slow else _views
            found, owners = make_views(texts, policy, run)
            return cls([*texts, *found], np.concatenate([examples, np.array(owners, np.int64)]), len(texts))

        # A rung is foreseen, tried, fitted and tried on parts of the data, and so is its like with another encoder.
        return run.memo.once(("views", *_key(texts, policy, run)), make)

    @classmethod
    def foreseen(cls, dataset: Dataset, policy: Policy | None, run: RunContext) -> tuple[Sequence[str], float]:
        """What a rung will learn from, and what making it will take.

        Returns:
            The texts and their views, and 0.0; where views are slow to make and there are none yet, the texts with
            others as long as they are in the views' place, and seconds.

        Raises:
            TuningError: making the views would take longer than is left of the budget.
        """
        texts = [example.input for example in dataset]
        if policy is None or not policy.is_slow or ("views", *_key(texts, policy, run)) in run.memo:
            return cls.of(dataset, policy, run).texts, 0.0
        stand_ins = [f"{text} {number}" for text in texts for number in range(policy.copies)]
        return [*texts, *stand_ins], _seconds(texts, policy, run)

    def training_rows(self, chosen: IntArray) -> tuple[IntArray, FloatArray]:
        """Rows to learn from when `chosen` examples train, and their weights.

        Returns:
            Indices into `texts`: the chosen examples, then their views and no others'; and a weight for
            each: those of one example and its views sum to 1.
        """
        views = self.examples + np.flatnonzero(np.isin(self.owners[self.examples :], chosen))
        counts = np.bincount(self.owners[views], minlength=self.examples)
        weight = np.where(counts > 0, 1 - _SHARE, 1.0)[chosen]
        return np.concatenate([chosen, views]), np.concatenate([weight, _SHARE / counts[self.owners[views]]])


def _key(texts: Sequence[str], policy: Policy, run: RunContext) -> tuple[Hashable, ...]:
    return run.seed, policy.key, tuple(texts)


def _views(texts: Sequence[str], policy: Policy, run: RunContext) -> tuple[list[str], list[int]]:
    """Views, and the index of the text that each is one of."""
    generator_of = partial(run.generator, "augment")
    views = policy.views(texts, generator_of, threads=run.threads, progress=run.progress)
    return views.texts, views.owners.tolist()


def _kept_views(texts: Sequence[str], policy: Policy, run: RunContext) -> tuple[list[str], list[int]]:
    """The same, made once for all sittings of a run, and only if the budget has room for it."""
    name = f"views by {policy.full_name}, {_digest(texts, policy, run)}"

    def made() -> dict[str, Any]:
        try:
            _seconds(texts, policy, run)
        except TuningError as error:
            return {"why": str(error)}
        found, owners = _views(texts, policy, run)
        return {"why": "", "views": found, "owners": owners}

    kept = run.journal.once(name, made)
    if kept["why"]:
        raise TuningError(kept["why"])
    return kept["views"], kept["owners"]


def _digest(texts: Sequence[str], policy: Policy, run: RunContext) -> str:
    return hashlib.sha256(repr(_key(texts, policy, run)).encode()).hexdigest()[:24]


def _seconds(texts: Sequence[str], policy: Policy, run: RunContext) -> float:
    """What making views will take; raises TuningError where that is more than is left of the budget."""
    key = ("seconds of views", *_key(texts, policy, run))
    seconds = run.memo.once(key, lambda: policy.seconds(texts, threads=run.threads))
    left = run.seconds_left
    if _ROOM * seconds > left:
        minutes = max(1, math.ceil((_ROOM * seconds - left) / 60))
        raise TuningError(
            f"its views by {policy.name} would take about {seconds:.0f} s, and {max(0, left):.0f} s of the budget were "
            f"left; a --budget longer by about {minutes} min tries it"
        )
    return seconds
