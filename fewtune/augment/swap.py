"""Random swap (Wei & Zou 2019, EDA, arXiv:1901.11196)."""

from __future__ import annotations

import numpy as np

from fewtune.augment.by_words import ByWords, shuffled
from fewtune.augment.words import Words


class RandomSwap(ByWords):
    """Lets pairs of words change places."""

    name = "swap"
    help = "lets words change places"

    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Swap words, but no negation and no word that is negated."""
        order = shuffled(words.movable, generator)
        pairs = list(zip(order[::2], order[1::2], strict=False))[: self.count(words.movable)]
        for first, second in pairs:
            pieces[first], pieces[second] = pieces[second], pieces[first]
        return bool(pairs)
