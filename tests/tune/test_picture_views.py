"""Views of pictures stay with their picture: none of a validation picture reaches training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torchvision")

from PIL import Image

from fewtune import catalog
from fewtune.augment.picture_policy import PicturePolicies
from fewtune.interfaces import RunContext
from fewtune.runtime.preprocess import Preprocess
from fewtune.tune.linear_head import LinearHead
from fewtune.tune.picture_head import PictureHeadCandidate
from fewtune.tune.picture_store import PictureStore
from fewtune.tune.picture_views import PictureViews, kept_count
from fewtune.types import Dataset, Example, Resampling, Split

POLICIES = PicturePolicies(catalog.picture_augmentations())
COUNT = 8


class Colours:
    """A network whose features are a picture's mean colour: which picture a view is of can be told from it."""

    info = SimpleNamespace(name="colours")
    preprocess = Preprocess(16, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    network = SimpleNamespace(classifier=None)
    fingerprint = "colours"
    width = 3

    def features(self, squares: Any, *, threads: int, step: Any = None) -> np.ndarray:
        return np.array([square.mean(axis=(0, 1)) for square in squares], np.float32)


def coloured(folder: Path) -> Dataset:
    """One-coloured pictures, each another red; one green pixel in a corner makes mirror images differ."""
    examples = []
    for number in range(COUNT):
        picture = Image.new("RGB", (32, 32), (20 * number, 0, 0))
        picture.paste((20 * number, 60, 0), (0, 0, 4, 4))
        picture.save(folder / f"{number}.png")
        examples.append(Example(str(folder / f"{number}.png"), "ab"[number % 2]))
    return Dataset("image-classification", tuple(examples), ("a", "b"), "data", "")


@pytest.mark.parametrize("names", ["flip", "crop,flip,vertical-flip", "turn,rotation:90"])
def test_no_view_of_a_validation_picture_reaches_training(
    names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = coloured(tmp_path)
    everything = np.arange(COUNT)
    splits = tuple(Split(np.setdiff1d(everything, [i, i + 1]), np.array([i, i + 1])) for i in range(0, COUNT, 2))
    learnt_from: list[set[int]] = []
    validated: list[np.ndarray] = []

    def heads(self: Any, features: np.ndarray, targets: np.ndarray, classes: int, pool: Any) -> Iterator[LinearHead]:
        assert pool is None
        # Corners that a rotation fills are grey, so the picture is told by its reddest view.
        reds = np.round(features[..., 0] / 20).astype(int)
        assert (targets == reds[:, 0] % 2).all()
        learnt_from.append(set(reds.ravel().tolist()) if "rotation" not in names else set(reds[:, 0].tolist()))
        assert features.shape[1] == self._views.count > 1
        assert len(np.unique(features[0], axis=0)) > 1 or names == "flip"
        for _ in self._trials:
            yield LinearHead(np.zeros((3, classes)), np.zeros(classes))

    monkeypatch.setattr(PictureHeadCandidate, "_heads", heads)
    network: Any = Colours()
    candidate = PictureHeadCandidate(network, {"C": 1.0}, POLICIES.named(names, dataset.task))
    monkeypatch.setattr(LinearHead, "log_probs", lambda self, rows: validated.append(rows) or np.zeros((len(rows), 2)))
    candidate.cross_fit(dataset, Resampling("folds", splits, 1, everything), RunContext(tmp_path / "work"))
    assert len(learnt_from) == len(validated) == len(splits)
    plain = network.features([network.preprocess.square(example.input) for example in dataset], threads=1)
    for seen, rows, split in zip(learnt_from, validated, splits, strict=True):
        assert seen == set(split.train.tolist())
        # What is validated on is the picture as predictions see it.
        assert np.array_equal(rows, plain[split.valid])


def test_views_are_the_same_in_any_order_and_with_another_seed_others(tmp_path: Path) -> None:
    dataset = coloured(tmp_path)
    paths = [example.input for example in dataset]
    network: Any = Colours()
    policy = POLICIES.named("crop:2,flip", dataset.task)
    views = PictureViews(policy, kept_count({}, policy))
    assert views.count == 4

    def features(seed: int, some: list[str], place: str) -> np.ndarray:
        return PictureStore(network, RunContext(tmp_path / place, seed)).features(some, views)

    first = features(0, paths, "a")
    assert np.array_equal(first, features(0, paths[::-1], "b")[::-1])
    other = features(1, paths, "a")
    assert np.array_equal(first[:, 0], other[:, 0])
    assert not np.array_equal(first, other)


def test_a_policy_of_few_views_makes_all_of_them() -> None:
    square = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    squares = np.stack([square, square])
    flip = POLICIES.named("flip", "image-classification")
    plain, mirrored = PictureViews(flip, kept_count({}, flip)).of(squares, 0)
    assert np.array_equal(plain, square)
    assert np.array_equal(mirrored, square[:, ::-1])
    four = PictureViews(POLICIES.named("flip,vertical-flip", "image-classification"), 4).of(squares, 0)
    assert len({view.tobytes() for view in four}) == 4
    nothing = POLICIES.named("none", "image-classification")
    assert kept_count({"views": 4}, nothing) == 1
