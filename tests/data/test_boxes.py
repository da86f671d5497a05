"""The arithmetic of boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fewtune.data.boxes import Detections, areas, clipped, overlaps, without_repeats
from fewtune.types import FloatArray


def made_of(corners: FloatArray) -> FloatArray:
    """Boxes of any two corners each."""
    pairs = corners.reshape(-1, 2, 2)
    return np.concatenate([pairs.min(axis=1), pairs.max(axis=1)], axis=1)


boxes = st.integers(1, 6).flatmap(lambda n: arrays(np.float64, (n, 4), elements=st.integers(-20, 120))).map(made_of)


@given(boxes, boxes)
def test_overlaps_are_shares_and_symmetric(first: FloatArray, second: FloatArray) -> None:
    shared = overlaps(first, second)
    assert ((shared >= 0) & (shared <= 1)).all()
    assert np.allclose(shared, overlaps(second, first).T)
    own = np.diag(overlaps(first, first))
    assert np.allclose(own, areas(first) > 0)


@given(boxes)
def test_what_is_cut_off_lies_within_and_is_never_larger(first: FloatArray) -> None:
    inside = clipped(first, 100, 80)
    assert (inside >= 0).all()
    assert (inside[:, 2] <= 100).all()
    assert (inside[:, 3] <= 80).all()
    assert (areas(inside) <= areas(first) + 1e-9).all()
    assert np.array_equal(clipped(inside, 100, 80), inside)


def test_a_crowd_is_overlapped_by_what_lies_in_it() -> None:
    small, large = np.array([[10.0, 10, 20, 20]]), np.array([[0.0, 0, 100, 100]])
    assert overlaps(small, large)[0, 0] == pytest.approx(0.01)
    assert overlaps(small, large, np.array([True]))[0, 0] == pytest.approx(1.0)


@given(st.integers(0, 10_000))
def test_repeats_go_as_torchvision_has_it(seed: int) -> None:
    torch, ops = pytest.importorskip("torch"), pytest.importorskip("torchvision.ops")
    generator = np.random.default_rng(seed)
    corners = generator.uniform(0, 60, (40, 2))
    found = Detections(
        np.concatenate([corners, corners + generator.uniform(5, 40, (40, 2))], axis=1),
        generator.integers(0, 3, 40),
        generator.permutation(40) / 40,
    )
    kept = without_repeats(found, overlap=0.5, most=100)
    theirs = ops.batched_nms(
        torch.from_numpy(found.boxes_xyxy), torch.from_numpy(found.scores), torch.from_numpy(found.labels), 0.5
    ).numpy()
    assert np.array_equal(kept.scores, found.scores[theirs])
    assert np.array_equal(without_repeats(found, overlap=0.5, most=3).scores, found.scores[theirs][:3])
