"""The newest model, opened, for inputs that somebody tries."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewtune.errors import DataError
from fewtune.serve import limits as serve_limits
from fewtune.serve.explain import occlusions, segments, weight
from fewtune.studio import limits
from fewtune.studio.kinds.masks import painted_answer
from fewtune.studio.refusals import StudioRefusal
from fewtune.studio.runs import Run
from fewtune.studio.shapes import SURE

if TYPE_CHECKING:
    from fewtune.model import Model


class OpenModel:
    """Keeps the model that was asked last open."""

    def __init__(self) -> None:
        """None is open."""
        self._place: tuple[Path, int] | None = None
        self._model: Model | None = None
        self._lock = threading.Lock()

    def text(self, run: Run, text: str) -> dict[str, Any]:
        """Probabilities for a text, and what each of its words said for the likeliest label."""
        parts = segments(text, most_parts=serve_limits.EXPLAINED_PARTS)
        labels, rows = self._ask(run, [text, *occlusions(parts)], "text-classification")
        whole, *without = rows
        best = whole.index(max(whole))
        left = iter(without)
        told = [
            {"text": part.text, "weight": round(weight(whole[best], next(left)[best]), 3) if part.is_part else None}
            for part in parts
        ]
        return {**_answer(labels, whole), "parts": told}

    def picture(self, run: Run, path: Path) -> dict[str, Any]:
        """Probabilities for a picture, or the boxes or the mask that were found in it."""
        try:
            model = self._opened(run)
            if model.task == "object-detection":
                (boxes,) = model.predict([path])
                rows = zip(boxes.boxes_xyxy, boxes.labels, boxes.scores, strict=True)
                return {
                    "shapes": [
                        {"label": model.labels[int(label)], "box": box.tolist(), "score": round(float(score), 4)}
                        for box, label, score in rows
                        if score >= SURE
                    ]
                }
            if model.task == "segmentation":
                (mask,) = model.predict([path])
                return {"mask": painted_answer(mask.png, model.labels, limits.MASK_PX // 2)}
            labels, rows = self._ask(run, [path], "image-classification")
        except DataError as error:
            raise StudioRefusal(422, "bad-picture", error.what, how="Try another picture, as JPEG or PNG.") from None
        return _answer(labels, rows[0])

    def _ask(self, run: Run, inputs: list[Any], task: str) -> tuple[tuple[str, ...], list[list[float]]]:
        model = self._opened(run)
        if model.task != task:
            raise StudioRefusal(422, "other-input", "The model of this project reads something else.")
        return model.labels, model.predict_proba(inputs).tolist()

    def _opened(self, run: Run) -> Model:
        from fewtune.model import load

        with self._lock:
            if self._place != (run.project, run.number) or self._model is None:
                self._model = load(run.bundle)
                self._place = (run.project, run.number)
            return self._model


def _answer(labels: tuple[str, ...], row: list[float]) -> dict[str, Any]:
    best = row.index(max(row))
    probabilities = {label: round(value, 6) for label, value in zip(labels, row, strict=True)}
    return {"prediction": labels[best], "confidence": round(row[best], 6), "probabilities": probabilities}
