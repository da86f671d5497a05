"""Classify texts with a bundle: ONNX Runtime, tokenizers and numpy, never torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.progress import Step
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import FloatArray


class TextClassifierRuntime:
    """A bundle for text classification, opened."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        """Open the graph; the files must have been verified."""
        tokenizer = (folder / "tokenizer.json").read_bytes()
        self._graph = TextGraph(folder / manifest.graph("classifier").file, tokenizer, threads=threads)
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
