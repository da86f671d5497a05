"""Replies in a house style: 200 pairs, tuned within ten minutes, scored on 60 others; bits; tokens a second.

The pairs are made here: questions to a workshop that does not exist, with the facts in them, and replies that always
open, answer and close in the same manner.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fewtune
from fewtune import catalog
from fewtune.backbones.llama_onnx import Bits
from fewtune.evaluate.replies import reply_metrics
from fewtune.interfaces import StructuredTask
from fewtune.recipe import Recipe
from fewtune.runtime.causal_graph import CausalGraph
from fewtune.runtime.text_generation import Writer, Writing
from fewtune.runtime.threads import usable_cores

MODEL = "smollm2-135m"
PAIRS, TESTS = 200, 60
BUDGET = "10m"
DRAWS = 3
BITS: tuple[Bits, ...] = (32, 8, 4)
_WRITTEN = 16
_TOKENS = 48

_THINGS = ("hand plane", "bench vice", "brass hinge", "oak handle", "carving knife", "spirit level", "clamp", "file")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_KINDS = (
    (
        ("How much is the {thing}, number {code}?", "Price of {thing} {code}, please", "What do you ask for {code}?"),
        "Price list, {code}: {euros} euros.",
        "Number {code} costs {euros} euros, tax included.",
    ),
    (
        ("When will my {thing} get here?", "Order {code}: where is it?", "Any news of the {thing} I ordered?"),
        "Order {code}: leaves on {day}, {days} days on the way.",
        "Order {code} leaves us on {day} and is with you {days} days later.",
    ),
    (
        ("The {thing} came broken.", "My {thing} does not work, what now?", "There is a crack in the {thing}."),
        "Repair {code}: desk {desk}, takes {days} days.",
        "Send it to desk {desk} with the number {code}; the repair takes {days} days and costs nothing.",
    ),
    (
        ("Can I bring the {thing} back?", "I do not want the {thing} any more.", "How do I return {code}?"),
        "Return {code}: within {days} days, desk {desk}.",
        "Bring it to desk {desk} within {days} days, and name {code}; you get {euros} euros back.",
    ),
)


def pairs(count: int, seed: int) -> list[dict[str, str]]:
    """Prompts with replies, all different."""
    generator = np.random.default_rng(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        asked, note, answer = _KINDS[generator.integers(len(_KINDS))]
        values = {
            "thing": _THINGS[generator.integers(len(_THINGS))],
            "code": f"{'KLMNPR'[generator.integers(6)]}-{generator.integers(100, 1000)}",
            "euros": generator.integers(4, 90),
            "day": _DAYS[generator.integers(len(_DAYS))],
            "days": generator.integers(2, 15),
            "desk": generator.integers(1, 10),
        }
        prompt = f"{asked[generator.integers(len(asked))]}\n\nNote: {note} "
        if "euros" not in note:
            prompt += "{euros} euros."
        reply = f"Good day from Marrow & Finch. {answer} Kept in wood and word, your workshop."
        found[prompt.strip().format(**values)] = reply.format(**values)
    return [{"prompt": prompt, "response": reply} for prompt, reply in found.items()]


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    del data
    for bits in BITS:
        yield {"bits": bits}, partial(_bits, bits)
    yield {"engine": "transformers"}, _transformers
    for seed in range(1 if quick else DRAWS):
        yield {"pairs": PAIRS, "draw": seed}, partial(_tune, seed)


def _tune(seed: int) -> dict[str, Any]:
    made = pairs(PAIRS + TESTS, seed)
    with tempfile.TemporaryDirectory() as place:
        train, test = Path(place) / "train.jsonl", Path(place) / "test.jsonl"
        for path, some in ((train, made[:PAIRS]), (test, made[PAIRS:])):
            path.write_text("".join(json.dumps(pair) + "\n" for pair in some), encoding="utf-8")
        started = time.monotonic()
        model = fewtune.fit(train, test=str(test), budget=BUDGET, seed=seed, out=Path(place) / "a.fewtune")
        seconds = time.monotonic() - started
        scores, gain = model.scores, model.scores.gain_over_baseline
        assert gain is not None
        return {
            "seconds": round(seconds, 1),
            "method": model.manifest.method,
            "epochs": model.manifest.recipe["settings"].get("epochs"),
            **{name: [scores[name].value, scores[name].low, scores[name].high] for name in scores},
            "perplexity_before": scores["perplexity"].value + gain.value,
            "gain": [gain.value, gain.low, gain.high],
        }


def _bits(bits: Bits) -> dict[str, Any]:
    """Perplexity of the untouched model, its size, and how fast it writes."""
    parts = catalog.find_language_model(MODEL).parts
    graph = parts.graph(bits)
    task = catalog.find_task("text-generation")
    assert isinstance(task, StructuredTask)
    dataset = task.read(pairs(TESTS, 0), Recipe(), "evaluate")
    writing = Writing(parts.chat, parts.ends, max_new_tokens=1, max_tokens=parts.max_tokens)
    writer = Writer(graph, parts.tokenizer_json, writing, threads=usable_cores())
    answers = writer.answers([example.input for example in dataset])
    ones = np.ones((1, len(dataset)))
    found = reply_metrics(answers, [example.target for example in dataset], ones)
    opened = CausalGraph(graph, threads=usable_cores())
    prompts = _prompts()
    opened.generate(prompts, most=2, ends=())
    started = time.perf_counter()
    written = opened.generate(prompts, most=_TOKENS, ends=())
    seconds = time.perf_counter() - started
    return {
        "perplexity": float(found["perplexity"][0]),
        "size_mb": round(len(graph) / 1e6, 1),
        "tokens_a_second": round(sum(map(len, written)) / seconds, 1),
    }


def _transformers() -> dict[str, Any]:
    """The same prompts, side by side, by Transformers' greedy decoding in float32."""
    import torch

    from fewtune.runtime.causal_graph import left_padded
    from fewtune.tune.reply_objective import torch_model

    torch.set_num_threads(usable_cores())
    model = torch_model(catalog.find_language_model(MODEL).parts.weights)
    ids, mask = (torch.from_numpy(some) for some in left_padded(_prompts()))

    def write(tokens: int) -> torch.Tensor:
        with torch.no_grad():
            return model.generate(  # pyright: ignore
                ids,
                attention_mask=mask,
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
                use_cache=True,
                pad_token_id=0,
            )

    write(2)
    started = time.perf_counter()
    write(_TOKENS)
    seconds = time.perf_counter() - started
    return {"tokens_a_second": round(_WRITTEN * _TOKENS / seconds, 1)}


