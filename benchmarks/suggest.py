"""What to label next, in rounds of ten: ours beside labelling at random and the usual strategies.

All on the same frozen features with the same logistic regression. Least confidence, margin and entropy are the
uncertainty sampling that active-learning libraries offer; BADGE (Ash et al. 2020, arXiv:1906.03671) is k-means++ on
gradient embeddings. All but ours begin with ten at random, as they have no model to ask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import read_pairs

from fewtune import catalog
from fewtune.interfaces import RunContext
from fewtune.label.suggest import Pool, choose
from fewtune.runtime.threads import usable_cores
from fewtune.tune.cache import TrunkCache
from fewtune.tune.linear_head import fit_feature_heads
from fewtune.tune.picture_store import PictureStore

SETS = ("banking77_10", "banking77", "trec6", "sst2", "chnsenticorp_htl_zh", "sign_digits")
STRATEGIES = ("random", "ours", "least confidence", "margin", "entropy", "badge")
ENCODER = "multilingual-e5-small"
DRAWS = 5
ROUND, MOST = 10, 100
POOL, TEST = 2000, 500
STRENGTH = 10.0


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name in SETS:
            for strategy in STRATEGIES:
                yield {"set": name, "strategy": strategy, "draw": seed}, partial(_measure, data, name, strategy, seed)


def _measure(data: Path, name: str, strategy: str, seed: int) -> dict[str, Any]:
    pool, targets, test, answers = _features(data, name, seed)
    classes = int(max(targets.max(), answers.max())) + 1
    generator = np.random.default_rng([seed, 1])
    chosen: list[int] = []
    probs: np.ndarray | None = None
    accuracy = []
    while len(chosen) < MOST:
        chosen += _next(strategy, pool, probs, chosen, generator)
        (head,) = fit_feature_heads(pool[chosen], targets[chosen], classes, [STRENGTH])
        probs = np.exp(head.log_probs(pool).astype(np.float64))
        accuracy.append(float((head.log_probs(test).argmax(axis=1) == answers).mean()))
    return {"accuracy": accuracy}


def _next(
    strategy: str, pool: np.ndarray, probs: np.ndarray | None, chosen: Sequence[int], generator: np.random.Generator
) -> list[int]:
    free = np.setdiff1d(np.arange(len(pool)), chosen)
    if strategy == "ours":
        of = None if probs is None else 1 - np.square(probs).sum(axis=1)
        some = Pool(
            len(free),
            pool[free],
            pool[list(chosen)],
            None if of is None else of[free],
            None if of is None else of[list(chosen)],
            None if probs is None else probs[free].argmax(axis=1),
        )
        return free[choose(some, ROUND, lambda found: [])].tolist()
    if probs is None or strategy == "random":
        return generator.permutation(free)[:ROUND].tolist()
    if strategy == "badge":
        return free[_badge(pool[free], probs[free], generator)].tolist()
    return free[np.argsort(-_unsure(strategy, probs[free]), kind="stable")[:ROUND]].tolist()


def _unsure(strategy: str, probs: np.ndarray) -> np.ndarray:
    rising = np.sort(probs, axis=1)
    if strategy == "margin":
        return rising[:, -2] - rising[:, -1]
    return -rising[:, -1] if strategy == "least confidence" else -(probs * np.log(probs + 1e-12)).sum(axis=1)


def _badge(rows: np.ndarray, probs: np.ndarray, generator: np.random.Generator) -> list[int]:
    """k-means++ on the outer products of (probabilities - the likeliest class) and features, never written out."""
    rows = rows - rows.mean(axis=0)
    gap = probs - np.eye(probs.shape[1])[probs.argmax(axis=1)]
    sizes = np.square(gap).sum(axis=1) * np.square(rows).sum(axis=1)
    found = [int(sizes.argmax())]
    nearest = np.full(len(rows), np.inf)
    while len(found) < ROUND:
        i = found[-1]
        nearest = np.minimum(nearest, sizes + sizes[i] - 2 * (gap @ gap[i]) * (rows @ rows[i]))
        odds = np.maximum(nearest, 0)
        odds[found] = 0
        found.append(int(generator.choice(len(rows), p=odds / odds.sum())))
    return found


def _features(data: Path, name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features and class indices of the draw's pool and test; encoded once for all strategies and draws."""
    parts = [_pairs(data, name, part) for part in ("train", "test")]
    if name == "banking77_10":
        labels = sorted({label for _, label in parts[0]})
        ten = set(np.random.default_rng([seed, 2]).permutation(labels)[:10].tolist())
        parts = [[pair for pair in some if pair[1] in ten] for some in parts]
    sizes = (POOL, TEST)
    generator = np.random.default_rng([seed, 3])
    # Of large files the same rows are drawn from in every draw: they are encoded once.
    parts = [some[:: max(1, len(some) // (2 * size))] for some, size in zip(parts, sizes, strict=True)]
    drawn = [
        [some[i] for i in generator.permutation(len(some))[:size]] for some, size in zip(parts, sizes, strict=True)
    ]
    number = {label: i for i, label in enumerate(sorted({label for some in drawn for _, label in some}))}
    found: list[np.ndarray] = []
    for some in drawn:
        found += [_encoded([value for value, _ in some], name), np.array([number[label] for _, label in some])]
    return found[0], found[1], found[2], found[3]


def _pairs(data: Path, name: str, part: str) -> list[tuple[str, str]]:
    if name == "sign_digits":
        return [(str(path), path.parent.name) for path in sorted((data / "imgcls_sign_digits" / part).glob("*/*"))]
    return read_pairs(data / f"text_{name.removesuffix('_10')}" / f"{part}.csv")


def _encoded(values: list[str], name: str) -> np.ndarray:
    run = RunContext(Path(__file__).parent / "results" / "encoded", threads=usable_cores())
    if name == "sign_digits":
        network = catalog.find_network("efficientnet-lite0")
        return PictureStore(network, run).features(values)[:, 0, : network.width]
    encoder = catalog.find_encoder(ENCODER)
    cache = TrunkCache(run.work, encoder.fingerprint)
    return cache.rows(
        values,
        lambda some, step: encoder.features(some, threads=run.threads, step=step),
        progress=run.progress,
        name="Encode",
    )


def table(rows: list[dict[str, Any]]) -> str:
    """Mean accuracy over the rounds (area under the curve) and at some of them, mean of the draws."""
    groups: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for row in rows:
        groups[row["key"]["set"], row["key"]["strategy"]].append(row["accuracy"])
    lines = [f"{'set':22}{'strategy':18}{'draws':>6}{'area':>7}{'at 20':>7}{'at 60':>7}{'at 100':>7}"]
    for (name, strategy), curves in groups.items():
        mean = np.mean(curves, axis=0)
        cells = "".join(f"{value:7.3f}" for value in (mean.mean(), mean[1], mean[5], mean[9]))
        lines.append(f"{name:22}{strategy:18}{len(curves):6}{cells}")
    return "\n".join(lines)
