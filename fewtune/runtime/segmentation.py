"""Give every pixel of pictures a class with a bundle: ONNX Runtime, Pillow and numpy, never torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.manifest import Manifest
from fewtune.data.mask import IndexMask
from fewtune.data.picture import open_picture
from fewtune.errors import BundleError
from fewtune.progress import Step
from fewtune.runtime.picture_inputs import checked_pictures
from fewtune.runtime.scaled import Scaled, scaled_from_json
from fewtune.runtime.session import open_session
from fewtune.runtime.structured import StructuredRuntime
from fewtune.types import FloatArray

_HOW = "Upgrade onnxruntime and Pillow; if that does not help, fit the bundle again."
Forward = Callable[[FloatArray], FloatArray]


def segment(
    pictures: Sequence[Any], forward: Forward, preprocess: Scaled, *, step: Step | None = None
) -> list[IndexMask]:
    """The masks of pictures.

    Args:
        pictures: n paths or Pillow pictures.
        forward: (1, 3, height, width) pixels to (1, classes, h, w) logits.
        preprocess: what pictures become before they go in.
        step: is told of every picture done.

    Raises:
        DataError: a picture cannot be read.
    """
    masks = []
    for source in pictures:
        picture = open_picture(source)
        logits = forward(preprocess.pixels(preprocess.scale(picture)))[0]
        masks.append(IndexMask.from_ids(preprocess.mask(logits, *picture.size)))
        if step is not None:
            step.advance()
    return masks


class SegmenterGraph:
    """An ONNX graph that gives every pixel logits."""

    def __init__(self, model: bytes | Path, *, threads: int) -> None:
        """Open the graph; `model` is its content or its file."""
        self._session = open_session(model, threads)

    def __call__(self, pixels: FloatArray) -> FloatArray:
        """(n, 3, height, width) to (n, classes, h, w)."""
        (logits,) = self._session.run(["logits"], {"pixels": pixels})
        return np.asarray(logits)


class SegmentationRuntime(StructuredRuntime):
    """A bundle for segmentation, opened."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        """Open the graph; the files must have been verified.

        Raises:
            BundleError: the graph or preprocess.json is missing or malformed, this ONNX Runtime cannot run it, or it
                has other classes.
        """
        contract = manifest.graph("segmenter")
        if contract.preprocess not in manifest.files:
            raise BundleError("The bundle has no preprocess.json.", where=str(folder), how=_HOW)
        self.labels = manifest.labels
        self.preprocess = scaled_from_json((folder / contract.preprocess).read_bytes(), where=str(folder))
        try:
            self._graph = SegmenterGraph(folder / contract.file, threads=threads)
            side = self.preprocess.stride
            classes = self._graph(np.zeros((1, 3, side, side), np.float32)).shape[1]
        except Exception as error:  # ONNX Runtime raises many kinds, bare Exception among them
            message = f"{contract.file} cannot be opened here ({type(error).__name__}: {error})."
            raise BundleError(message, where=str(folder), how=_HOW) from error
        if classes != len(self.labels):
            message = f"{contract.file} has {classes} classes, and bundle.json names {len(self.labels)}."
            raise BundleError(message, where=str(folder), how="Fit it again.")

    def checked(self, inputs: Any) -> list[Any]:
        """The pictures as a list. Raises TypeError where it is one picture, or holds something else."""
        return checked_pictures(inputs)

    def answers(self, inputs: Sequence[Any], *, step: Step | None = None) -> list[IndexMask]:
        """A mask of each picture's own size; raises DataError where a picture cannot be read."""
        return segment(inputs, self._graph, self.preprocess, step=step)
