"""A tuned Marian student in its own format, in 8-bit integers, for the engine of the package that it came with.

Rounding what was tuned loses most of it: the changes are smaller than half a step. So the student learns once more, its
matrices used as they will be rounded, to translate as it did before (self-distillation in the manner of Kim & Rush
2016, arXiv:1606.07947, with quantisation-aware training, Jacob et al. 2018, arXiv:1712.05877).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fewtune.backbones.marian_file import write_marian
from fewtune.backbones.marian_shortlist import with_words
from fewtune.backbones.seq2seq import StudentParts
from fewtune.bundle.export import MARIAN_MARK
from fewtune.bundle.manifest import Manifest
from fewtune.bundle.write import PRIVATE
from fewtune.errors import MissingExtraError, RecipeError
from fewtune.interfaces import RunContext
from fewtune.runtime.shortlist import Shortlist, read_shortlist
from fewtune.runtime.translation import SHORTLIST_FILE, Translator, read_settings
from fewtune.tune.general_text import general_texts
from fewtune.tune.translation_data import TranslationBatches, prepared

_TRAINED = "out_of_fold.jsonl"
_MOST_TEXTS, _TEXTS = 1_000, 400
_TOKENS, _EPOCHS, _LEARNING_RATE, _WARMUP = 3_000, 3.0, 1e-4, 0.1


def marian_files(
    bundle: Path, manifest: Manifest, given: StudentParts, folder: Path, run: RunContext
) -> dict[str, bytes]:
    """Name to content of the folder's files.

    Args:
        bundle: of a student that was tuned.
        manifest: of the bundle.
        given: the student as it came.
        folder: the files that it came in.
        run: threads, seed and progress.

    Raises:
        RecipeError: the student did not come in 8-bit integers.
        MissingExtraError: PyTorch, with which it learns once more, is not installed.
    """
    from importlib.util import find_spec

    if not given.scales:
        raise RecipeError(
            "This student did not come in 8-bit integers: the scales of its inputs are not known.",
            where=str(folder),
            how="Take a model whose file holds them (model.*.intgemm.alphas.bin).",
        )
    if any(find_spec(package) is None for package in ("torch", "lightning")):
        raise MissingExtraError("train", needed_for="The format marian", where="--format")
    shortlist = _shortlist(bundle)
    more = set() if shortlist is None or given.listed is None else set(shortlist.always) - set(given.listed.always)
    tuned = given.tuned(_tensors(bundle, manifest, given), (int(word) for word in more))
    tensors = _rounding_learnt(tuned, _texts(bundle, tuned, run), bundle, run)
    (model,) = sorted(folder.glob("*model*.bin"))[:1]
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
    files[model.name] = write_marian(tensors, given.settings, int8=given.scales)
    for name in files:
        if name.startswith("lex") and name.endswith(".bin") and more:
            files[name] = with_words(files[name], given.source.end, (int(word) for word in more))
    return {**files, MARIAN_MARK: json.dumps({"fewtune_version": manifest.fewtune_version}).encode()}


def _shortlist(bundle: Path) -> Shortlist | None:
    path = bundle / SHORTLIST_FILE
    return read_shortlist(path.read_bytes(), where=str(path)) if path.is_file() else None


def _tensors(bundle: Path, manifest: Manifest, given: StudentParts) -> dict[str, np.ndarray]:
    """The weights that a bundle's graphs hold, under the names of Marian; those in fewer bits unpacked."""
    import onnx
    from onnx import numpy_helper

    stored: dict[str, np.ndarray] = {}
    for graph in manifest.graphs:
        content = onnx.load(str(bundle / graph.file)).graph.initializer
        stored |= {tensor.name: numpy_helper.to_array(tensor) for tensor in content}

    def tensor(name: str) -> np.ndarray:
        if f"{name}.int8" in stored:
            return stored[f"{name}.int8"].astype(np.float32) * stored[f"{name}.int8_scales"]
        return stored[f"{name}.float16" if f"{name}.float16" in stored else name].astype(np.float32)

    return {name: tensor(name).reshape(value.shape) for name, value in given.weights.tensors.items()}


def _texts(bundle: Path, parts: StudentParts, run: RunContext) -> list[str]:
    """What the bundle learnt from, where it keeps that, and as much general text."""
    path = bundle / PRIVATE / _TRAINED
    own: list[str] = []
    if path.is_file():
        own = [str(json.loads(line)["input"]) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    own = [own[i] for i in run.generator("texts").permutation(len(own))[:_MOST_TEXTS]]
    return [*own, *general_texts(parts, "", len(own) or _TEXTS, run.generator("general text"))]


def _rounding_learnt(
    parts: StudentParts, texts: Sequence[str], bundle: Path, run: RunContext
) -> Mapping[str, np.ndarray]:
    """Weights that translate as the tuned ones do once they are rounded."""
    import torch

    from fewtune.backbones.seq2seq_network import Seq2SeqNetwork
    from fewtune.tune.loop import Schedule, train
    from fewtune.tune.translation_objective import TranslationObjective

    torch.set_num_threads(run.threads)
    marks = read_settings(bundle).marks
    subwords, words = parts.subwords(marks), parts.words(marks)
    with run.progress.step("Learn to be rounded", total=1) as step:
        translations = Translator(parts.graph(threads=run.threads), subwords, words).translate(texts)
        pairs = prepared(list(zip(texts, translations, strict=True)), subwords)
        batches = TranslationBatches(pairs, subwords, words, _TOKENS, lambda epoch: run.generator("rounding", epoch))
        network = Seq2SeqNetwork(parts.weights)
        network.round_to_int8(parts.scales)
        schedule = Schedule(batches.steps(_EPOCHS), _LEARNING_RATE, _WARMUP, 0.0)
        objective = TranslationObjective(network, batches)
        train(objective, schedule, seed_of=lambda number: run.seed_of("rounding", number), step=step)
    return network.tensors()
