"""Noise in the case of letters: all small, all capital, as a title, or some words shouted."""

from __future__ import annotations

import numpy as np

from fewtune.augment.by_words import ByWords, shuffled
from fewtune.augment.words import Words


class CaseNoise(ByWords):
    """Changes the case of a whole text, or of some words."""

    name = "case"
    help = "changes small and capital letters"

    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Change case; protected spans keep theirs."""
        cased = [index for index in words.free if pieces[index].lower() != pieces[index].upper()]
        kind = int(generator.random() * 4)
        some = cased if kind < 3 else shuffled(cased, generator)[: self.count(cased)]
        change = (str.lower, str.upper, str.capitalize, str.upper)[kind]
        for index in some:
            pieces[index] = change(pieces[index])
        return bool(some)
