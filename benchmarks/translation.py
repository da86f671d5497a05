"""A software manual's translations: what tuning on some pairs gains, and what it forgets; decoding beside PyTorch.

`pairs`: `fit` at its defaults on pairs drawn from mt_pydocs_en_ptbr's training file, scored on its test file beside the
untouched model with and without protection; on mt_general_en, chrF against the untouched model's own translations.
`glossary`: some terms of that manual: how many the untouched model translates as given, by itself and held to them.
`decoding`: sentences a second of a bundle's graphs and of batched greedy decoding in PyTorch with the same weights,
shortlist and batches, by turns in one run, and whether they gave the same text.
"""

from __future__ import annotations

import csv
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fewtune
from fewtune import catalog
from fewtune.data.glossary import Glossary
from fewtune.data.protection import kept_and_all, terms_kept_and_all
from fewtune.evaluate.translation import chrf, chrf_counts
from fewtune.runtime.subwords import Marks
from fewtune.runtime.threads import usable_cores
from fewtune.runtime.translation import Translator

MODEL = "marian-tiny-en-pt"
TERMS = (
    ("argument", "argumento"),
    ("arguments", "argumentos"),
    ("file", "arquivo"),
    ("files", "arquivos"),
    ("string", "string"),
    ("strings", "strings"),
    ("statement", "instrução"),
    ("built-in", "embutido"),
    ("list", "lista"),
    ("value", "valor"),
    ("method", "método"),
    ("exception", "exceção"),
    ("thread", "thread"),
    ("default", "padrão"),
    ("command line", "linha de comando"),
)
DRAWS = 3
SMALL, LARGE = (1_000, "5m"), (10_000, "20m")
_DECODED = 600
_ROUNDS = 3

_Pairs = Sequence[tuple[str, str]]


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    yield {"decoding": MODEL}, partial(_decoding, data)
    yield {"glossary": len(TERMS)}, partial(_glossary, data)
    for count, budget in (SMALL,) if quick else (SMALL, LARGE):
        for seed in range(1 if quick else DRAWS):
            yield {"pairs": count, "budget": budget, "draw": seed}, partial(_tune, data, count, budget, seed)


def _read(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(source, target) for source, target in rows][1:]


def _write(path: Path, pairs: _Pairs) -> Path:
    lines = [("en", "pt"), *pairs]
    path.write_text("".join(f"{source}\t{target}\n" for source, target in lines), encoding="utf-8")
    return path


def _general(data: Path) -> list[str]:
    return (data / "mt_general_en" / "general.txt").read_text(encoding="utf-8").splitlines()


def _untouched(*, protects: bool) -> Translator:
    parts = catalog.find_translator(MODEL).parts
    marks = parts.marks() if protects else Marks()
    return Translator(parts.graph(threads=usable_cores()), parts.subwords(marks), parts.words(marks))


def _chrf(answers: Sequence[str], references: Sequence[str]) -> float:
    return float(chrf(chrf_counts(answers, references), np.ones((1, len(answers))))[0])


def _tune(data: Path, count: int, budget: str, seed: int) -> dict[str, Any]:
    folder = data / "mt_pydocs_en_ptbr"
    every, test = _read(folder / "train.tsv"), _read(folder / "test.tsv")
    chosen = np.random.default_rng(seed).choice(len(every), count, replace=False)
    with tempfile.TemporaryDirectory() as place:
        train = _write(Path(place) / "train.tsv", [every[i] for i in chosen])
        tests = _write(Path(place) / "test.tsv", test)
        started = time.monotonic()
        model = fewtune.fit(train, test=str(tests), budget=budget, seed=seed, out=Path(place) / "a.fewtune")
        seconds = time.monotonic() - started
        answers = model.predict(_general(data))
        scores, gain = model.scores, model.scores.gain_over_baseline
        assert gain is not None
        return {
            "seconds": round(seconds, 1),
            "method": model.manifest.method,
            "epochs": model.manifest.recipe["settings"].get("epochs"),
            **{name: [scores[name].value, scores[name].low, scores[name].high] for name in scores},
            "gain": [gain.value, gain.low, gain.high],
            "protected": _protected(test),
            "general": _chrf(answers, _untouched(protects=False).translate(_general(data))),
        }


