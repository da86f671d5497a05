"""Folds: stratified by class, and no group on both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fewtune.errors import DataError
from fewtune.types import IntArray, Resampling, Split

GeneratorOf = Callable[[int], np.random.Generator]

_FOLDS = 5
_HOLD_OUT_FROM = 20_000
_HOLD_OUT_SHARE = 0.2


def choose_resampling(
    targets: IntArray, groups: IntArray, generator_of: GeneratorOf, *, repeated: bool = True
) -> Resampling:
    """The folds for data of this size: repeated where each example counts; a dear rung is scored on the first of them.

    Args:
        targets: (n,) class indices.
        groups: (n,) group indices.
        generator_of: number of a repeat to its random generator.
        repeated: whether an example may be answered several times.

    Raises:
        DataError: there is one group only.
    """
    n = len(targets)
    if len(np.unique(groups)) < 2:
        raise DataError(
            "All examples are alike, or of one group: none can be held out to score what is learnt from the others.",
            how="Give examples that differ from each other, or another --group.",
        )
    if n > _HOLD_OUT_FROM:
        return hold_out(targets, groups, share=_HOLD_OUT_SHARE, generator=generator_of(0))
    folds = min(_FOLDS, len(np.unique(groups)))
    repeats = 1 if not repeated or n > 500 else 2 if n > 100 else 4
    return make_folds(targets, groups, folds=max(2, folds), repeats=repeats, generator_of=generator_of)


def make_folds(
    targets: IntArray, groups: IntArray, *, folds: int, repeats: int, generator_of: GeneratorOf
) -> Resampling:
    """Stratified grouped k-fold cross-validation.

    Within a repeat every example is validated exactly once. Groups are dealt to the folds class by
    class, largest first, each to the fold that has the fewest of its class so far and then the
    fewest examples, ties broken at random: a class with fewer members than folds is spread thin,
    never lost.
    """
    splits = []
    for repeat in range(repeats):
        fold_of = _deal(targets, groups, folds, generator_of(repeat))
        for fold in range(folds):
            valid = np.flatnonzero(fold_of == fold)
            if len(valid):
                splits.append(Split(np.flatnonzero(fold_of != fold), valid))
            else:
                splits.append(Split(np.arange(len(targets)), valid))
    name = f"{folds}-fold cross-validation, stratified, grouped"
    if repeats > 1:
        name += f", repeated {repeats} times"
    return Resampling(name, tuple(splits), repeats, groups)


def hold_out(targets: IntArray, groups: IntArray, *, share: float, generator: np.random.Generator) -> Resampling:
    """One stratified grouped hold-out of about `share` of the examples."""
    fold_of = _deal(targets, groups, round(1 / share), generator)
    split = Split(np.flatnonzero(fold_of != 0), np.flatnonzero(fold_of == 0))
    return Resampling(f"hold-out of {share:.0%}, stratified, grouped", (split,), 1, groups)


def with_named(same: IntArray, named: Sequence[str | None]) -> IntArray:
    """(n,) group indices: examples are joined to the group of their likes and to the user's.

    Args:
        same: (n,) group indices of examples that are alike.
        named: (n,) the user's groups; None where an example has none.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers = {name: i for i, name in enumerate(sorted({name for name in named if name is not None}))}
    offset = int(same.max(initial=-1)) + 1
    # What hangs together is one group.
    links = [(int(same[i]), offset + numbers[name]) for i, name in enumerate(named) if name is not None]
    if not links:
        return np.unique(same, return_inverse=True)[1].astype(np.int64)
    rows, columns = zip(*links, strict=True)
    nodes = offset + len(numbers)
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(nodes, nodes))
    component = connected_components(graph, directed=False)[1]
    return np.unique(component[same], return_inverse=True)[1].astype(np.int64)


def _deal(targets: IntArray, groups: IntArray, folds: int, generator: np.random.Generator) -> IntArray:
    """(n,) fold of each example."""
    _, member_of = np.unique(groups, return_inverse=True)
    count = int(member_of.max()) + 1
    classes = int(targets.max()) + 1
    sizes = np.bincount(member_of, minlength=count)
    first = np.full(count, -1)
    first[member_of[::-1]] = np.arange(len(targets))[::-1]
    commonest = targets[first]
    shuffled = generator.permutation(count)
    order = shuffled[np.lexsort((commonest[shuffled], -sizes[shuffled]))]
    per_class = np.zeros((folds, classes), dtype=np.int64)
    total = np.zeros(folds, dtype=np.int64)
    fold_of_group = np.empty(count, dtype=np.int64)
    preference = generator.permutation(folds)
    for group in order:
        label = commonest[group]
        fold = preference[np.lexsort((total[preference], per_class[preference, label]))[0]]
        fold_of_group[group] = fold
        per_class[fold, label] += sizes[group]
        total[fold] += sizes[group]
    return fold_of_group[member_of]
