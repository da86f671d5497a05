"""Find things in pictures with a bundle: ONNX Runtime, Pillow and numpy, never torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fewtune.bundle.manifest import Manifest
from fewtune.data.boxes import Detections
from fewtune.errors import BundleError
from fewtune.progress import Step
from fewtune.runtime.detector_graph import DetectorGraph, selection_from_json
from fewtune.runtime.letterbox import letterbox_from_json
from fewtune.runtime.picture_inputs import checked_pictures
from fewtune.runtime.structured import StructuredRuntime

SELECTION_FILE = "postprocess.json"


class ObjectDetectionRuntime(StructuredRuntime):
    """A bundle for object detection, opened."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int) -> None:
        """Open the bundle's graph.

        Raises:
            BundleError: it cannot be opened.
        """
        (graph,) = manifest.graphs
        where = str(folder)
        letterbox = letterbox_from_json((folder / graph.preprocess).read_bytes(), where=where)
        selection = selection_from_json((folder / SELECTION_FILE).read_bytes(), where=where)
        try:
            self._graph = DetectorGraph(folder / graph.file, letterbox, selection, threads=threads)
        except Exception as error:  # ONNX Runtime raises many kinds
            raise BundleError(f"The graph cannot be opened ({error}).", where=where, how="Fit it again.") from None

    def checked(self, inputs: Any) -> list[Any]:
        """The pictures as a list. Raises TypeError where it is one picture, or holds something else."""
        return checked_pictures(inputs)

    def answers(self, inputs: Sequence[Any], *, step: Step | None = None) -> list[Detections]:
        """What is in each picture, surest first. Raises DataError where one cannot be read."""
        return self._graph.find(inputs, step=step)
