"""Synonym replacement (Zhang, Zhao & LeCun 2015, arXiv:1509.01626; as in Wei & Zou 2019, EDA, arXiv:1901.11196)."""

from __future__ import annotations

import numpy as np

from fewtune.augment.by_synonyms import BySynonyms
from fewtune.augment.by_words import like, shuffled
from fewtune.augment.thesaurus import synonyms_for
from fewtune.augment.words import Words


class SynonymReplacement(BySynonyms):
    """Puts synonyms in the place of words, in the same part of speech and inflection."""

    name = "synonym"
    help = "puts synonyms in the place of words"

    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Replace words that have synonyms, in random order until enough are replaced."""
        wanted, synonyms = self.count(words.free), synonyms_for(words, self.source)
        for index in shuffled(words.free, generator):
            known = synonyms(pieces, index)
            if known:
                pieces[index] = like(known[int(generator.random() * len(known))], pieces[index])
                wanted -= 1
                if not wanted:
                    break
        return wanted < self.count(words.free)
