"""Wrong labels that were planted are among the first suspects."""

from __future__ import annotations

import numpy as np
import pytest

from fewtune.label.issues import suspects
from fewtune.types import Dataset, Example

pytest.importorskip("cleanlab")


def dataset_of(targets: np.ndarray, labels: tuple[str, ...]) -> Dataset:
    examples = tuple(Example(f"text {i}", labels[t], f"data.csv:{i + 2}") for i, t in enumerate(targets))
    return Dataset("text-classification", examples, labels, "data.csv", "0")


def test_planted_errors_are_found_with_their_place_and_the_better_label() -> None:
    generator = np.random.default_rng(0)
    truth = np.arange(150) % 3
    planted = generator.permutation(150)[:15]
    given = truth.copy()
    given[planted] = (truth[planted] + 1) % 3
    logits = generator.normal(size=(2, 150, 3)) + 3.0 * (np.arange(3) == truth[:, None])
    log_probs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    log_probs[1, ::4] = np.nan
    dataset = dataset_of(given, ("a", "b", "c"))
    found = suspects(dataset, given, log_probs, lambda: None)
    places = {f"data.csv:{i + 2}": i for i in range(150)}
    first = [places[suspect.place] for suspect in found[:10]]
    assert np.isin(first, planted).mean() >= 0.8
    right = [suspect.suggested == dataset.labels[truth[places[suspect.place]]] for suspect in found[:10]]
    assert np.mean(right) >= 0.8
    assert [suspect.score for suspect in found] == sorted(suspect.score for suspect in found)
    assert "not having seen it" in found[0].reason


def test_a_rare_class_is_left_to_its_neighbours() -> None:
    generator = np.random.default_rng(1)
    centres = 4 * np.eye(3, 16)
    truth = np.array([0] * 20 + [1] * 20 + [2] * 3 + [0])
    features = centres[truth] + 0.3 * generator.normal(size=(44, 16))
    given = truth.copy()
    given[-1] = 2  # looks like class 0
    log_probs = np.log(np.full((1, 44, 3), 1 / 3))
    (suspect,) = suspects(dataset_of(given, ("a", "b", "rare")), given, log_probs, lambda: features)
    assert (suspect.place, suspect.label, suspect.suggested) == ("data.csv:45", "rare", "a")
    assert "most similar" in suspect.reason


def test_one_class_among_the_validated_is_no_reason_to_suspect() -> None:
    log_probs = np.log(np.full((1, 6, 2), 0.5))
    assert suspects(dataset_of(np.zeros(6, int), ("a", "b")), np.zeros(6, int), log_probs, lambda: None) == ()
