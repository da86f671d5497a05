"""An ONNX graph that reads pictures: pixels in, numbers out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.progress import Step
from fewtune.runtime.preprocess import Preprocess
from fewtune.runtime.session import open_session
from fewtune.types import FloatArray

# Pictures that go through the graph at once: more do not fit the processor's caches, and are slower.
_BATCH = 4


class PictureGraph:
    """An ONNX graph with its preprocessing; it takes `pixels` (batch, 3, size, size) float32."""

    def __init__(self, model: bytes | Path, preprocess: Preprocess, *, threads: int) -> None:
        """Open the graph.

        Args:
            model: a serialised ONNX model, or the file it is in.
            preprocess: what pictures become before they go in.
            threads: how many threads one computation may use.
        """
        self._session = open_session(model, threads)
        self.preprocess = preprocess
        self.outputs = tuple(node.name for node in self._session.get_outputs())

    def run(self, pictures: Sequence[Any], output: str, *, step: Step | None = None) -> FloatArray:
        """Compute one output for every picture.

        Args:
            pictures: n paths or Pillow pictures.
            output: name of an output of shape (batch, ...).
            step: is told of every picture done.

        Returns:
            (n, ...) float32.

        Raises:
            DataError: a picture cannot be read.
        """
        return self.run_several(pictures, [output], step=step)[0]

    def run_several(
        self, pictures: Sequence[Any], outputs: Sequence[str], *, step: Step | None = None
    ) -> list[FloatArray]:
        """Compute several outputs for every picture in one pass; as `run`, one array an output."""
        return self._run((self.preprocess.square(picture) for picture in pictures), outputs, step)

    def run_squares(self, squares: Iterable[np.ndarray], output: str, *, step: Step | None = None) -> FloatArray:
        """Compute one output for every (size, size, 3) uint8 square; (n, ...) float32."""
        return self._run(squares, [output], step)[0]

    def _run(self, squares: Iterable[np.ndarray], outputs: Sequence[str], step: Step | None) -> list[FloatArray]:
        remaining, batches = iter(squares), []
        while batch := list(islice(remaining, _BATCH)):
            batches.append(self._compute(batch, outputs, step))
        return [np.concatenate(rows) for rows in zip(*batches, strict=True)] or self._nothing(outputs)

    def _compute(self, squares: list[np.ndarray], outputs: Sequence[str], step: Step | None) -> list[FloatArray]:
        computed = self._session.run(list(outputs), {"pixels": self.preprocess.pixels(squares)})
        if step is not None:
            step.advance(len(squares))
        return [np.asarray(array) for array in computed]

    def _nothing(self, outputs: Sequence[str]) -> list[FloatArray]:
        size = self.preprocess.size_px
        one = self._session.run(list(outputs), {"pixels": np.zeros((1, 3, size, size), np.float32)})
        return [np.asarray(array)[:0] for array in one]
