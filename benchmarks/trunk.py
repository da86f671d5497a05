"""Tuning the two top layers for ten epochs with the trunk cached, beside running the frozen layers at every step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import read_pairs

from fewtune import catalog
from fewtune.progress import SilentProgress
from fewtune.runtime.threads import usable_cores
from fewtune.tune.cache import TrunkCache
from fewtune.tune.tuned import token_ids

LAYERS = 2
EPOCHS = 10
BATCH = 32
SETS = {"all-MiniLM-L6-v2": "sst2", "multilingual-e5-small": "sst2"}


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for model, name in SETS.items():
        if catalog.encoders()[model].info.installed:
            texts = 64 if quick else 256
            yield {"model": model, "set": name, "texts": texts}, partial(_measure, data / f"text_{name}", model, texts)


def _measure(folder: Path, model: str, count: int) -> dict[str, Any]:
    import torch

    from fewtune.tune.layers import TunedLayers

    torch.set_num_threads(usable_cores())
    encoder = catalog.encoders()[model]
    parts, texts = encoder.parts, [text for text, _ in read_pairs(folder / "train.csv")[:count]]
    below = parts.layers - LAYERS
    encoder.hidden_states(texts[:2], below, threads=usable_cores())  # opens the graph

    def train(hidden: Callable[[list[int]], list[np.ndarray]]) -> None:
        layers = TunedLayers(parts, count=LAYERS)
        head = torch.nn.Linear(parts.width, 2)
        learnt = [*layers.parameters(), *head.parameters()]
        optimizer = torch.optim.AdamW(learnt, 1e-4, fused=True)
        for epoch in range(EPOCHS):
            order = np.random.default_rng(epoch).permutation(count).tolist()
            for start in range(0, count, BATCH):
                batch = order[start : start + BATCH]
                logits = head(layers(layers.pack(hidden(batch))))
                torch.nn.functional.cross_entropy(logits, torch.tensor([i % 2 for i in batch])).backward()
                optimizer.step()
                optimizer.zero_grad()

    ids = token_ids(parts, texts)
    frozen = _Frozen(parts, below)

    def cached() -> None:
        with tempfile.TemporaryDirectory() as place:
            blocks = TrunkCache(Path(place), "f" * 64).blocks(
                texts,
                lambda some, step: encoder.hidden_states(some, below, threads=usable_cores(), step=step),
                progress=SilentProgress(),
                name="trunk",
            )
            train(lambda batch: [blocks[i] for i in batch])

    def again_and_again() -> None:
        train(lambda batch: frozen.hidden([ids[i] for i in batch]))

    again_and_again_seconds, cached_seconds = [], []
    for _ in range(3):
        again_and_again_seconds.append(_seconds(again_and_again))
        cached_seconds.append(_seconds(cached))
    ratio = float(np.median(again_and_again_seconds) / np.median(cached_seconds))
    return {"cached_seconds": cached_seconds, "no_grad_seconds": again_and_again_seconds, "ratio": ratio}


class _Frozen:
    """The layers below the cut in torch, packed and in the same precision as those above it, under no_grad."""

    def __init__(self, parts: Any, below: int) -> None:
        from fewtune.tune.layers import TunedLayers

        self._layers = TunedLayers(parts, count=parts.layers, embeddings=True)
        del self._layers.encoder.layer[below:]

    def hidden(self, texts: list[np.ndarray]) -> list[np.ndarray]:
        import torch

        from fewtune.tune.layers import precision

        packed = self._layers.pack(texts)
        assert self._layers.embeddings is not None
        with torch.no_grad(), precision():
            hidden = self._layers.embeddings(input_ids=packed.tokens, position_ids=packed.positions)
            for layer in self._layers.encoder.layer:
                hidden = layer(hidden, packed.mask.bfloat16())
        flat = hidden.float().flatten(0, 1).numpy()
        return [flat[np.flatnonzero(owned)] for owned in packed.pool.numpy()]


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 3)


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'model':24}{'texts':>7}{'cached s':>10}{'no_grad s':>11}{'ratio':>7}"]
    for row in rows:
        cached, plain = np.median(row["cached_seconds"]), np.median(row["no_grad_seconds"])
        lines.append(f"{row['key']['model']:24}{row['key']['texts']:7}{cached:10.2f}{plain:11.2f}{row['ratio']:7.2f}")
    return "\n".join(lines)
