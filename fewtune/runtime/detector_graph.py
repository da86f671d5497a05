"""An ONNX graph that finds boxes: a picture in, what is in it out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.data.boxes import Detections, clipped, without_repeats
from fewtune.errors import BundleError
from fewtune.progress import Step
from fewtune.runtime.letterbox import Letterbox
from fewtune.runtime.session import open_session
from fewtune.types import FloatArray

_HOW = (
    "of each place and class keep scores of at least `least_score`, the `most_places` highest; bring the boxes back "
    "into the picture, see preprocess.json, and cut them at its edges; of boxes of one class whose intersection over "
    "union is above `overlap` keep the surest; keep the `most` surest in all"
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of a graph's many boxes are answers: `postprocess.json` of a bundle.

    Attributes:
        least_score: of an answer.
        overlap: intersection over union from which two boxes of a class are the same thing.
        most_places: how many boxes are looked at.
        most: how many are answers.
    """

    least_score: float = 0.02
    overlap: float = 0.6
    most_places: int = 1000
    most: int = 100

    def to_json(self) -> bytes:
        """As the bundle holds it."""
        return (json.dumps({"how": _HOW, **asdict(self)}, indent=2) + "\n").encode()


def selection_from_json(content: bytes, *, where: str) -> Selection:
    """Read postprocess.json.

    Raises:
        BundleError: something is missing or out of range.
    """
    try:
        values = json.loads(content)
        found = Selection(
            float(values["least_score"]), float(values["overlap"]), int(values["most_places"]), int(values["most"])
        )
        if not (0 <= found.least_score <= 1 and 0 < found.overlap <= 1 and found.most_places > 0 and found.most > 0):
            raise ValueError("a value is out of range")
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"postprocess.json is malformed ({error!r}).", where=where, how="Fit it again.") from None
    return found


class DetectorGraph:
    """An ONNX graph with what comes before and after it."""

    def __init__(self, model: bytes | Path, letterbox: Letterbox, selection: Selection, *, threads: int) -> None:
        """Open the graph.

        Args:
            model: a serialised ONNX model, or the file it is in; `pixels` in, `boxes` and `scores` out.
            letterbox: what a picture becomes before it goes in.
            selection: what of that which comes out is an answer.
            threads: how many threads one computation may use.
        """
        self._session = open_session(model, threads)
        self.letterbox = letterbox
        self.selection = selection
        self.content = model if isinstance(model, bytes) else b""

    def raw(self, pixels: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(n, 3, height, width) to (n, places, 4) boxes in pixels of the canvas and (n, places, classes) scores."""
        boxes, scores = self._session.run(["boxes", "scores"], {"pixels": pixels})
        return np.asarray(boxes), np.asarray(scores)

    def find(self, pictures: Sequence[Any], *, step: Step | None = None) -> list[Detections]:
        """What is in each of the pictures, in its own pixels.

        Args:
            pictures: paths or Pillow pictures.
            step: is told of every picture done.

        Raises:
            DataError: a picture cannot be read.
        """
        found = []
        for picture in pictures:
            canvas, factors, size = self.letterbox.canvas(picture)
            boxes, scores = self.raw(self.letterbox.pixels([canvas]))
            found.append(select(boxes[0], scores[0], factors, size, self.selection))
            if step is not None:
                step.advance()
        return found


def select(
    boxes: FloatArray, scores: FloatArray, factors: FloatArray, size: tuple[int, int], selection: Selection
) -> Detections:
    """The answers among what a graph gives for one picture.

    Args:
        boxes: (places, 4) in pixels of the canvas.
        scores: (places, classes).
        factors: (2,) what x and y were multiplied by on the way to the canvas.
        size: width and height of the picture.
        selection: the rules.
    """
    place, label = np.nonzero(scores >= selection.least_score)
    values = scores[place, label]
    surest = np.argsort(-values, kind="stable")[: selection.most_places]
    place, label, values = place[surest], label[surest], values[surest]
    back = clipped(boxes[place].astype(np.float64) / np.tile(factors, 2), *size)
    real = (back[:, 2:] > back[:, :2]).all(axis=1)
    found = Detections(back[real], label[real].astype(np.int64), values[real].astype(np.float64))
    return without_repeats(found, overlap=selection.overlap, most=selection.most)
