"""The trunk cache computes once, whatever comes back for a text, and outlives the process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewtune.progress import SilentProgress, Step
from fewtune.tune import cache
from fewtune.tune.cache import TrunkCache


def test_blocks_of_unlike_length_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_CHUNK", 3)
    seen: list[str] = []

    def compute(texts: list[str], step: Step) -> list[np.ndarray]:
        seen.extend(texts)
        step.advance(len(texts))
        return [np.full((len(text), 2), float(len(text)), np.float16) for text in texts]

    texts = ["a", "four", "xx", "a", "seven77", "three"]
    for _ in range(2):
        blocks = TrunkCache(tmp_path, "f" * 64).blocks(texts, compute, progress=SilentProgress(), name="x")
        assert [block.shape for block in blocks] == [(len(text), 2) for text in texts]
        assert all((block == len(text)).all() for block, text in zip(blocks, texts, strict=True))
    assert sorted(seen) == sorted(set(texts))


def test_rows_keep_their_order(tmp_path: Path) -> None:
    def compute(texts: list[str], step: Step) -> np.ndarray:
        return np.array([[float(text)] for text in texts], np.float32)

    kept = TrunkCache(tmp_path, "f" * 64)
    assert kept.rows(["3", "1", "2"], compute, progress=SilentProgress(), name="x")[:, 0].tolist() == [3, 1, 2]
    assert kept.rows(["2", "4", "3"], compute, progress=SilentProgress(), name="x")[:, 0].tolist() == [2, 4, 3]
