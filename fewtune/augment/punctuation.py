"""Punctuation noise: marks put between words (Karimi, Rossi & Prati 2021, AEDA, arXiv:2108.13230), or left out."""

from __future__ import annotations

import numpy as np

from fewtune.augment.by_words import ByWords, shuffled
from fewtune.augment.chinese import is_han
from fewtune.augment.words import Words

_MARKS, _WIDE_MARKS = ".,;:!?", "。，；：！？、"


class PunctuationNoise(ByWords):
    """Puts marks after some words, or leaves out some marks that are there."""

    name = "punctuation"
    help = "puts punctuation marks in, or leaves them out"

    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Add marks, or take some away, by a throw of a coin."""
        marks = [index for index, piece in enumerate(pieces) if piece in _MARKS or piece in _WIDE_MARKS]
        if marks and generator.random() < 0.5:
            for index in shuffled(marks, generator)[: self.count(words.free)]:
                pieces[index] = _in_place_of_a_mark(pieces, index)
            return True
        some = shuffled(words.free, generator)[: self.count(words.free)]
        for index, draw in zip(some, generator.random(len(some)).tolist(), strict=True):
            known = _WIDE_MARKS if is_han(pieces[index]) else _MARKS
            pieces[index] += known[int(draw * len(known))]
        return bool(some)


def _in_place_of_a_mark(pieces: list[str], index: int) -> str:
    """Nothing, but a space where the mark alone parts what stands beside it: words must not grow together."""
    before = next((piece[-1] for piece in reversed(pieces[:index]) if piece), " ")
    after = next((piece[0] for piece in pieces[index + 1 :] if piece), " ")
    parted = any(char.isspace() or char in _MARKS or char in _WIDE_MARKS for char in (before, after))
    return "" if parted or (is_han(before) and is_han(after)) else " "
