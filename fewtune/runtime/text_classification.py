"""Classify texts with a bundle: ONNX Runtime, tokenizers and numpy, never torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.errors import BundleError
from fewtune.progress import Step
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import FloatArray, Graph

_REMEDY = "Upgrade with: pip install --upgrade onnxruntime tokenizers; if that does not help, fit the bundle again."
_AGAIN = "Fit it again."


class TextClassifierRuntime:
    """A bundle for text classification, opened."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        """Open the graphs; the files must have been verified.

        Raises:
            BundleError: there is no classifier or tokenizer, this ONNX Runtime cannot run a graph, or it has other
                classes.
        """
        self._graphs = [
            (graph.weight, _open(folder, manifest, graph, threads))
            for graph in manifest.graphs
            if graph.role.partition("-")[0] == "classifier"
        ]
        if not self._graphs:
            raise BundleError("The bundle has no graph for the role 'classifier'.", where=str(folder), how=_AGAIN)
        self.labels = manifest.labels

    def log_probs(self, texts: Sequence[str], *, step: Step | None = None) -> FloatArray:
        """(n, classes) log probabilities in the order of `labels`; several graphs' are averaged by their weights."""
        # Progress is told once: by the last graph, which is the dearest when it is not the only one.
        answers = [graph.run(texts, "logits", step=step if graph is self._last else None) for _, graph in self._graphs]
        return self._blended(answers)

    def log_probs_and_features(
        self, texts: Sequence[str], *, step: Step | None = None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Log probabilities as `log_probs`, and (n, width) vectors of the first encoder; None where there is none."""
        answers: list[FloatArray] = []
        features: FloatArray | None = None
        for _, graph in self._graphs:
            wanted = ["logits", "features"] if features is None and "features" in graph.outputs else ["logits"]
            logits, *more = graph.run_several(texts, wanted, step=step if graph is self._last else None)
            answers.append(logits)
            features = more[0] if more else features
        return self._blended(answers), features

    def features(self, texts: Sequence[str], *, step: Step | None = None) -> FloatArray:
        """(n, width) vectors of the first encoder. Raises ValueError where the bundle has none."""
        for _, graph in self._graphs:
            if "features" in graph.outputs:
                return graph.run(texts, "features", step=step)
        raise ValueError("this bundle has no encoder, so its texts have no vectors")

    @property
    def _last(self) -> TextGraph:
        return self._graphs[-1][1]

    def _blended(self, logits: Sequence[FloatArray]) -> FloatArray:
        if len(logits) == 1:
            return _log_softmax(logits[0])
        weighted = [weight * _log_softmax(some) for (weight, _), some in zip(self._graphs, logits, strict=True)]
        return _log_softmax(np.sum(weighted, axis=0))


def _open(folder: Path, manifest: Manifest, graph: Graph, threads: int) -> TextGraph:
    if graph.tokenizer not in manifest.files:
        raise BundleError(f"The bundle has no {graph.tokenizer}.", where=str(folder), how=_REMEDY)
    try:
        opened = TextGraph(folder / graph.file, (folder / graph.tokenizer).read_bytes(), threads=threads)
        classes = opened.run([], "logits").shape[1]
    except Exception as error:  # ONNX Runtime and tokenizers raise many kinds, bare Exception among them
        message = f"{graph.file} cannot be opened here ({type(error).__name__}: {error})."
        raise BundleError(message, where=str(folder), how=_REMEDY) from error
    if classes != len(manifest.labels):
        message = f"{graph.file} has {classes} classes, and bundle.json names {len(manifest.labels)}."
        raise BundleError(message, where=str(folder), how=_AGAIN)
    return opened


def _log_softmax(logits: FloatArray) -> FloatArray:
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True) if len(logits) else logits
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
