"""Random insertion (Wei & Zou 2019, EDA, arXiv:1901.11196)."""

from __future__ import annotations

import numpy as np

from fewtune.augment.by_synonyms import BySynonyms
from fewtune.augment.by_words import shuffled
from fewtune.augment.chinese import is_han
from fewtune.augment.thesaurus import synonyms_for
from fewtune.augment.words import Words


class RandomInsertion(BySynonyms):
    """Puts synonyms of a text's words before other words of it."""

    name = "insertion"
    help = "puts synonyms of words elsewhere into the text"

    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Insert synonyms; never between a negation and the word that it negates."""
        if not words.movable:
            return False
        found: list[str] = []
        synonyms, wanted = synonyms_for(words, self.source), self.count(words.free)
        for index in shuffled(words.free, generator):
            known = synonyms(words.pieces, index)
            if known:
                found.append(known[int(generator.random() * len(known))])
                if len(found) == wanted:
                    break
        for synonym in found:
            place = words.movable[int(generator.random() * len(words.movable))]
            space = "" if is_han(synonym) else " "
            pieces[place] = f"{synonym}{space}{pieces[place]}"
        return bool(found)
