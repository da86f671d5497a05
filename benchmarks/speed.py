"""`--method head` on 1,000 texts beside one plain forward pass by sentence-transformers, same encoder, same run."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import Pairs, read_pairs

import fewtune
from fewtune import catalog
from fewtune.bundle.export import export_bundle
from fewtune.runtime.threads import usable_cores

ROUNDS = 3
SETS = {"all-MiniLM-L6-v2": ("trec6", "sst2"), "multilingual-e5-small": ("trec6", "sst2", "thucnews10_zh")}


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for info in catalog.models():
        for name in SETS.get(info.name, ())[: 1 if quick else None]:
            if info.installed:
                key = {"model": info.name, "set": name, "rounds": 1 if quick else ROUNDS}
                yield key, partial(_measure, data / f"text_{name}", info.name, key["rounds"])


def _measure(folder: Path, model: str, rounds: int) -> dict[str, Any]:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(usable_cores())
    pairs = read_pairs(folder / "train.csv")[:1000]
    with tempfile.TemporaryDirectory() as place:
        small = fewtune.fit(pairs[:100], method="head", model=model, out=Path(place) / "small")
        export_bundle(small.bundle, Path(place) / "hf", form="hf")
        encoder = SentenceTransformer(str(Path(place) / "hf"), device="cpu")
        encoder.encode([text for text, _ in pairs[:64]])
        ours, theirs = [], []
        for _ in range(rounds):
            theirs.append(_seconds(lambda: encoder.encode([text for text, _ in pairs], batch_size=32)))
            ours.append(_seconds(lambda: _fit(pairs, model)))
    return {"fit_seconds": ours, "forward_seconds": theirs, "ratio": float(np.median(ours) / np.median(theirs))}


def _fit(pairs: Pairs, model: str) -> None:
    fewtune.fit(pairs, method="head", model=model)


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 3)


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'model':24}{'set':16}{'fit s':>8}{'forward s':>11}{'ratio':>7}"]
    for row in rows:
        fit, forward = np.median(row["fit_seconds"]), np.median(row["forward_seconds"])
        lines.append(f"{row['key']['model']:24}{row['key']['set']:16}{fit:8.2f}{forward:11.2f}{row['ratio']:7.2f}")
    return "\n".join(lines)
