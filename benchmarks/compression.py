"""Compression beside what it starts from and what others do: size, speed and drop of accuracy, in one run each.

`texts`: all-MiniLM-L6-v2 with one linear head, fitted to PyTorch's float32 features; then the same head on the features
of ours (8-bit integers, with the vocabulary pruned as well) and of ONNX Runtime's plain dynamic quantisation of the
same model, which is what Optimum and sentence-transformers' `export_dynamic_quantized_onnx_model` call.
`bundles`: `fewtune compress` on bundles of the multilingual encoder and of pictures, measured on the test files.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from draws import Pairs, draw, read_pairs

import fewtune
from fewtune import catalog, pipeline
from fewtune.compress.path import Wishes
from fewtune.compress.vocabulary import VocabularyPruning
from fewtune.interfaces import Content, RunContext
from fewtune.runtime.text_graph import TextGraph
from fewtune.runtime.threads import usable_cores
from fewtune.tune.linear_head import LinearHead, fit_feature_heads
from fewtune.types import Example, FloatArray, Graph

PER_CLASS = 64
DRAWS = 3
ENGLISH = ("trec6", "sst2", "banking77")
CHINESE = ("chnsenticorp_htl_zh", "thucnews10_zh")
PICTURES = ("hymenoptera", "sign_digits")
# float32 weights of multilingual-e5-small: 117.5 million.
_FLOAT32_MB = {"multilingual-e5-small": 470.0, "all-MiniLM-L6-v2": 90.9}
_MOST_TESTED = 1600
_TIMED = 256
_ROUNDS = 3
_BATCH = 32

Encode = Callable[[Sequence[str]], FloatArray]


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for seed in range(1 if quick else DRAWS):
        for name in ENGLISH[: 2 if quick else None]:
            yield {"texts": name, "draw": seed}, partial(_texts, data / f"text_{name}", seed)
        for name in CHINESE:
            yield {"bundle": name, "draw": seed}, partial(_chinese, data / f"text_{name}", seed)
    for name in PICTURES:
        yield {"bundle": name, "draw": 0}, partial(_pictures, data / f"imgcls_{name}")


def _texts(folder: Path, seed: int) -> dict[str, Any]:
    train, test = draw(read_pairs(folder / "train.csv"), PER_CLASS, seed), _tested(folder)
    labels = sorted({label for _, label in train})
    index = {label: i for i, label in enumerate(labels)}
    texts, targets = [text for text, _ in train], np.array([index[label] for _, label in train])
    with tempfile.TemporaryDirectory() as place:
        engines = _engines(texts, Path(place))
        features = engines["PyTorch float32"][0](texts)
        (head,) = fit_feature_heads(features, targets, len(labels), [10.0])
        truth = np.array([index[label] for _, label in test])
        speeds = _speeds({name: encode for name, (encode, _) in engines.items()}, [text for text, _ in test])
        return {
            name: {
                "mb": round(megabytes, 1),
                "per_second": round(speeds[name], 1),
                "accuracy": _accuracy(head, encode([text for text, _ in test]), truth),
            }
            for name, (encode, megabytes) in engines.items()
        }


def _engines(texts: Sequence[str], place: Path) -> dict[str, tuple[Encode, float]]:
    """Name to what gives features, and the size of its graph or weights."""
    encoder, threads = catalog.encoders()["all-MiniLM-L6-v2"], usable_cores()
    parts = encoder.parts
    whole, pruned = encoder.graph, _pruned(encoder.graph, parts.tokenizer_json, texts, threads)
    ours = TextGraph(whole, parts.tokenizer_json, threads=threads)
    smaller = TextGraph(*pruned, threads=threads)
    theirs, size = _plain_dynamic(parts, place, threads)
    return {
        "PyTorch float32": (_torch(parts, threads), _FLOAT32_MB["all-MiniLM-L6-v2"]),
        "plain dynamic int8": (theirs, size),
        "ours, int8": (lambda some: ours.run(some, "features"), len(whole) / 1e6),
        "ours, int8 + vocabulary": (lambda some: smaller.run(some, "features"), len(pruned[0]) / 1e6),
    }


def _pruned(graph: bytes, tokenizer: bytes, texts: Sequence[str], threads: int) -> tuple[bytes, bytes]:
    contract = Graph("classifier", "model.onnx", {}, {})
    content = Content("text-classification", {"model.onnx": graph}, (contract,), {"tokenizer.json": tokenizer}, {})
    examples = [Example(text) for text in texts]
    smaller = VocabularyPruning().compress(content, examples, None, RunContext(Path(), threads=threads))
    return smaller.graphs["model.onnx"], smaller.assets["tokenizer.json"]


def _torch(parts: Any, threads: int) -> Encode:
    import torch

    torch.set_num_threads(threads)
    model = _bert(parts)

    @torch.no_grad()
    def encode(texts: Sequence[str]) -> FloatArray:
        return _in_batches(parts, texts, lambda ids, mask: model(torch.from_numpy(ids), torch.from_numpy(mask)).numpy())

    return encode


def _bert(parts: Any) -> Any:
    """The encoder in Transformers, token vectors out."""
    import torch
    from transformers import BertConfig, BertModel

    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            config = BertConfig(**parts.config)
            self.bert = BertModel(config, add_pooling_layer=False)
            state = {name: torch.from_numpy(np.array(value)) for name, value in parts.weights.tensors.items()}
            self.bert.load_state_dict(state, strict=False)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    return Tokens().eval()


def _in_batches(parts: Any, texts: Sequence[str], tokens: Callable[[np.ndarray, np.ndarray], FloatArray]) -> FloatArray:
    """Mean-pooled vectors of length 1, texts sorted by length as ours are."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(parts.tokenizer_json.decode())
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    rows = np.zeros((len(ids), parts.width), np.float32)
    for start in range(0, len(order), _BATCH):
        some = order[start : start + _BATCH]
        padded = np.zeros((len(some), len(ids[some[0]])), np.int64)
        mask = np.zeros_like(padded)
        for row, i in enumerate(some):
            padded[row, : len(ids[i])], mask[row, : len(ids[i])] = ids[i], 1
        hidden, weight = tokens(padded, mask), mask[:, :, None]
        pooled = (hidden * weight).sum(axis=1) / weight.sum(axis=1)
        rows[some] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    return rows


