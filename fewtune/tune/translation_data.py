"""Pairs for a translator to learn from: protected, in words of its vocabulary, in batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fewtune.data.glossary import Glossary
from fewtune.data.protection import NO_TERMS, Protected, protect_pair
from fewtune.runtime.greedy import Source, Words
from fewtune.runtime.subwords import Subwords
from fewtune.types import IntArray

# Longer pairs are left out of training: a step's memory is for them all.
LONGEST = 256
# Words drawn at random that the softmax is taken over beside those that the sentences call for.
_WIDER = 1000

_GeneratorOf = Callable[[int], np.random.Generator]


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and its translation, what both are to keep cut out of both.

    Attributes:
        source, target: with marks; the same marks in both.
        marks: how many there are.
    """

    source: str
    target: str
    marks: int


def prepared(pairs: Sequence[tuple[str, str]], subwords: Subwords, glossary: Glossary = NO_TERMS) -> list[Pair]:
    """The pairs that can be learnt from: none of them too long for a step, or with more spans than there are marks."""
    found = []
    for source, target in pairs:
        if len(subwords.marks):
            both, marked = protect_pair(source, target, subwords.lacks, glossary)
        else:
            both, marked = Protected(source), target
        pair = Pair(both.text, marked, len(both.spans))
        if pair.marks <= len(subwords.marks) and max(map(len, encoded(pair, subwords, range(pair.marks)))) <= LONGEST:
            found.append(pair)
    return found


def encoded(pair: Pair, subwords: Subwords, order: Sequence[int]) -> tuple[list[int], list[int]]:
    """Words of both sides, with these of the vocabulary's marks for the pair's own."""
    return list(subwords.encode_source(pair.source, order).ids), subwords.encode_target(pair.target, order)


@dataclass(frozen=True, slots=True)
class TranslationBatch:
    """What one step learns from.

    Attributes:
        sources, targets: (batch, words) ids, 0 beyond their lengths.
        source_lengths, target_lengths: (batch,) words of each.
        output_ids: sorted ids that the softmax is taken over.
    """

    sources: IntArray
    targets: IntArray
    source_lengths: IntArray
    target_lengths: IntArray
    output_ids: IntArray


class TranslationBatches:
    """Batches of an epoch after the other, each drawn by its own generator."""

    def __init__(
        self, pairs: Sequence[Pair], subwords: Subwords, words: Words, tokens: int, generator_of: _GeneratorOf
    ) -> None:
        """Deal pairs into batches.

        Args:
            pairs: to learn from.
            subwords: the vocabularies.
            words: what translations may use.
            tokens: of both sides of a batch, padding included.
            generator_of: number of an epoch to its random generator.
        """
        self._pairs, self._subwords, self._words = pairs, subwords, words
        self._tokens, self._generator_of = tokens, generator_of
        plain = [encoded(pair, subwords, range(pair.marks)) for pair in pairs]
        self._lengths = np.array([[len(source), len(target)] for source, target in plain])
        self._batches: list[tuple[int, IntArray]] = []
        self._epochs = 0
        self._known = (-1, TranslationBatch(*[np.zeros(0, np.int64)] * 5))

    def steps(self, epochs: float) -> int:
        """How many batches so many epochs have."""
        whole = int(epochs)
        count = sum(len(self._dealt(epoch)) for epoch in range(whole))
        return max(1, count + round((epochs - whole) * len(self._dealt(whole))))

    def _dealt(self, epoch: int) -> list[IntArray]:
        """The pairs of each batch of an epoch, in random order; pairs of like length are together."""
        while self._epochs <= epoch:
            generator = self._generator_of(self._epochs)
            noisy = self._lengths.sum(axis=1) * generator.uniform(0.9, 1.1, len(self._lengths))
            batches = list(self._cut(np.argsort(noisy, kind="stable")))
            self._batches += [(self._epochs, batches[i]) for i in generator.permutation(len(batches))]
            self._epochs += 1
        return [batch for number, batch in self._batches if number == epoch]

    def _cut(self, order: IntArray) -> Iterator[IntArray]:
        start, widest = 0, np.zeros(2, np.int64)
        for at, i in enumerate(order):
            wider = np.maximum(widest, self._lengths[i])
            if at > start and wider.sum() * (at - start + 1) > self._tokens:
                yield order[start:at]
                start, wider = at, self._lengths[i]
            widest = wider
        yield order[start:]

    def __getitem__(self, number: int) -> TranslationBatch:
        """The batch of that number."""
        while number >= len(self._batches):
            self._dealt(self._epochs)
        if self._known[0] != number:
            self._known = (number, self._made(number))
        return self._known[1]

    def _made(self, number: int) -> TranslationBatch:
        epoch, chosen = self._batches[number]
        generator = np.random.default_rng([int(self._generator_of(epoch).integers(1 << 31)), number])
        marks = len(self._subwords.marks)
        both = [encoded(self._pairs[i], self._subwords, generator.permutation(marks).tolist()) for i in chosen]
        used = [self._words.of(Source(tuple(source))) for source, _ in both]
        targets = [np.array(target) for _, target in both]
        wider = generator.integers(self._words.size, size=_WIDER)
        output_ids = np.unique(np.concatenate([*used, *targets, wider]))
        lengths = np.array([[len(source), len(target)] for source, target in both])
        return TranslationBatch(
            _padded([source for source, _ in both]), _padded(targets), lengths[:, 0], lengths[:, 1], output_ids
        )


def _padded(rows: Sequence[Sequence[int] | IntArray]) -> IntArray:
    table = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table
