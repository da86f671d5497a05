"""Classify texts with a bundle: ONNX Runtime, tokenizers and numpy, never torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fewtune.runtime.classification import ClassifierRuntime
from fewtune.runtime.text_graph import TextGraph
from fewtune.types import Graph


class TextClassifierRuntime(ClassifierRuntime):
    """A bundle for text classification, opened."""

    def prepared_by(self, graph: Graph) -> str:
        """The tokenizer's file."""
        return graph.tokenizer

    def open_graph(self, model: Path, preparation: bytes, threads: int) -> TextGraph:
        """Open a graph with its tokenizer."""
        return TextGraph(model, preparation, threads=threads)

    def checked(self, inputs: Any) -> list[str]:
        """The texts as a list. Raises TypeError where it is one text, or holds something else."""
        if isinstance(inputs, str):
            raise TypeError("predict takes a list of texts: write predict([text])")
        texts = list(inputs)
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"inputs[{position}] is a {type(text).__name__}, not a text")
        return texts
