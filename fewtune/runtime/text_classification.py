"""Classify texts with a bundle: ONNX Runtime, tokenizers and numpy, never torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.errors import BundleError
from fewtune.progress import Step
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import FloatArray

_REMEDY = "Upgrade with: pip install --upgrade onnxruntime tokenizers; if that does not help, fit the bundle again."


class TextClassifierRuntime:
    """A bundle for text classification, opened."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        """Open the graph; the files must have been verified.

        Raises:
            BundleError: there is no tokenizer, this ONNX Runtime cannot run the graph, or it has other classes.
        """
        file = manifest.graph("classifier").file
        if "tokenizer.json" not in manifest.files:
            raise BundleError("The bundle has no tokenizer.json.", where=str(folder), how=_REMEDY)
        try:
            self._graph = TextGraph(folder / file, (folder / "tokenizer.json").read_bytes(), threads=threads)
            classes = self._graph.run([], "logits").shape[1]
        except Exception as error:  # ONNX Runtime and tokenizers raise many kinds, bare Exception among them
            message = f"{file} cannot be opened here ({type(error).__name__}: {error})."
            raise BundleError(message, where=str(folder), how=_REMEDY) from error
        if classes != len(manifest.labels):
            message = f"{file} has {classes} classes, and bundle.json names {len(manifest.labels)}."
            raise BundleError(message, where=str(folder), how="Fit it again.")
        self.labels = manifest.labels

    def log_probs(self, texts: Sequence[str], *, step: Step | None = None) -> FloatArray:
        """(n, classes) log probabilities in the order of `labels`."""
        logits = self._graph.run(texts, "logits", step=step).astype(np.float64)
        shifted = logits - logits.max(axis=1, keepdims=True) if len(logits) else logits
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def features(self, texts: Sequence[str], *, step: Step | None = None) -> FloatArray:
        """(n, width) vectors of the encoder. Raises ValueError where the bundle has no encoder."""
        if "features" not in self._graph.outputs:
            raise ValueError("this bundle has no encoder, so its texts have no vectors")
        return self._graph.run(texts, "features", step=step)
