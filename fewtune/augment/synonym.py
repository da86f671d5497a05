"""Synonym replacement (Zhang, Zhao & LeCun 2015, arXiv:1509.01626; as in Wei & Zou 2019, EDA, arXiv:1901.11196)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewtune.augment.by_words import ByWords, like, shuffled
from fewtune.augment.thesaurus import check_thesaurus, synonyms_for
from fewtune.augment.words import Words


class SynonymReplacement(ByWords):
    """Puts synonyms in the place of words, in the same part of speech and inflection."""

    name = "synonym"
    help = "puts synonyms in the place of words"

    def check(self, texts: Sequence[str]) -> None:
        """Raises MissingExtraError where there are no synonyms for the texts' languages."""
        super().check(texts)
        check_thesaurus(texts)

    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Replace words that have synonyms, in random order until enough are replaced."""
        wanted, synonyms = self.count(words.free), synonyms_for(words)
        for index in shuffled(words.free, generator):
            known = synonyms(pieces, index)
            if known:
                pieces[index] = like(known[int(generator.random() * len(known))], pieces[index])
                wanted -= 1
                if not wanted:
                    break
        return wanted < self.count(words.free)