def _prompts() -> list[list[int]]:
    from tokenizers import Tokenizer

    parts = catalog.find_language_model(MODEL).parts
    tokenizer = Tokenizer.from_str(parts.tokenizer_json.decode())
    texts = [parts.chat.prompt((("user", pair["prompt"]),)) for pair in pairs(_WRITTEN, 1)]
    return [tokenizer.encode(text).ids for text in texts]


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| | perplexity, untouched | MB | tokens a second |", "|---|---|---|---|"]
    for row in rows:
        if "bits" in row["key"]:
            lines.append(
                f"| {row['key']['bits']} bits | {row['perplexity']:.2f} | {row['size_mb']} | {row['tokens_a_second']} |"
            )
        elif "engine" in row["key"]:
            lines.append(f"| Transformers, float32 | | | {row['tokens_a_second']} |")
    lines += [
        "",
        "| draw | seconds | perplexity before | after | less by | exact | ROUGE-L |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "pairs" in row["key"]:
            value, low, high = row["perplexity"]
            less = "{:.2f} ({:.2f} to {:.2f})".format(*row["gain"])
            lines.append(
                f"| {row['key']['draw']} | {row['seconds']} | {row['perplexity_before']:.2f} | {value:.2f} "
                f"({low:.2f} to {high:.2f}) | {less} | {row['exact_match'][0]:.2f} | {row['rouge_l'][0]:.2f} |"
            )
    return "\n".join(lines)
