"""The design: what is common first, nothing twice, nothing where labels are, more where the model is unsure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fewtune.label.suggest import Pool, choose


def no_repeats(chosen: Sequence[int]) -> list[int]:
    del chosen
    return []


def blobs(sizes: Sequence[int], width: int = 24) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    kind = np.repeat(np.arange(len(sizes)), sizes)
    centres = np.linalg.qr(generator.normal(size=(width, width)))[0][: len(sizes)]
    return centres[kind] + 0.1 * generator.normal(size=(len(kind), width)), kind


def test_every_kind_gets_one_before_any_gets_two() -> None:
    features, kind = blobs((30, 25, 20, 20, 15))
    found = choose(Pool(len(features), features), 5, no_repeats)
    assert sorted(kind[found]) == [0, 1, 2, 3, 4]
    assert found == choose(Pool(len(features), features), 5, no_repeats)


def test_what_is_labelled_is_not_asked_for_again() -> None:
    features, kind = blobs((30, 30, 30))
    labelled = features[kind < 2][::6]
    found = choose(Pool(len(features), features, labelled), 1, no_repeats)
    assert kind[found[0]] == 2


def test_more_is_asked_where_the_model_is_unsure() -> None:
    features, kind = blobs((30, 30, 30))
    unsure = np.where(kind == 1, 0.6, 0.01)
    found = choose(Pool(len(features), features, uncertainty=unsure), 6, no_repeats)
    assert (kind[found] == 1).mean() > 0.5


def test_no_class_takes_more_than_twice_its_share() -> None:
    features, kind = blobs((30, 30, 30))
    unsure = np.where(kind == 1, 0.6, 0.01)
    pool = Pool(len(features), features, uncertainty=unsure, predicted=kind)
    assert (kind[choose(pool, 9, no_repeats)] == 1).sum() <= 6


def test_what_repeats_is_replaced() -> None:
    features, _ = blobs((10, 10))
    pool = Pool(len(features), features)
    first = choose(pool, 4, no_repeats)
    without = choose(pool, 4, lambda chosen: [i for i in chosen if i == first[0]])
    assert first[0] not in without
    assert len(set(without)) == 4


def test_without_features_the_least_sure_come_first() -> None:
    pool = Pool(4, uncertainty=np.array([0.1, 0.5, 0.3, 0.0]))
    assert choose(pool, 2, no_repeats) == [1, 2]


@pytest.mark.parametrize("sure", [0.0, None])
def test_more_than_there_are_gives_all(sure: float | None) -> None:
    features, _ = blobs((3, 3))
    pool = Pool(6, features, uncertainty=None if sure is None else np.full(6, sure))
    assert sorted(choose(pool, 10, no_repeats)) == list(range(6))


def test_the_updates_are_those_of_the_whole_design() -> None:
    """Each next one is what a new inversion would choose."""
    features, _ = blobs((15, 15, 15))
    pool = Pool(45, features, uncertainty=np.linspace(0.1, 0.9, 45))
    found = choose(pool, 6, no_repeats)
    assert found[:3] == choose(pool, 3, no_repeats)
    rows = features - features.mean(axis=0)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    weight = np.linspace(0.1, 0.9, 45) / 0.5
    target = (rows * weight[:, None]).T @ rows
    taken: list[int] = []
    for _ in range(6):
        inverse = np.linalg.inv(np.eye(24) + (rows[taken] * weight[taken][:, None]).T @ rows[taken])
        reach = rows @ inverse
        score = weight * ((reach @ target) * reach).sum(1) / (1 + weight * (reach * rows).sum(1))
        score[taken] = -1
        taken.append(int(score.argmax()))
    assert taken == found
