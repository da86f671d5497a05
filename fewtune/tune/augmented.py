"""Training texts and their views, which no fold may part: what the frozen rungs learn from.

The views of an example are training rows beside it. They carry half of its weight together, so that
every example counts as much as without them, and follow it through every split: what validates an
example has never seen a view of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.augment.policy import Policy
from fewtune.interfaces import RunContext
from fewtune.types import Dataset, FloatArray, IntArray

AUGMENT_HELP = "augmentations whose views are learnt from too, with commas between them; none: no views"
# Share of an example's weight that goes to its views.
_SHARE = 0.5
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
        """With the views that a policy makes, once in a run; without any where it is None."""
        texts = [example.input for example in dataset]
        examples = np.arange(len(texts), dtype=np.int64)
        if policy is None:
            return cls(texts, examples, len(texts))

        def make() -> AugmentedTexts:
            views = policy.views(texts, lambda text: run.generator("augment", text), progress=run.progress)
            return cls([*texts, *views.texts], np.concatenate([examples, views.owners]), len(texts))

        # A rung is foreseen, tried, fitted and tried on parts of the data, and so is its like with another encoder.
        return run.memo.once(("views", run.seed, policy.key, tuple(texts)), make)

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
