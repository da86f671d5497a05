"""Bundles made smaller by `fewtune compress`, measured on test files beside what they were made from."""

from __future__ import annotations

import csv
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import draw, read_pairs

import fewtune
from fewtune import catalog, pipeline
from fewtune.backbones.bert_onnx import matrices
from fewtune.bundle.read import read_manifest
from fewtune.compress.path import Wishes
from fewtune.compress.structure import read_encoder
from fewtune.runtime.text_graph import TextGraph
from fewtune.runtime.threads import usable_cores

PER_CLASS = 64
_ENGLISH = "all-MiniLM-L6-v2"
# What is tried, whatever it costs: the rows are to show what it costs.
_MAX_DROP = 0.5
_MOST_TESTED, _UNLABELLED = 1000, 3000
_ROUNDS = 3
_TIMED = 128
_SECONDS = {"det_bccd": "120s", "seg_camvid": "120s", "mt_pydocs_en_ptbr": "120s"}
_TESTED_PAIRS = 400


def structure(folder: Path, strength: float, seed: int) -> dict[str, Any]:
    """That share of the neurons and two thirds of it of the heads taken away, in integers and in float."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        test = _fit_texts(folder, out, seed)
        wishes = Wishes(prune=f"structure:{strength}", max_drop=_MAX_DROP)
        found = pipeline.compress(out / "whole", out / "small", wishes, data=test)
        speeds = _float_speeds([out / "whole", out / "small"], [text for text, _ in test]) if found.kept else {}
    return {**_trades(found), **speeds, "seconds": round(time.monotonic() - started)}


def student(folder: Path, name: str, seed: int) -> dict[str, Any]:
    """One that is taught by the labelled texts and by others without their labels."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        test = _fit_texts(folder, out, seed)
        others = [(text,) for text, _ in read_pairs(folder / "train.csv")]
        chosen = np.random.default_rng(seed).permutation(len(others))[:_UNLABELLED]
        with (out / "more.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text",), *(others[i] for i in chosen)])
        wishes = Wishes(distill=name, max_drop=_MAX_DROP)
        found = pipeline.compress(out / "whole", out / "small", wishes, data=test, unlabelled=str(out / "more.csv"))
    return {**_trades(found), "seconds": round(time.monotonic() - started)}