def _protected(test: _Pairs) -> dict[str, float]:
    """What protection alone brings to the untouched model."""
    sources = [source for source, _ in test]
    answers = _untouched(protects=True).translate(sources)
    kept, spans = np.sum([kept_and_all(*pair) for pair in zip(sources, answers, strict=True)], axis=0)
    return {"chrf": _chrf(answers, [target for _, target in test]), "placeholders_kept": float(kept / max(1, spans))}


def _glossary(data: Path) -> dict[str, Any]:
    """Terms translated as given, and chrF, on the test sentences that have some."""
    glossary = Glossary(TERMS)
    pairs = [pair for pair in _read(data / "mt_pydocs_en_ptbr" / "test.tsv") if terms_kept_and_all(*pair, glossary)[1]]
    sources, references = [source for source, _ in pairs], [target for _, target in pairs]
    translator = _untouched(protects=True)
    answers = {
        "references": references,
        "without": translator.translate(sources),
        "with": translator.with_glossary(glossary).translate(sources),
    }

    def scores(given: Sequence[str]) -> dict[str, float]:
        counts = [terms_kept_and_all(*pair, glossary) for pair in zip(sources, given, strict=True)]
        kept, terms = np.sum(counts, axis=0)
        return {"kept": float(kept / terms), "chrf": _chrf(given, references)}

    return {"sentences": len(sources), **{name: scores(given) for name, given in answers.items()}}


def _decoding(data: Path) -> dict[str, Any]:
    import torch

    from fewtune.backbones.seq2seq_network import NetworkSteps, Seq2SeqNetwork

    torch.set_num_threads(usable_cores())
    parts = catalog.find_translator(MODEL).parts
    marks = parts.marks()
    subwords, words = parts.subwords(marks), parts.words(marks)
    networks = {
        "graphs": parts.graph(threads=usable_cores()),
        "pytorch": NetworkSteps(Seq2SeqNetwork(parts.weights)),
    }
    texts = [source for source, _ in _read(data / "mt_pydocs_en_ptbr" / "test.tsv")[:_DECODED]]
    rates: dict[str, list[float]] = {name: [] for name in networks}
    given: dict[str, list[str]] = {}
    for _ in range(_ROUNDS + 1):
        for name, network in networks.items():
            started = time.perf_counter()
            given[name] = Translator(network, subwords, words).translate(texts)
            rates[name].append(len(texts) / (time.perf_counter() - started))
    # The first round warms up.
    seen = {name: statistics.median(some[1:]) for name, some in rates.items()}
    same = sum(one == other for one, other in zip(given["graphs"], given["pytorch"], strict=True))
    return {
        "sentences": len(texts),
        "threads": usable_cores(),
        "same": same,
        **{f"{name}_a_second": round(rate, 1) for name, rate in seen.items()},
        "ratio": round(seen["graphs"] / seen["pytorch"], 2),
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| decoding | sentences a second | PyTorch | ratio | same text |", "|---|---|---|---|---|"]
    for row in rows:
        if "decoding" in row["key"]:
            lines.append(
                f"| {row['key']['decoding']}, {row['threads']} threads | {row['graphs_a_second']} "
                f"| {row['pytorch_a_second']} | {row['ratio']} | {row['same']} of {row['sentences']} |"
            )
        if "glossary" in row["key"]:
            lines += ["", f"| {row['sentences']} sentences with terms | as given | chrF |", "|---|---|---|"]
            lines += [
                f"| {name} | {row[name]['kept']:.3f} | {row[name]['chrf']:.2f} |"
                for name in ("references", "without", "with")
            ]
    lines += [
        "",
        "| pairs, draw | s | method | chrF untouched | protected | delivered | gain | placeholders kept | general |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "pairs" in row["key"]:
            value, gain = row["chrf"], row["gain"]
            lines.append(
                f"| {row['key']['pairs']}, {row['key']['draw']} | {row['seconds']} | {row['method']} "
                f"| {value[0] - gain[0]:.2f} | {row['protected']['chrf']:.2f} "
                f"| {value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f}) | {gain[0]:.2f} ({gain[1]:.2f} to {gain[2]:.2f}) "
                f"| {row['placeholders_kept'][0]:.4f} | {row['general']:.2f} |"
            )
    return "\n".join(lines)
