"""One contrastive tuning beside SetFit at its defaults: same labels, same encoder folder, same run.

SetFit comes from benchmarks/requirements.txt.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from draws import Pairs, draw, read_pairs

import fewtune
from fewtune import catalog
from fewtune.bundle.export import export_bundle
from fewtune.interfaces import RunContext
from fewtune.recipe import Recipe
from fewtune.runtime.threads import usable_cores
from fewtune.tasks.text_classification import TextClassification

SETS = {
    "trec6": "all-MiniLM-L6-v2",
    "sst2": "all-MiniLM-L6-v2",
    "chnsenticorp_htl_zh": "multilingual-e5-small",
    "thucnews10_zh": "multilingual-e5-small",
}
PER_CLASS = 8
DRAWS = 5
# SetFit's training is ended after so long, and counted with that time and the accuracy it had not reached.
MOST_SECONDS = 600
# What a contrastive tuning has where no folds chose for it.
SETTINGS = {"stop": 1.0, "C": 10.0, "label_names": 0.0}


def measurements(data: Path, quick: bool) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    if find_spec("setfit") is None:
        print("SetFit is not installed: pip install -r benchmarks/requirements.txt")
        return
    for seed in range(1 if quick else DRAWS):
        for name, model in SETS.items():
            yield {"set": name, "model": model, "draw": seed}, partial(_measure, data / f"text_{name}", model, seed)


def _measure(folder: Path, model: str, seed: int) -> dict[str, Any]:
    pairs = draw(read_pairs(folder / "train.csv"), PER_CLASS, seed)
    test = read_pairs(folder / "test.csv")
    # Evenly from the whole file, which may be sorted by class.
    test = test[:: max(1, len(test) // 2000)]
    ours = _ours(pairs, test, model, seed)
    with tempfile.TemporaryDirectory() as place:
        frozen = fewtune.fit(pairs, method="head", model=model, out=Path(place) / "head", settings={"C": 1.0})
        export_bundle(frozen.bundle, Path(place) / "hf", form="hf")
        _without_head(Path(place) / "hf")
        theirs = _setfit(pairs, test, str(Path(place) / "hf"), seed)
    return {**ours, **theirs}


def _ours(pairs: Pairs, test: Pairs, model: str, seed: int) -> dict[str, Any]:
    task, recipe = TextClassification(), Recipe(seed=seed, model=model, method="contrastive")
    dataset = task.read(pairs, recipe, "fit")
    with tempfile.TemporaryDirectory() as place:
        run = RunContext(Path(place), seed, usable_cores())
        (tuner,) = catalog.find_tuners(recipe, task)
        ((candidate,), _) = tuner.candidates(dataset, recipe)
        candidate.foresee(dataset, run)  # imports what SetFit's own import has before its clock starts
        fitted = candidate.fit(dataset, SETTINGS, run)
        log_probs = fitted.reference([text for text, _ in test])
    right = [dataset.labels[i] == label for i, (_, label) in zip(log_probs.argmax(axis=1), test, strict=True)]
    return {"tune_seconds": round(fitted.seconds, 2), "accuracy": float(np.mean(right))}


def _without_head(folder: Path) -> None:
    """Leave the encoder, its pooling and its scale: what SetFit begins with."""
    import json

    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([module for module in modules if "Dense" not in module["type"]]))


def _setfit(pairs: Pairs, test: Pairs, folder: str, seed: int) -> dict[str, Any]:
    """In a process of its own, which can be ended."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    process = context.Process(target=_setfit_process, args=(pairs, test, folder, seed, results))
    process.start()
    try:
        while process.is_alive() and results.empty():
            time.sleep(0.2)
        ready = results.get(timeout=5)
        process.join(MOST_SECONDS)
        if process.is_alive():
            return {"setfit_seconds": float(MOST_SECONDS), "setfit_accuracy": None}
        return results.get(timeout=60) if ready else {}
    finally:
        process.kill()


def _setfit_process(pairs: Pairs, test: Pairs, folder: str, seed: int, results: Any) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from datasets import Dataset  # type: ignore[import-not-found]
    from setfit import SetFitModel, Trainer, TrainingArguments  # type: ignore[import-not-found]

    torch.set_num_threads(usable_cores())
    labels = sorted({label for _, label in pairs})
    rows = [{"text": text, "label": labels.index(label)} for text, label in pairs]
    model = SetFitModel.from_pretrained(folder, device="cpu")
    with tempfile.TemporaryDirectory() as place:
        arguments = TrainingArguments(output_dir=place, seed=seed, report_to="none", save_strategy="no")
        trainer = Trainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows))
        results.put(True)
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    predicted = model.predict([text for text, _ in test])
    right = [labels[int(i)] == label for i, (_, label) in zip(predicted, test, strict=True)]
    results.put({"setfit_seconds": round(seconds, 2), "setfit_accuracy": float(np.mean(right))})


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'set':24}{'draws':>6}{'ours':>8}{'s':>7}{'SetFit':>8}{'s':>7}"]
    for name in SETS:
        some = [row for row in rows if row["key"]["set"] == name]
        if some:
            theirs = [row["setfit_accuracy"] for row in some if row["setfit_accuracy"] is not None]
            lines.append(
                f"{name:24}{len(some):6}{np.mean([row['accuracy'] for row in some]):8.3f}"
                f"{np.mean([row['tune_seconds'] for row in some]):7.1f}"
                f"{np.mean(theirs) if theirs else float('nan'):8.3f}"
                f"{np.mean([row['setfit_seconds'] for row in some]):7.1f}"
            )
    if rows:
        ratio = sum(row["tune_seconds"] for row in rows) / sum(row["setfit_seconds"] for row in rows)
        lines.append(f"our summed time is {ratio:.2f} of SetFit's")
    return "\n".join(lines)