def _fit_texts(folder: Path, out: Path, seed: int) -> list[tuple[str, str]]:
    """A head on the English encoder at `whole`; gives the test texts."""
    train, tests = draw(read_pairs(folder / "train.csv"), PER_CLASS, seed), read_pairs(folder / "test.csv")
    fewtune.fit(train, method="head", model=_ENGLISH, seed=seed, compress="none", augment="none", out=out / "whole")
    return tests[:: -(-len(tests) // _MOST_TESTED)]


def _float_speeds(bundles: Sequence[Path], texts: Sequence[str]) -> dict[str, float]:
    """Texts a second of both encoders with every matrix in float, in turns."""
    runs: dict[str, Callable[[], Any]] = {}
    for bundle in bundles:
        manifest = read_manifest(bundle)
        parts = read_encoder(
            (bundle / "model.onnx").read_bytes(), (bundle / "tokenizer.json").read_bytes(), manifest.backbone
        ).parts
        every = [name for group in matrices(parts.weights) for name in group]
        graph = TextGraph(parts.graph(every), parts.tokenizer_json, threads=usable_cores())
        runs[f"{bundle.name}, float"] = partial(graph.run, list(texts)[:_TIMED], "features")
    return _per_second(runs, min(_TIMED, len(texts)))


def pictures(folder: Path) -> dict[str, Any]:
    """A head on the embedded network, in 8-bit integers; PyTorch and plain dynamic quantisation beside it."""
    started = time.monotonic()
    pairs = [(str(path), path.parent.name) for path in sorted(folder.glob("train/*/*.jpg"))]
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        task: dict[str, Any] = {"task": "image-classification", "method": "head", "augment": "none", "compress": "none"}
        fewtune.fit(draw(pairs, PER_CLASS, 0), out=out / "whole", budget="3m", **task)
        wishes = Wishes(to="int8", max_drop=_MAX_DROP)
        found = pipeline.compress(out / "whole", out / "small", wishes, data=str(folder / "test"))
        tested = [(str(path), path.parent.name) for path in sorted(folder.glob("test/*/*.jpg"))]
        others = _beside_pictures(out, tested) if found.kept else {}
    return {**_trades(found), **others, "seconds": round(time.monotonic() - started)}


def _beside_pictures(out: Path, tested: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Pictures a second without decoding, and what plain dynamic quantisation gives."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from fewtune.runtime.picture_graph import PictureGraph

    network, threads, labels = (
        catalog.networks()["efficientnet-lite0"],
        usable_cores(),
        read_manifest(out / "whole").labels,
    )
    torch.set_num_threads(threads)
    squares = [network.preprocess.square(path) for path, _ in tested[:: -(-len(tested) // 64)]]
    pixels = torch.from_numpy(network.preprocess.pixels(squares))
    # Of signed weights ONNX Runtime has no integer convolution.
    quantize_dynamic(str(out / "whole/model.onnx"), str(out / "plain.onnx"), weight_type=QuantType.QUInt8)
    paths = {
        "whole": out / "whole/model.onnx",
        "small": out / "small/model.onnx",
        "plain dynamic int8": out / "plain.onnx",
    }
    graphs = {name: PictureGraph(path, network.preprocess, threads=threads) for name, path in paths.items()}

    def in_torch() -> None:
        with torch.no_grad():
            for batch in pixels.split(16):
                network.network(batch)

    runs: dict[str, Callable[[], Any]] = {
        "PyTorch float32": in_torch,
        **{name: partial(graph.run_squares, squares, "logits") for name, graph in graphs.items()},
    }
    some = tested[:: -(-len(tested) // 200)]
    answers = graphs["plain dynamic int8"].run([path for path, _ in some], "logits").argmax(axis=1)
    right = float(np.mean([labels[answer] == label for answer, (_, label) in zip(answers, some, strict=True)]))
    size = paths["plain dynamic int8"].stat().st_size / 1e6
    return {**_per_second(runs, len(squares)), "plain dynamic int8": {"mb": round(size, 1), "score": right}}


def structured(folder: Path, name: str) -> dict[str, Any]:
    """Boxes, masks or translations in 8-bit integers: the drop of mAP, mIoU or chrF."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        train, test, options = _FITS[name](folder, out)
        fewtune.fit(train, test=test, out=out / "whole", compress="none", budget=_SECONDS[name], **options)
        found = pipeline.compress(out / "whole", out / "small", Wishes(to="int8", max_drop=_MAX_DROP), data=test)
    return {**_trades(found), "seconds": round(time.monotonic() - started)}


def _boxes(folder: Path, out: Path) -> tuple[str, str, dict[str, Any]]:
    del out
    return str(folder / "train.json"), str(folder / "test.json"), {"method": "partial"}


def _masks(folder: Path, out: Path) -> tuple[str, str, dict[str, Any]]:
    del out
    return str(folder / "train.txt"), str(folder / "test.txt"), {"method": "partial"}


def _translations(folder: Path, out: Path) -> tuple[str, str, dict[str, Any]]:
    for part, count in (("train", 500), ("test", _TESTED_PAIRS)):
        lines = (folder / f"{part}.tsv").read_text(encoding="utf-8").splitlines()
        (out / f"{part}.tsv").write_text("\n".join([lines[0], *lines[1 : count + 1]]) + "\n", encoding="utf-8")
    return str(out / "train.tsv"), str(out / "test.tsv"), {"method": "full"}


_FITS: dict[str, Callable[[Path, Path], tuple[str, str, dict[str, Any]]]] = {
    "det_bccd": _boxes,
    "seg_camvid": _masks,
    "mt_pydocs_en_ptbr": _translations,
}


def _per_second(runs: dict[str, Callable[[], Any]], count: int) -> dict[str, float]:
    """Answers a second of each, taken in turns; medians."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for run in runs.values():
        run()
    for _ in range(_ROUNDS):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {f"{name} per second": round(count / float(np.median(times)), 1) for name, times in seconds.items()}


def _trades(found: Any) -> dict[str, Any]:
    return {
        "kept": found.kept,
        "words": found.words,
        "metric": found.metric,
        "trades": {
            trade.name: {
                "mb": round(trade.footprint.size_mb, 1),
                "p50_ms": round(trade.footprint.p50_ms, 2),
                "per_second": round(trade.footprint.per_second, 1),
                "load_ms": round(trade.footprint.load_ms),
                "peak_memory_mb": round(trade.footprint.peak_memory_mb),
                "score": trade.score,
                "failed": list(trade.failed),
            }
            for trade in found.trades
        },
    }


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines for each row: what it was made from, and what was made."""
    lines = []
    for row in rows:
        key = row["key"]
        lines.append(f"{key['bundle']}, {key['way']}, draw {key['draw']} ({row['metric']})")
        original = row["trades"]["original"]
        for name, trade in row["trades"].items():
            drop = "" if trade["score"] is None else f"  drop {100 * (original['score'] - trade['score']):6.2f}"
            lines.append(
                f"  {name:20}{trade['mb']:7.1f} MB{trade['p50_ms']:8.2f} ms{trade['per_second']:8.0f}/s"
                f"  first answer {trade['load_ms']:5.0f} ms{drop}" + ("  " + ", ".join(trade["failed"])).rstrip()
            )
        more = {name.removesuffix(" per second"): value for name, value in row.items() if name.endswith("per second")}
        if more:
            lines.append("  " + ", ".join(f"{name} {value}/s" for name, value in more.items()))
        if "plain dynamic int8" in row:
            plain = row["plain dynamic int8"]
            lines.append(f"  plain dynamic int8: {plain['mb']} MB, score {plain['score']:.3f}")
    return lines