def _plain_dynamic(parts: Any, place: Path, threads: int) -> tuple[Encode, float]:
    import onnxruntime
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exported, quantised = place / "float.onnx", place / "int8.onnx"
    ids = torch.ones(2, 8, dtype=torch.int64)
    axes = {name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask", "hidden")}
    torch.onnx.export(
        _bert(parts),
        (ids, ids),
        str(exported),
        input_names=["input_ids", "attention_mask"],
        output_names=["hidden"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    quantize_dynamic(str(exported), str(quantised), weight_type=QuantType.QInt8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(quantised), options, providers=["CPUExecutionProvider"])

    def encode(texts: Sequence[str]) -> FloatArray:
        def tokens(ids: np.ndarray, mask: np.ndarray) -> FloatArray:
            return np.asarray(session.run(["hidden"], {"input_ids": ids, "attention_mask": mask})[0])

        return _in_batches(parts, texts, tokens)

    return encode, quantised.stat().st_size / 1e6


def _speeds(engines: dict[str, Encode], texts: Sequence[str]) -> dict[str, float]:
    """Texts a second of each, taken in turns; medians."""
    some = list(texts)[:_TIMED]
    seconds: dict[str, list[float]] = defaultdict(list)
    for encode in engines.values():
        encode(some[:_BATCH])
    for _ in range(_ROUNDS):
        for name, encode in engines.items():
            started = time.perf_counter()
            encode(some)
            seconds[name].append(time.perf_counter() - started)
    return {name: len(some) / float(np.median(times)) for name, times in seconds.items()}


def _accuracy(head: LinearHead, features: FloatArray, truth: np.ndarray) -> float:
    return float((head.log_probs(features).argmax(axis=1) == truth).mean())


def _tested(folder: Path) -> Pairs:
    pairs = read_pairs(folder / "test.csv")
    return pairs[:: -(-len(pairs) // _MOST_TESTED)]


def _chinese(folder: Path, seed: int) -> dict[str, Any]:
    train = draw(read_pairs(folder / "train.csv"), PER_CLASS, seed)
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        fewtune.fit(train, method="head", model="multilingual-e5-small", seed=seed, out=out / "whole")
        found = pipeline.compress(out / "whole", out / "small", Wishes(prune="vocabulary"), data=_tested(folder))
    return {"float32_mb": _FLOAT32_MB["multilingual-e5-small"], **_trades(found)}


def _pictures(folder: Path) -> dict[str, Any]:
    pairs = [(str(path), path.parent.name) for path in sorted(folder.glob("train/*/*.jpg"))]
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        fewtune.fit(
            draw(pairs, PER_CLASS, 0), task="image-classification", method="head", out=out / "whole", budget="3m"
        )
        wishes = Wishes(to="int8", max_drop=0.05)
        found = pipeline.compress(out / "whole", out / "small", wishes, data=str(folder / "test"))
        speeds = _picture_speeds(out, sorted(folder.glob("test/*/*.jpg"))[:64]) if found.kept else {}
    return {**_trades(found), **speeds}


def _picture_speeds(out: Path, paths: Sequence[Path]) -> dict[str, float]:
    """Pictures a second without decoding: PyTorch float32, and both bundles' graphs."""
    import torch

    from fewtune.runtime.picture_graph import PictureGraph

    network, threads = catalog.networks()["efficientnet-lite0"], usable_cores()
    torch.set_num_threads(threads)
    squares = [network.preprocess.square(str(path)) for path in paths]
    pixels = torch.from_numpy(network.preprocess.pixels(squares))
    graphs = {
        name: PictureGraph(out / name / "model.onnx", network.preprocess, threads=threads)
        for name in ("whole", "small")
    }

    def in_torch() -> None:
        with torch.no_grad():
            for batch in pixels.split(16):
                network.network(batch)

    runs: dict[str, Callable[[], Any]] = {
        "PyTorch float32": in_torch,
        **{name: partial(graph.run_squares, squares, "logits") for name, graph in graphs.items()},
    }
    seconds: dict[str, list[float]] = defaultdict(list)
    for run in runs.values():
        run()
    for _ in range(_ROUNDS):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {f"{name} per second": round(len(squares) / float(np.median(times)), 1) for name, times in seconds.items()}


def _trades(found: Any) -> dict[str, Any]:
    return {
        "kept": found.kept,
        "words": found.words,
        **{
            trade.name: {
                "mb": round(trade.footprint.size_mb, 1),
                "p50_ms": round(trade.footprint.p50_ms, 1),
                "accuracy": trade.score,
            }
            for trade in found.trades
        },
    }


def table(rows: list[dict[str, Any]]) -> str:
    texts = [row for row in rows if "texts" in row["key"]]
    lines = [f"{'all-MiniLM-L6-v2':26}{'MB':>7}{'texts/s':>9}{'ratio':>7}{'drop, mean':>12}{'worst':>7}  (points)"]
    for name in (key for key in (texts[0] if texts else {}) if key not in ("key", "commit")):
        plain = [row["PyTorch float32"] for row in texts]
        mine = [row[name] for row in texts]
        ratio = np.median([some["per_second"] / one["per_second"] for some, one in zip(mine, plain, strict=True)])
        speed = np.median([some["per_second"] for some in mine])
        drops = [100 * (one["accuracy"] - some["accuracy"]) for some, one in zip(mine, plain, strict=True)]
        size = mine[0]["mb"]
        lines.append(f"{name:26}{size:7.1f}{speed:9.0f}{ratio:7.2f}{np.mean(drops):12.2f}{max(drops):7.2f}")
    for row in rows:
        if "bundle" in row["key"]:
            lines.append(f"{row['key']['bundle']}, draw {row['key']['draw']}: {row['words']}")
            more = {name: value for name, value in row.items() if name.endswith("per second")}
            if more:
                lines.append(
                    "    " + ", ".join(f"{name.removesuffix(' per second')} {v}/s" for name, v in more.items())
                )
    return "\n".join(lines)
