"""Greedy decoding of many sentences at once: the likeliest word each time, until the sentence ends.

The same for whatever computes the logits: the graphs of a bundle, or the network that is tuned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fewtune.runtime.sampling import Sampling
from fewtune.runtime.shortlist import Shortlist
from fewtune.types import FloatArray, IntArray

# Where fewer than this share of a batch's sentences still go on, the others' rows are dropped.
_KEPT_SHARE = 0.7
_SHORTEST_LIMIT = 8


@dataclass(frozen=True, slots=True)
class Source:
    """A sentence to be translated.

    Attributes:
        ids: its words, the end of the sentence among them.
        marks: for each protected span of it, the ids that stand for the span in a translation: each is used once.
    """

    ids: tuple[int, ...]
    marks: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """What of the target's vocabulary may be used.

    Attributes:
        shortlist: by the source's words; None: all of them.
        size: of the vocabulary.
        end: id of the end of a sentence.
        never: ids that are never used: the unknown, and the marks of sentences that have none.
        length_factor: a translation has at most so many times the words of its source.
        start: ids that a translation begins with, which are not part of it; none: it begins with nothing.
        longest: words of a translation at most, whatever its source; 0: no such limit.
        beams: translations of a sentence that are followed at once; see runtime/beam.py.
        length_penalty: by this power of its length the score of a beam is divided.
        stops_early: whether a sentence is done with as many translations as there are beams.
    """

    shortlist: Shortlist | None
    size: int
    end: int
    never: IntArray
    length_factor: float
    start: tuple[int, ...] = ()
    longest: int = 0
    beams: int = 1
    length_penalty: float = 1.0
    stops_early: bool = False

    def of(self, source: Source) -> IntArray:
        """Sorted ids that a translation of the source may use."""
        listed = np.arange(self.size) if self.shortlist is None else self.shortlist.of(source.ids)
        marks = [mark for forms in source.marks for mark in forms]
        return np.union1d(np.setdiff1d(listed, self.never, assume_unique=True), [self.end, *marks]).astype(np.int64)

    def limit(self, source: Source) -> int:
        """The most words that a translation of the source may have."""
        most = max(_SHORTEST_LIMIT, int(self.length_factor * len(source.ids))) + len(source.marks)
        return min(most, self.longest) if self.longest else most


class StepNetwork(Protocol):
    """Computes logits, a word at a time."""

    def begin(self, input_ids: IntArray, mask: IntArray, output_ids: IntArray) -> Any:
        """Read the sources (batch, source); what `step` needs of them."""
        ...

    def step(self, memory: Any, previous: IntArray, position: int) -> FloatArray:
        """(batch, words) logits of the next word; `previous` (batch,) is -1 at the beginning. Changes `memory`."""
        ...

    def keep(self, memory: Any, rows: IntArray) -> Any:
        """The memory of some of the batch's sentences."""
        ...


class DecodedBatch(ABC):
    """Sentences that are decoded together."""

    def __init__(
        self, network: StepNetwork, sources: Sequence[Source], words: Words, sampling: Sampling | None = None
    ) -> None:
        """Read the sources, and take the steps that a translation begins with."""
        self._network, self._words = network, words
        allowed = [words.of(source) for source in sources]
        every = [np.arange(words.size)] if words.shortlist is None else allowed
        output_ids = np.unique(np.concatenate([*every, words.start])).astype(np.int64)
        # Every sentence keeps to its own words: 0 where one may be used, minus infinity elsewhere.
        self._bias = np.full((len(sources), len(output_ids)), -np.inf, np.float32)
        for row, ids in enumerate(allowed):
            self._bias[row, np.searchsorted(output_ids, ids)] = 0
        self._end = int(np.searchsorted(output_ids, words.end))
        self._output_ids = output_ids
        self._waiting = [[np.searchsorted(output_ids, forms) for forms in source.marks] for source in sources]
        self._limits = [words.limit(source) for source in sources]
        self._draws = sampling.draws(max(self._limits) + 1) if sampling else None
        self._memory = network.begin(*padded(sources), output_ids)
        # Steps that were taken before the first word is chosen.
        self._ahead = max(0, len(words.start) - 1)
        places = [-1] if not words.start else np.searchsorted(output_ids, words.start).tolist()
        for position, place in enumerate(places[:-1]):
            network.step(self._memory, np.full(len(sources), place, np.int64), position)
        self._previous = np.full(len(sources), places[-1], np.int64)

    @abstractmethod
    def decode(self) -> list[list[int]]:
        """The ids of each translation, without the end."""

    def _forced(self, waiting: Sequence[IntArray], logits: FloatArray, full: bool) -> IntArray | None:
        """Places of the words of which one has to come next, or None: a sentence is not over while a span waits."""
        if waiting and (full or int(logits.argmax()) == self._end):
            return np.concatenate(list(waiting))
        return np.array([self._end]) if full else None


class GreedyBatch(DecodedBatch):
    """The likeliest word each time."""

    def decode(self) -> list[list[int]]:
        """The ids of each translation, without the end."""
        found: list[list[int]] = [[] for _ in self._limits]
        rows, bias, previous = np.arange(len(found)), self._bias, self._previous
        going = np.ones(len(rows), bool)
        position = 0
        while going.any():
            logits = self._network.step(self._memory, previous, position + self._ahead) + bias
            if self._draws is not None:
                logits[np.arange(len(rows)), self._draws.words(logits, rows, position)] = np.inf
            previous = logits.argmax(axis=1).astype(np.int64)
            for row in np.flatnonzero(going):
                previous[row] = self._next(int(rows[row]), logits[row], bias[row], position)
                going[row] = previous[row] != self._end
                if going[row]:
                    found[rows[row]].append(int(self._output_ids[previous[row]]))
            position += 1
            if going.mean() < _KEPT_SHARE and going.any():
                kept = np.flatnonzero(going)
                self._memory = self._network.keep(self._memory, kept)
                rows, bias, previous, going = rows[kept], bias[kept], previous[kept], going[kept]
        return found

    def _next(self, sentence: int, logits: FloatArray, bias: FloatArray, position: int) -> int:
        waiting = self._waiting[sentence]
        forced = self._forced(waiting, logits, position + len(waiting) >= self._limits[sentence])
        best = int(logits.argmax() if forced is None else forced[logits[forced].argmax()])
        for place, forms in enumerate(waiting):
            if best in forms:
                bias[forms] = -np.inf
                del waiting[place]
                break
        return best


def padded(sources: Sequence[Source]) -> tuple[IntArray, IntArray]:
    """Words of the sources (sentences, the longest one's) and where they are words; 0 elsewhere."""
    width = max(len(source.ids) for source in sources)
    input_ids = np.zeros((len(sources), width), np.int64)
    mask = np.zeros_like(input_ids)
    for row, source in enumerate(sources):
        input_ids[row, : len(source.ids)] = source.ids
        mask[row, : len(source.ids)] = 1
    return input_ids, mask
