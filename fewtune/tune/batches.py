"""Which examples each batch holds, by the number of the batch: a resumed run draws the same ones."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np

from fewtune.types import IntArray

GeneratorOf = Callable[[int], np.random.Generator]


class Numbered(Protocol):
    """Batches by their number."""

    def __getitem__(self, number: int, /) -> IntArray:
        """The indices in batch `number`, counted from 0."""
        ...


class Dealt(Numbered, Protocol):
    """Batches by their number, epoch after epoch."""

    def steps(self, epochs: float, /) -> int:
        """How many batches so many epochs are; at least one."""
        ...


class Batches(ABC):
    """Batches of example indices, one epoch after the other without end."""

    def __init__(self, targets: IntArray, size: int, generator_of: GeneratorOf) -> None:
        """Draw batches.

        Args:
            targets: (n,) class indices.
            size: examples a batch.
            generator_of: number of an epoch to its random generator.
        """
        self._targets = targets
        self._size = size
        self._generator_of = generator_of
        self._epoch = -1
        self._order: IntArray = np.zeros(0, np.int64)
        self.per_epoch = max(1, math.ceil(self._length() / size))

    def __getitem__(self, number: int) -> IntArray:
        """The indices in batch `number`, counted from 0."""
        epoch, position = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._order, self._epoch = self._deal(self._generator_of(epoch)), epoch
        # Nearly equal parts: a last batch of one or two would teach little, at a full step's learning rate.
        return np.array_split(self._order, self.per_epoch)[position]

    def steps(self, epochs: float) -> int:
        """How many batches so many epochs are; at least one."""
        return max(1, round(epochs * self.per_epoch))

    @abstractmethod
    def _length(self) -> int:
        """How many indices an epoch holds."""

    @abstractmethod
    def _deal(self, generator: np.random.Generator) -> IntArray:
        """The indices of an epoch, in order."""


class Shuffled(Batches):
    """Every example once an epoch, in random order."""

    def _length(self) -> int:
        return len(self._targets)

    def _deal(self, generator: np.random.Generator) -> IntArray:
        return generator.permutation(len(self._targets))


class Paired(Batches):
    """Every example once an epoch, each beside another of its class: no batch is without a pair.

    The last of a class of odd size is paired with one that has been dealt already; a class of one
    stays alone. An epoch is as long as the data, never as its pairs.
    """

    def _length(self) -> int:
        sizes = np.bincount(self._targets)
        return int(np.where(sizes > 1, sizes + sizes % 2, sizes).sum())

    def _deal(self, generator: np.random.Generator) -> IntArray:
        pairs: list[IntArray] = []
        for label in np.unique(self._targets):
            members = generator.permutation(np.flatnonzero(self._targets == label))
            if len(members) > 1 and len(members) % 2:
                members = np.append(members, members[0])
            pairs += np.split(members, range(2, len(members), 2))
        return np.concatenate([pairs[i] for i in generator.permutation(len(pairs))])


class Beside:
    """Batches of some examples, each with a batch of others: those fill one half, however many there are of them."""

    def __init__(self, first: Batches, others: Batches, offset: int) -> None:
        """Draw both.

        Args:
            first: whose epochs count.
            others: beside them.
            offset: what is added to the indices of the others.
        """
        self._first = first
        self._others = others
        self._offset = offset

    def __getitem__(self, number: int) -> IntArray:
        """The indices in batch `number`, counted from 0."""
        return np.concatenate([self._first[number], self._offset + self._others[number]])

    def steps(self, epochs: float) -> int:
        """How many batches so many epochs of the first are; at least one."""
        return self._first.steps(epochs)
