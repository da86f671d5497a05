from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewtune.data.duplicates import duplicate_groups, matches_across
from fewtune.data.split import choose_resampling, hold_out, make_folds, with_named
from fewtune.errors import DataError
from fewtune.types import Resampling


def generator_of(repeat: int) -> np.random.Generator:
    return np.random.default_rng(repeat)


@st.composite
def labelled_groups(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(4, 60))
    targets = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    groups = draw(st.lists(st.integers(0, n), min_size=n, max_size=n))
    return np.array(targets), np.array(groups)


def validated(resampling: Resampling, repeat: int) -> np.ndarray:
    each = len(resampling.splits) // resampling.repeats
    return np.concatenate([split.valid for split in resampling.splits[repeat * each : (repeat + 1) * each]])


@given(labelled_groups(), st.integers(2, 6), st.integers(1, 3))
def test_every_example_is_validated_once_a_repeat_and_no_group_straddles(
    data: tuple[np.ndarray, np.ndarray], folds: int, repeats: int
) -> None:
    targets, groups = data
    resampling = make_folds(targets, groups, folds=folds, repeats=repeats, generator_of=generator_of)
    for repeat in range(repeats):
        assert sorted(validated(resampling, repeat)) == list(range(len(targets)))
    for split in resampling.splits:
        assert not set(groups[split.train]) & set(groups[split.valid])


def test_folds_are_stratified() -> None:
    targets = np.repeat([0, 1], [40, 10])
    resampling = make_folds(targets, np.arange(50), folds=5, repeats=1, generator_of=generator_of)
    assert all(np.bincount(targets[split.valid]).tolist() == [8, 2] for split in resampling.splits)


def test_a_class_of_one_is_validated_once_and_trained_on_otherwise() -> None:
    targets = np.array([0] * 10 + [1])
    resampling = make_folds(targets, np.arange(11), folds=5, repeats=1, generator_of=generator_of)
    assert sum(10 in split.valid for split in resampling.splits) == 1
    assert sum(10 in split.train for split in resampling.splits) == 4


def test_repeats_differ_and_seeds_repeat() -> None:
    targets, groups = np.arange(40) % 2, np.arange(40)
    first = choose_resampling(targets, groups, generator_of)
    again = choose_resampling(targets, groups, generator_of)
    assert first.repeats == 4
    assert all((a.valid == b.valid).all() for a, b in zip(first.splits, again.splits, strict=True))
    assert [s.valid.tolist() for s in first.splits[:10]] != [s.valid.tolist() for s in first.splits[10:20]]


def test_large_data_is_held_out_once() -> None:
    n = 30_000
    resampling = choose_resampling(np.arange(n) % 3, np.arange(n) // 2, generator_of)
    (split,) = resampling.splits
    assert len(split.valid) == pytest.approx(n / 5, rel=0.05)
    assert not set(split.train // 2) & set(split.valid // 2)


def test_folds_are_not_repeated_where_an_example_has_one_answer() -> None:
    targets, groups = np.zeros(40, np.int64), np.arange(40)
    every = choose_resampling(targets, groups, generator_of)
    once = choose_resampling(targets, groups, generator_of, repeated=False)
    assert (every.repeats, once.repeats) == (4, 1)
    assert "repeated" not in once.name
    assert all((a.valid == b.valid).all() for a, b in zip(once.splits, every.splits[:5], strict=True))


def test_hold_out_share() -> None:
    resampling = hold_out(np.arange(100) % 2, np.arange(100), share=0.25, generator=generator_of(0))
    assert len(resampling.splits[0].valid) == 25


def test_near_duplicates_share_a_group_and_others_do_not() -> None:
    texts = [
        "The courier left my parcel in the rain and everything inside the box is wet.",
        "the courier left my parcel in the rain, and everything inside the box is wet",
        "The courier left my parcel in the rain and everything inside the box is wet!!",
        "Which flight goes to Rome at 12:30 on Friday the 13th of June",
        "Which flight goes to Rome at 13:30 on Friday the 13th of June",
        "快递显示已签收，可是我根本没收到",
        "快递显示已签收,可是我根本没收到！",
        "",
        " ",
    ]
    groups = duplicate_groups(texts).tolist()
    assert groups[0] == groups[1] == groups[2]
    assert groups[3] != groups[4]
    assert groups[5] == groups[6]
    assert len(set(groups)) == 5
    assert matches_across(texts[:1], texts[2:4]) == [(0, 0)]


def test_one_changed_word_in_a_long_text_is_near() -> None:
    words = [f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(200)]
    changed = [*words[:100], "different", *words[101:]]
    assert duplicate_groups([" ".join(words), " ".join(changed), " ".join(word[::-1] for word in words)]).tolist() == [
        0,
        0,
        1,
    ]


def test_what_hangs_together_over_several_links_is_one_group() -> None:
    # Four texts in groups A, B, B, A, the last but one like the first.
    same = np.array([0, 1, 2, 1])
    assert len(set(with_named(same, ["A", "B", "B", "A"]).tolist())) == 1
    assert with_named(same, ["A", None, "A", None]).tolist() == [0, 1, 0, 1]
    assert with_named(np.array([7, 7, 3]), [None] * 3).tolist() == [1, 1, 0]


def test_one_group_alone_is_refused_in_words() -> None:
    with pytest.raises(DataError, match="held out"):
        choose_resampling(np.array([0, 1, 0, 1]), np.zeros(4, int), np.random.default_rng)
