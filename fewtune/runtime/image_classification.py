"""Classify pictures with a bundle: ONNX Runtime, Pillow and numpy, never torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fewtune.runtime.classification import ClassifierRuntime
from fewtune.runtime.picture_graph import PictureGraph
from fewtune.runtime.picture_inputs import checked_pictures
from fewtune.runtime.preprocess import preprocess_from_json
from fewtune.types import Graph


class ImageClassifierRuntime(ClassifierRuntime):
    """A bundle for image classification, opened."""

    def prepared_by(self, graph: Graph) -> str:
        """The file with the size, crop and scale of what the network takes."""
        return graph.preprocess

    def open_graph(self, model: Path, preparation: bytes, threads: int) -> PictureGraph:
        """Open a graph with its preprocessing."""
        return PictureGraph(model, preprocess_from_json(preparation, where=str(model.parent)), threads=threads)

    def checked(self, inputs: Any) -> list[Any]:
        """The pictures as a list. Raises TypeError where it is one picture, or holds something else."""
        return checked_pictures(inputs)
