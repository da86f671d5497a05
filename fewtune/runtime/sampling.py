"""Words of a translation drawn by chance, for several translations of one sentence.

Top-k sampling (Fan, Lewis & Dauphin 2018, P18-1082, section 5.1) of the ten likeliest words, as Edunov et al. 2018
(D18-1045) back-translate with it: between beam search, whose translations are all alike, and sampling from all words,
which is too wild for small models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fewtune.types import FloatArray, IntArray

_LIKELIEST = 10


@dataclass(frozen=True, slots=True)
class Sampling:
    """How words are drawn.

    Attributes:
        seeds: of each sentence its own, so that it comes out alike whatever it is decoded beside.
        share: of the words that are drawn; the others are the likeliest. From 0 to 1.
    """

    seeds: Sequence[tuple[int, ...]]
    share: float

    def of(self, sentences: Sequence[int]) -> Sampling:
        """The same for some of the sentences."""
        return replace(self, seeds=[self.seeds[i] for i in sentences])

    def draws(self, longest: int) -> Draws:
        """The draws for sentences of at most so many words."""
        numbers = np.stack([np.random.default_rng(seed).random(longest) for seed in self.seeds])
        return Draws(numbers, self.share)


@dataclass(frozen=True, slots=True)
class Draws:
    """What chance says of every word of some sentences.

    Attributes:
        numbers: (sentences, longest) from 0 to 1.
        share: of the words that are drawn.
    """

    numbers: FloatArray
    share: float

    def words(self, logits: FloatArray, sentences: IntArray, position: int) -> IntArray:
        """(batch,) where the next words stand.

        Args:
            logits: (batch, words), minus infinity where a word may not be used.
            sentences: (batch,) which sentences these are.
            position: of the word.
        """
        numbers = self.numbers[sentences, position]
        count = min(_LIKELIEST, logits.shape[1])
        places = np.argpartition(-logits, count - 1, axis=1)[:, :count]
        rows = np.arange(len(logits))[:, None]
        # Likeliest first, so that a number means about the same word where the logits are about the same.
        places = places[rows, np.lexsort((places, -logits[rows, places]))]
        likeliest = logits[rows, places].astype(np.float64)
        shares = np.exp(likeliest - likeliest[:, :1]).cumsum(axis=1)
        wanted = np.where(numbers < self.share, numbers / self.share, 0.0) * shares[:, -1]
        ranks = np.minimum((shares <= wanted[:, None]).sum(axis=1), count - 1)
        return places[rows[:, 0], ranks].astype(np.int64)
