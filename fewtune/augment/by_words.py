"""What the augmentations that work on words share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from fewtune.augment.chinese import check_segmenter
from fewtune.augment.protected import phrases
from fewtune.augment.words import Words, joined, words_of
from fewtune.interfaces import Augmentation


class ByWords(Augmentation):
    """Changes some of a text's words and leaves all else as it is."""

    def __init__(self, strength: float = 0.1, keep: Sequence[str] = ()) -> None:
        """Set it up; see `Augmentation`."""
        super().__init__(strength, keep)
        self._kept = phrases(self.keep)

    def check(self, texts: Sequence[str]) -> None:
        """Raises MissingExtraError where a text is Chinese and jieba is not installed."""
        check_segmenter(texts)

    def view(self, text: str, generator: np.random.Generator) -> str:
        """One view of the text."""
        words = words_of(text, self._kept)
        pieces = list(words.pieces)
        if not self.change(pieces, words, generator):
            return text
        return joined(pieces) if "" in pieces else "".join(pieces)

    @abstractmethod
    def change(self, pieces: list[str], words: Words, generator: np.random.Generator) -> bool:
        """Change `pieces` in place, a piece that goes to nothing; whether anything was changed."""

    def count(self, words: Sequence[int]) -> int:
        """How many of these words are to change: the share that the strength says, at least one."""
        return max(1, round(self.strength * len(words)))


def shuffled(indices: Sequence[int], generator: np.random.Generator) -> list[int]:
    """The indices in random order."""
    return generator.permutation(indices).tolist() if indices else []


def like(word: str, model: str) -> str:
    """`word` with the capitals of `model`."""
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
