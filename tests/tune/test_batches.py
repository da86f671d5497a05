"""Batches are drawn by their number, and cost what the examples cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewtune.tune.batches import Batches, Beside, Paired, Shuffled


def make(kind: type[Batches], targets: np.ndarray, size: int) -> Batches:
    return kind(targets, size, lambda epoch: np.random.default_rng(epoch))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(2, 20), st.sampled_from([Shuffled, Paired]))
@settings(max_examples=60, deadline=None)
def test_an_epoch_holds_every_example(labels: list[int], size: int, kind: type[Batches]) -> None:
    batches = make(kind, np.array(labels), size)
    epoch = np.concatenate([batches[number] for number in range(batches.per_epoch)])
    assert set(epoch.tolist()) == set(range(len(labels)))
    assert max(len(batches[number]) for number in range(batches.per_epoch)) <= size
    # Linear in the examples: at most one more for each class.
    assert len(epoch) <= len(labels) + len(set(labels))


def test_pairs_share_their_class() -> None:
    targets = np.repeat(np.arange(10), 7)
    batches = make(Paired, targets, 16)
    for number in range(3 * batches.per_epoch):
        labels, counts = np.unique(targets[batches[number]], return_counts=True)
        assert counts.min() >= 2, (labels, counts)


@pytest.mark.parametrize("kind", [Shuffled, Paired])
def test_a_batch_is_the_same_whatever_was_drawn_before(kind: type[Batches]) -> None:
    targets = np.arange(50) % 3
    forwards, alone = make(kind, targets, 8), make(kind, targets, 8)
    seen = [forwards[number] for number in range(30)]
    assert (alone[29] == seen[29]).all()
    assert (alone[3] == seen[3]).all()
    assert seen[0].tolist() != seen[forwards.per_epoch].tolist()


def test_others_fill_a_half_of_each_batch_however_many_they_are() -> None:
    labelled, others = np.arange(12) % 2, np.arange(100) % 2
    first = make(Paired, labelled, 6)
    both = Beside(first, make(Paired, others, 6), 12)
    assert both.steps(3.0) == first.steps(3.0)
    seen: set[int] = set()
    for number in range(30):
        batch = both[number]
        assert sorted(batch[batch < 12]) == sorted(first[number])
        assert 4 <= (batch >= 12).sum() <= 6
        seen.update(batch.tolist())
    assert seen == set(range(112))
