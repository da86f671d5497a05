"""Greedy decoding of many sentences at once: the likeliest word each time, until the sentence ends.

The same for whatever computes the logits: the graphs of a bundle, or the network that is tuned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fewtune.progress import Step
from fewtune.runtime.sampling import Sampling
from fewtune.runtime.shortlist import Shortlist
from fewtune.types import FloatArray, IntArray

# Tokens of sources, padding included, that are decoded together, and sentences at most.
_TOKENS, _SENTENCES = 1536, 64
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
    """

    shortlist: Shortlist | None
    size: int
    end: int
    never: IntArray
    length_factor: float

    def of(self, source: Source) -> IntArray:
        """Sorted ids that a translation of the source may use."""
        listed = np.arange(self.size) if self.shortlist is None else self.shortlist.of(source.ids)
        marks = [mark for forms in source.marks for mark in forms]
        return np.union1d(np.setdiff1d(listed, self.never, assume_unique=True), [self.end, *marks]).astype(np.int64)

    def limit(self, source: Source) -> int:
        """The most words that a translation of the source may have."""
        return max(_SHORTEST_LIMIT, int(self.length_factor * len(source.ids))) + len(source.marks)


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


def decode(
    network: StepNetwork,
    sources: Sequence[Source],
    words: Words,
    *,
    sampling: Sampling | None = None,
    step: Step | None = None,
) -> list[list[int]]:
    """Translate.

    Args:
        network: what computes the logits.
        sources: n sentences.
        words: what may be used.
        sampling: how words are drawn by chance; None: the likeliest is taken.
        step: is told of every sentence done.

    Returns:
        The ids of each translation, without the end.
    """
    found: list[list[int]] = [[] for _ in sources]
    for batch in _batches([len(source.ids) for source in sources]):
        drawn = sampling.of(batch) if sampling else None
        decoded = _Batch(network, [sources[i] for i in batch], words, drawn).decode()
        for i, ids in zip(batch, decoded, strict=True):
            found[i] = ids
        if step is not None:
            step.advance(len(batch))
    return found


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of sentences of like length, longest first."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    while order:
        size = min(_SENTENCES, max(1, _TOKENS // max(1, lengths[order[0]])))
        yield order[:size]
        order = order[size:]


class _Batch:
    """Sentences that are decoded together."""

    def __init__(
        self, network: StepNetwork, sources: Sequence[Source], words: Words, sampling: Sampling | None
    ) -> None:
        self._network = network
        allowed = [words.of(source) for source in sources]
        output_ids = np.unique(np.concatenate(allowed))
        # Every sentence keeps to its own words: 0 where one may be used, minus infinity elsewhere.
        self._bias = np.full((len(sources), len(output_ids)), -np.inf, np.float32)
        for row, ids in enumerate(allowed):
            self._bias[row, np.searchsorted(output_ids, ids)] = 0
        self._end = int(np.searchsorted(output_ids, words.end))
        self._output_ids = output_ids
        self._waiting = [[np.searchsorted(output_ids, forms) for forms in source.marks] for source in sources]
        self._limits = [words.limit(source) for source in sources]
        self._draws = sampling.draws(max(self._limits) + 1) if sampling else None
        self._memory = network.begin(*_padded(sources), output_ids)
        self._found: list[list[int]] = [[] for _ in sources]

    def decode(self) -> list[list[int]]:
        rows = np.arange(len(self._found))
        bias, previous = self._bias, np.full(len(rows), -1, np.int64)
        going = np.ones(len(rows), bool)
        position = 0
        while going.any():
            logits = self._network.step(self._memory, previous, position) + bias
            if self._draws is not None:
                logits[np.arange(len(rows)), self._draws.words(logits, rows, position)] = np.inf
            previous = logits.argmax(axis=1).astype(np.int64)
            for row in np.flatnonzero(going):
                previous[row] = self._next(int(rows[row]), logits[row], bias[row], int(previous[row]), position)
                going[row] = previous[row] != self._end
            position += 1
            if going.mean() < _KEPT_SHARE and going.any():
                kept = np.flatnonzero(going)
                self._memory = self._network.keep(self._memory, kept)
                rows, bias, previous, going = rows[kept], bias[kept], previous[kept], going[kept]
        return self._found

    def _next(self, sentence: int, logits: FloatArray, bias: FloatArray, best: int, position: int) -> int:
        """The next word of a sentence, which is not over while a span waits for its place."""
        waiting = self._waiting[sentence]
        full = position + len(waiting) >= self._limits[sentence]
        if waiting and (best == self._end or full):
            best = max((int(form) for forms in waiting for form in forms), key=lambda form: logits[form])
        elif full:
            best = self._end
        for place, forms in enumerate(waiting):
            if best in forms:
                bias[forms] = -np.inf
                del waiting[place]
                break
        if best != self._end:
            self._found[sentence].append(int(self._output_ids[best]))
        return best


def _padded(sources: Sequence[Source]) -> tuple[IntArray, IntArray]:
    width = max(len(source.ids) for source in sources)
    input_ids = np.zeros((len(sources), width), np.int64)
    mask = np.zeros_like(input_ids)
    for row, source in enumerate(sources):
        input_ids[row, : len(source.ids)] = source.ids
        mask[row, : len(source.ids)] = 1
    return input_ids, mask
