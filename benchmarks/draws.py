"""Few labels drawn from a large training file: the same draw for every method."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

Pairs = list[tuple[str, str]]


def read_pairs(path: Path) -> Pairs:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def draw(pairs: Pairs, per_class: int, seed: int) -> Pairs:
    """`per_class` examples of each class, by a generator of the draw's own."""
    generator = np.random.default_rng(seed)
    labels = np.array([label for _, label in pairs])
    chosen = [generator.permutation(np.flatnonzero(labels == label))[:per_class] for label in sorted(set(labels))]
    return [pairs[i] for i in np.concatenate(chosen)]
