"""Random insertion (Wei & Zou 2019, EDA, arXiv:1901.11196)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fewtune.augment.by_words import ByWords, shuffled
from fewtune.augment.chinese import is_han
from fewtune.augment.thesaurus import check_thesaurus, synonyms_for
from fewtune.augment.words import Words


class RandomInsertion(ByWords):
    """Puts synonyms of a text's words before other words of it."""

    name = "insertion"
    help = "puts synonyms of words elsewhere into the text"

    def check(self, texts: Sequence[str]) -> None:
        """Raises MissingExtraError where there are no synonyms for the texts' languages."""
        super().check(texts)
        check_thesaurus(texts)

    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Insert synonyms; never between a negation and the word that it negates."""
        if not words.movable:
            return False
        found: list[str] = []
        synonyms, wanted = synonyms_for(words), self.count(words.free)
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
