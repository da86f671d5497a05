"""Random deletion (Wei & Zou 2019, EDA, arXiv:1901.11196)."""

from __future__ import annotations

import numpy as np

from fewtune.augment.by_words import ByWords
from fewtune.augment.words import Words


class RandomDeletion(ByWords):
    """Leaves out each word with a probability of the strength; at least one, never all."""

    name = "deletion"
    help = "leaves words out"

    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Delete words, but no negation and no word that is negated."""
        if not words.movable or len(words.free) < 2:
            return False
        draws = generator.random(len(words.movable)).tolist()
        threshold = max(self.strength, min(draws))
        gone = [index for index, draw in zip(words.movable, draws, strict=True) if draw <= threshold]
        if len(gone) == len(words.free):
            gone.pop(draws.index(max(draws)))
        for index in gone:
            pieces[index] = ""
        return True
