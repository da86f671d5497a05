"""How threads wait for each other, and how many tokens go through a graph at once: texts a second, by turns.

`busy`: beside as many processes that never rest as there are cores; else nothing else should run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from draws import read_pairs

from fewtune import catalog
from fewtune.runtime import text_graph
from fewtune.runtime.threads import usable_cores

SETTINGS = [
    ("all-MiniLM-L6-v2", "trec6", 400),
    ("all-MiniLM-L6-v2", "sst2", 400),
    ("multilingual-e5-small", "thucnews10_zh", 100),
    ("multilingual-e5-small", "chnsenticorp_htl_zh", 100),
]
TOKENS = (512, 2048)
WAITING: dict[str, Mapping[str, str]] = {
    "no spinning": {"session.intra_op.allow_spinning": "0"},
    "as ONNX Runtime does": {},
    "50 microseconds": {"session.intra_op.spin_duration_us": "50", "session.force_spinning_stop": "1"},
}
_ROUNDS, _ALONE = 4, 40


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for model, name, count in SETTINGS[: 1 if quick else None]:
        for busy in (False, True):
            yield {"model": model, "set": name, "busy": busy}, partial(_measure, data, model, name, count, busy)


def _measure(data: Path, model: str, name: str, count: int, busy: bool) -> dict[str, Any]:
    texts = [text for text, _ in read_pairs(data / f"text_{name}" / "test.csv")[:count]]
    parts = catalog.find_encoder(model).parts
    with ExitStack() as stack:
        graphs = {how: _opened(parts.graph(), parts.tokenizer_json, entries) for how, entries in WAITING.items()}
        for graph in graphs.values():
            graph.run(texts[:1], "features")
        for _ in range(usable_cores() if busy else 0):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        rates: dict[str, list[float]] = {f"{how}, {tokens} tokens": [] for how in graphs for tokens in TOKENS}
        for _ in range(_ROUNDS):
            for how, graph in graphs.items():
                for tokens in TOKENS:
                    text_graph.TOKENS_PER_BATCH = tokens
                    started = time.perf_counter()
                    graph.run(texts, "features")
                    rates[f"{how}, {tokens} tokens"].append(len(texts) / (time.perf_counter() - started))
        one = {
            how: statistics.median(_seconds(graph, text) for text in texts[:_ALONE]) for how, graph in graphs.items()
        }
    # The first round warms up.
    return {
        "a_second": {how: round(statistics.median(some[1:]), 1) for how, some in rates.items()},
        "one_ms": {how: round(1e3 * seconds, 2) for how, seconds in one.items()},
    }


def _opened(model: bytes, tokenizer: bytes | str, entries: Mapping[str, str]) -> text_graph.TextGraph:
    import onnxruntime

    def opened(model: bytes | Path, threads: int) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        for name, value in entries.items():
            options.add_session_config_entry(name, value)
        content = model if isinstance(model, bytes) else str(model)
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    ours, text_graph.open_session = text_graph.open_session, opened
    try:
        return text_graph.TextGraph(model, tokenizer, threads=usable_cores())
    finally:
        text_graph.open_session = ours


def _seconds(graph: text_graph.TextGraph, text: str) -> float:
    started = time.perf_counter()
    graph.run([text], "features")
    return time.perf_counter() - started


def table(rows: list[dict[str, Any]]) -> str:
    """A line a way of waiting, a column a row of the results."""
    heads = [f"{row['key']['set'][:12]}{', busy' if row['key']['busy'] else ''}" for row in rows]
    lines = [f"{'texts a second':36}" + "".join(f"{head:>20}" for head in heads)]
    for how in rows[0]["a_second"]:
        lines.append(f"{how:36}" + "".join(f"{row['a_second'][how]:20.0f}" for row in rows))
    for how in rows[0]["one_ms"]:
        lines.append(f"{'one text, ms: ' + how:36}" + "".join(f"{row['one_ms'][how]:20.2f}" for row in rows))
    return "\n".join(lines)
