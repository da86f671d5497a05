"""Object detection: boxes around what is in a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.write import output_errors, write_atomically
from fewtune.data.boxes import Boxes, Detections, overlaps
from fewtune.data.check_boxes import box_counts, check_object_detection
from fewtune.data.picture_duplicates import picture_groups
from fewtune.data.read.boxes import to_dataset
from fewtune.data.read.detection import holds_boxes, read_boxes
from fewtune.data.read.pictures import PATH, read_pictures
from fewtune.data.split import choose_resampling
from fewtune.errors import DataError, OutputError
from fewtune.evaluate.average_precision import average_precision, match_class
from fewtune.interfaces import Inputs, Measured, Purpose, RunContext, StructuredTask
from fewtune.recipe import Recipe
from fewtune.types import Dataset, Example, Finding, FloatArray, IntArray, Resampling, Table

# Answers that are less sure may come and go with the last digit of a computation.
_SURE = 0.1
_BOX_PX = 0.5
_SCORE = 1e-3
_ID = "image_id"


class ObjectDetection(StructuredTask):
    """Finds things in pictures; inputs are paths, targets `Boxes`, answers `Detections`."""

    name = "object-detection"
    reads = "pictures"
    primary_metric = "map"
    parity_tolerance = 1.0

    def recognises(self, source: Any) -> bool:
        """Whether these are pictures with boxes, of a form that is known."""
        return holds_boxes(source)

    def read(self, source: Any, recipe: Recipe, purpose: Purpose) -> Dataset:
        """Read COCO JSON, Pascal VOC XML or YOLO text files, with their pictures."""
        del recipe
        return to_dataset(read_boxes(source, for_test=purpose == "evaluate"), self.name)

    def inputs(self, source: Any, recipe: Recipe) -> Inputs:
        """The pictures' paths, in the order of the listing or of their names; those that a COCO file names, too."""
        del recipe
        if holds_boxes(source):
            given = read_boxes(source, for_test=True)
            rows = tuple((picture.name, picture.number or str(n)) for n, picture in enumerate(given.pictures, 1))
            places = [picture.place for picture in given.pictures]
            table = Table((PATH, _ID), rows, places, given.source, "", given.notes)
            return Inputs(table, tuple(picture.path for picture in given.pictures), given.notes)
        pictures = read_pictures(source, labelled=False)
        return Inputs(pictures.table, pictures.paths, pictures.table.notes)

    def check(self, dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
        """What is wrong with the data, worst first."""
        return check_object_detection(dataset, test)

    def resample(self, dataset: Dataset, run: RunContext) -> Resampling:
        """Folds that keep near-duplicates together, stratified by the rarest class that a picture holds."""
        return choose_resampling(
            _rarest(dataset), self.groups(dataset), partial(run.generator, "folds"), repeated=False
        )

    def groups(self, dataset: Dataset) -> IntArray:
        """(n,) group indices of pictures that are the same, or nearly so."""
        return picture_groups([example.input for example in dataset])

    def counts(self, dataset: Dataset) -> dict[str, int]:
        """Label to how many boxes it has."""
        return box_counts(dataset)

    def measure(
        self, dataset: Dataset, labels: tuple[str, ...], answers: Sequence[Detections], weights: FloatArray
    ) -> Measured:
        """Mean average precision over overlaps from 0.5 to 0.95, and at 0.5, as COCO has them; the same by class."""
        truths = [_known(example, dataset.labels, labels) for example in dataset]
        by_class: dict[str, dict[str, FloatArray]] = {}
        for number, label in enumerate(labels):
            values = average_precision(match_class(truths, answers, number), weights)
            by_class[label] = {"ap": values.mean(axis=0), "ap_50": values[0]}
        return Measured(
            {metric: _mean([values[ap] for values in by_class.values()]) for metric, ap in _MEANS.items()}, by_class
        )

    def gap(self, first: Detections, second: Detections) -> float:
        """How far boxes and scores are apart, in half pixels and in thousandths; infinite where a box has no like."""
        return max(_one_way(first, second), _one_way(second, first))

    def answer_as_json(self, answer: Detections, labels: tuple[str, ...]) -> list[dict[str, Any]]:
        """A picture's boxes: `category`, `bbox` [x, y, width, height] in pixels, `score`."""
        rows = zip(answer.boxes_xyxy, answer.labels, answer.scores, strict=True)
        return [
            {"category": labels[int(label)], "bbox": _xywh(box), "score": round(float(score), 5)}
            for box, label, score in rows
        ]

    def target_as_json(self, example: Example, labels: tuple[str, ...]) -> list[dict[str, Any]]:
        """A picture's true boxes: `category`, `bbox`, and `iscrowd` where one is to be ignored."""
        target: Boxes = example.target
        rows = zip(target.boxes_xyxy, target.labels, target.ignored, strict=True)
        return [
            {"category": labels[int(label)], "bbox": _xywh(box), **({"iscrowd": 1} if ignored else {})}
            for box, label, ignored in rows
        ]

    def answers_as_json(
        self, inputs: Inputs, answers: Sequence[Detections], labels: tuple[str, ...], out: Path | None
    ) -> list[dict[str, Any]]:
        """COCO's results, with the pictures' and categories' names beside their numbers.

        `image_id` is that of the COCO file where the pictures came from one, else the picture's place, counted from 1;
        `category_id` counts the model's labels from 1.
        """
        del out
        table, rows = inputs.table, []
        names = table.column(PATH)
        numbers = table.column(_ID) if _ID in table.columns else [str(n) for n in range(1, len(names) + 1)]
        for name, given, answer in zip(names, numbers, answers, strict=True):
            number = int(given) if given.isdecimal() else given
            for found in self.answer_as_json(answer, labels):
                category = labels.index(found["category"]) + 1
                rows.append({"image_id": number, "file_name": name, "category_id": category, **found})
        return rows

    def write_answers(
        self, inputs: Inputs, answers: Sequence[Detections], labels: tuple[str, ...], out: Path | None
    ) -> str:
        """COCO's results as JSON."""
        rows = self.answers_as_json(inputs, answers, labels, out)
        text = "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"
        if out is None:
            return text
        if out.suffix.lower() != ".json":
            raise OutputError(
                "Boxes are written as COCO results.", where=str(out), how="Give a name that ends in .json."
            )
        with output_errors(out):
            write_atomically(out, text.encode("utf-8", "surrogatepass"))
        sure = sum(row["score"] >= 0.5 for row in rows)
        return f"{len(rows)} boxes in {len(answers)} pictures, {sure} of them with a score of at least 0.5: {out}"


_MEANS = {"map": "ap", "map_50": "ap_50"}


def _mean(values: Sequence[FloatArray]) -> FloatArray:
    """(draws,) mean over the classes that are there to be found."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(total.shape, np.nan), where=known.any(axis=0))


def _known(example: Example, own: tuple[str, ...], labels: tuple[str, ...]) -> Boxes:
    """A picture's boxes under the model's labels."""
    target: Boxes = example.target
    if own == labels:
        return target
    index: Mapping[str, int] = {label: number for number, label in enumerate(labels)}
    unknown = [own[number] for number in np.unique(target.labels) if own[number] not in index]
    if unknown:
        raise DataError(
            f"The label {unknown[0]!r} is not one of the model's.",
            where=example.place,
            how=f"The model knows: {', '.join(map(repr, labels[:20]))}.",
        )
    moved = np.array([index[own[number]] for number in target.labels], np.int64)
    return Boxes(target.boxes_xyxy, moved, target.ignored)


def _rarest(dataset: Dataset) -> IntArray:
    """(n,) the rarest class of each picture; one more than there are where it holds none."""
    counts = np.array([*box_counts(dataset).values()])
    return np.array(
        [
            min(example.target.labels.tolist(), key=lambda label: counts[label], default=len(counts))
            for example in dataset
        ],
        np.int64,
    )


def _one_way(first: Detections, second: Detections) -> float:
    """How far the sure ones among the first are from their likes among the second."""
    worst = 0.0
    shared = overlaps(first.boxes_xyxy, second.boxes_xyxy)
    for number in np.flatnonzero(first.scores >= _SURE):
        same = np.flatnonzero(second.labels == first.labels[number])
        if not len(same):
            return float("inf")
        like = same[shared[number, same].argmax()]
        box = np.abs(first.boxes_xyxy[number] - second.boxes_xyxy[like]).max() / _BOX_PX
        score = abs(first.scores[number] - second.scores[like]) / _SCORE
        worst = max(worst, float(box), float(score))
    return worst


def _xywh(box: FloatArray) -> list[float]:
    left, top, right, bottom = (float(value) for value in box)
    return [round(left, 2), round(top, 2), round(right - left, 2), round(bottom - top, 2)]
