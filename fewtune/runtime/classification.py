"""What every bundle that classifies does, whatever it reads: its graphs' log probabilities, averaged where several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.errors import BundleError
from fewtune.progress import Step
from fewtune.types import FloatArray, Graph, Judged

_AGAIN = "Fit it again."


class InputGraph(Protocol):
    """A graph with what prepares its inputs."""

    outputs: tuple[str, ...]

    def run(self, inputs: Sequence[Any], output: str, /, *, step: Step | None = None) -> FloatArray:
        """(n, width) of one output for n inputs."""
        ...

    def run_several(
        self, inputs: Sequence[Any], outputs: Sequence[str], /, *, step: Step | None = None
    ) -> list[FloatArray]:
        """As `run`, several outputs in one pass."""
        ...


class ClassifierRuntime(ABC):
    """A bundle that sorts inputs into classes, opened."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        """Open the graphs; the files must have been verified.

        Raises:
            BundleError: a graph or what prepares its inputs is missing, this ONNX Runtime cannot run it, or it has
                other classes.
        """
        self._graphs = [
            (graph.weight, self._open(folder, manifest, graph, threads))
            for graph in manifest.graphs
            if graph.role.partition("-")[0] == "classifier"
        ]
        if not self._graphs:
            raise BundleError("The bundle has no graph for the role 'classifier'.", where=str(folder), how=_AGAIN)
        self.labels = manifest.labels

    @abstractmethod
    def prepared_by(self, graph: Graph) -> str:
        """Name of the file that says how inputs are prepared for a graph."""

    @abstractmethod
    def open_graph(self, model: Path, preparation: bytes, threads: int) -> InputGraph:
        """Open a graph; `preparation` is the content of the file that `prepared_by` names."""

    @abstractmethod
    def checked(self, inputs: Any) -> list[Any]:
        """The inputs as a list. Raises TypeError where they are not what this bundle reads."""

    def _open(self, folder: Path, manifest: Manifest, graph: Graph, threads: int) -> InputGraph:
        preparation = self.prepared_by(graph)
        remedy = "Upgrade onnxruntime, tokenizers and Pillow; if that does not help, fit the bundle again."
        if preparation not in manifest.files:
            raise BundleError(f"The bundle has no {preparation}.", where=str(folder), how=remedy)
        try:
            opened = self.open_graph(folder / graph.file, (folder / preparation).read_bytes(), threads)
            classes = opened.run([], "logits").shape[1]
        except BundleError:
            raise
        except Exception as error:  # ONNX Runtime and tokenizers raise many kinds, bare Exception among them
            message = f"{graph.file} cannot be opened here ({type(error).__name__}: {error})."
            raise BundleError(message, where=str(folder), how=remedy) from error
        if classes != len(manifest.labels):
            message = f"{graph.file} has {classes} classes, and bundle.json names {len(manifest.labels)}."
            raise BundleError(message, where=str(folder), how=_AGAIN)
        return opened

    def log_probs(self, inputs: Sequence[Any], *, step: Step | None = None) -> FloatArray:
        """(n, classes) log probabilities in the order of `labels`; several graphs' are averaged by their weights."""
        # Progress is told once: by the last graph, which is the dearest when it is not the only one.
        answers = [graph.run(inputs, "logits", step=step if graph is self._last else None) for _, graph in self._graphs]
        return self._blended(answers)

    def log_probs_and_features(
        self, inputs: Sequence[Any], *, step: Step | None = None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Log probabilities as `log_probs`, and (n, width) vectors of the first encoder; None where there is none."""
        answers: list[FloatArray] = []
        features: FloatArray | None = None
        for _, graph in self._graphs:
            wanted = ["logits", "features"] if features is None and "features" in graph.outputs else ["logits"]
            logits, *more = graph.run_several(inputs, wanted, step=step if graph is self._last else None)
            answers.append(logits)
            features = more[0] if more else features
        return self._blended(answers), features

    def features(self, inputs: Sequence[Any], *, step: Step | None = None) -> FloatArray:
        """(n, width) vectors of the first encoder. Raises ValueError where the bundle has none."""
        for _, graph in self._graphs:
            if "features" in graph.outputs:
                return graph.run(inputs, "features", step=step)
        raise ValueError("this bundle has no encoder, so its inputs have no vectors")

    def look(self, inputs: Sequence[Any], *, step: Step | None = None) -> FloatArray:
        """(n, m) float32: all that `judge` wants to know of each input."""
        log_probs, features = self.log_probs_and_features(inputs, step=step)
        parts = [log_probs] if features is None else [log_probs, features]
        return np.hstack(parts).astype(np.float32)

    def judge(self, looked: FloatArray) -> Judged:
        """What n inputs that were looked at mean to the model, to tell which of them to label next."""
        classes = len(self.labels)
        probs = np.exp(looked[:, :classes].astype(np.float64))
        order = np.argsort(-probs, axis=1, kind="stable")[:, :2]

        def doubts(i: int) -> str:
            (first, second), row = order[i], probs[i]
            return (
                f"the model wavers between {self.labels[first]!r} ({row[first]:.0%}) "
                f"and {self.labels[second]!r} ({row[second]:.0%})"
            )

        return Judged(
            # The chance that two answers drawn by these probabilities differ (Gini).
            uncertainty=1 - np.square(probs).sum(axis=1),
            predicted=order[:, 0].astype(np.int64),
            features=looked[:, classes:] if looked.shape[1] > classes else None,
            predictions=lambda i: self.labels[order[i, 0]],
            confidences=probs.max(axis=1),
            doubts=doubts,
        )

    @property
    def _last(self) -> InputGraph:
        return self._graphs[-1][1]

    def _blended(self, logits: Sequence[FloatArray]) -> FloatArray:
        return blended(logits, [weight for weight, _ in self._graphs])


def blended(logits: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """(n, classes) log probabilities of several graphs' (n, classes) logits, averaged by their weights."""
    if len(logits) == 1:
        return _log_softmax(logits[0])
    weighted = [weight * _log_softmax(some) for weight, some in zip(weights, logits, strict=True)]
    return _log_softmax(np.sum(weighted, axis=0))


def _log_softmax(logits: FloatArray) -> FloatArray:
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True) if len(logits) else logits
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
