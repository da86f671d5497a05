"""What is wrong with pictures and their boxes, and how to mend it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Literal

import numpy as np

from fewtune.data.boxes import Boxes, Fault, overlaps
from fewtune.data.canvas import canvas_size, sides_by_class
from fewtune.data.check import by_severity, find_labels_alike, places_of
from fewtune.data.check_pictures import find_leaked_pictures, find_odd_pictures, find_unreadable_pictures
from fewtune.data.picture import facts
from fewtune.data.picture_duplicates import picture_groups
from fewtune.types import Dataset, Example, Finding

_FEW_BOXES = 10
_SHOWN = 5
# Below this side on the canvas a thing is hardly a blot of three places of the finest map.
_TINY_PX = 10.0
_TINY_SHARE = 0.1
_SAME_OVERLAP = 0.95
_FAULTS: dict[str, tuple[Literal["error", "warning", "info"], str, str]] = {
    "box-empty": (
        "warning",
        "have no area, or hold what is no number; they are left out",
        "Draw them again, or delete them.",
    ),
    "box-beyond": (
        "warning",
        "lie outside of their picture; they are left out",
        "Check that boxes and pictures belong together, and the order of the numbers.",
    ),
    "box-outside": (
        "warning",
        "reach outside of their picture; what is outside is cut off",
        "Nothing need be done if that is right.",
    ),
    "size-differs": (
        "error",
        "are for pictures of another size and shape than those that are there",
        "Give the pictures that the boxes were drawn on, or mend width and height in the file.",
    ),
    "size-scaled": (
        "warning",
        "are for pictures of another size; boxes are scaled along",
        "Mend width and height in the file if that is wrong.",
    ),
    "box-turned": (
        "info",
        "are for pictures that EXIF turns, as they are stored; boxes are turned along",
        "Nothing need be done.",
    ),
}


def check_object_detection(dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
    """Look for what spoils a detector.

    Args:
        dataset: what to learn from.
        test: what to score on, if any.

    Returns:
        Findings, worst first.
    """
    everything = (*dataset, *(test or ()))
    seen = [(example, facts(example.input)) for example in everything]
    findings = [
        *find_unreadable_pictures(seen),
        *_faults(everything),
        *_without_boxes(dataset),
        *_few_boxes(dataset),
        *_tiny_boxes(dataset),
        *_double_boxes(dataset),
        *_ignored_boxes(everything),
        *_same_pictures(dataset),
        *find_labels_alike(dataset),
        *find_odd_pictures(seen),
    ]
    if test is not None:
        findings += [*find_leaked_pictures(dataset, test), *_unseen_labels(dataset, test)]
    return by_severity(findings)


def _faults(examples: tuple[Example, ...]) -> Iterator[Finding]:
    """What the reader found, by its kind, with which file and which box."""
    found: dict[str, list[tuple[Example, Fault]]] = defaultdict(list)
    for example in examples:
        for fault in example.target.faults:
            found[fault.code].append((example, fault))
    for code, some in found.items():
        level, what, how = _FAULTS[code]
        first, fault = some[0]
        things = "sets of boxes" if code.startswith(("size", "box-turned")) else "boxes"
        yield Finding(
            level,
            code,
            f"{len(some)} {things} {what}. {first.place}: {fault.what}.",
            how,
            tuple(f"{example.place}: {fault.what}" for example, fault in some[:_SHOWN]),
            len(some),
        )


def _without_boxes(dataset: Dataset) -> Iterator[Finding]:
    empty = [example for example in dataset if not len(example.target)]
    if empty:
        yield Finding(
            "info",
            "picture-without-boxes",
            f"{len(empty)} of {len(dataset)} pictures have no boxes: they teach where there is nothing.",
            "Nothing need be done if there is really nothing in them; take them out if they are not annotated yet.",
            places_of(empty),
            len(empty),
        )


def _few_boxes(dataset: Dataset) -> Iterator[Finding]:
    counts = box_counts(dataset)
    few = {label: count for label, count in counts.items() if count < _FEW_BOXES}
    if few:
        listed = ", ".join(f"{label!r} ({count})" for label, count in few.items())
        yield Finding(
            "warning",
            "few-boxes",
            f"Fewer than {_FEW_BOXES} boxes stand for {listed}.",
            "Draw more of them: what is seen a few times is hardly found again.",
            count=len(few),
        )


def _tiny_boxes(dataset: Dataset) -> Iterator[Finding]:
    width, height = canvas_size(dataset)
    for label, sides in zip(dataset.labels, sides_by_class(dataset, width, height), strict=True):
        tiny = int((sides < _TINY_PX).sum())
        if len(sides) and tiny > _TINY_SHARE * len(sides):
            yield Finding(
                "warning",
                "box-tiny",
                f"{tiny} of {len(sides)} boxes of {label!r} are smaller than {_TINY_PX:.0f} pixels a side where the "
                f"detector sees them, on a canvas of {width} x {height}.",
                "Cut the pictures into parts, or give a larger canvas: "
                f"--set width_px={2 * width} --set height_px={2 * height}.",
                count=tiny,
            )


def _double_boxes(dataset: Dataset) -> Iterator[Finding]:
    double = [example for example in dataset if _repeats(example.target)]
    if double:
        yield Finding(
            "warning",
            "box-twice",
            f"{len(double)} pictures have two boxes of a class in the same place.",
            "Delete one of each two.",
            places_of(double),
            sum(_repeats(example.target) for example in double),
        )


def _repeats(boxes: Boxes) -> int:
    same = boxes.labels[:, None] == boxes.labels[None]
    return int(np.triu(same & (overlaps(boxes.boxes_xyxy, boxes.boxes_xyxy) > _SAME_OVERLAP), 1).sum())


def _ignored_boxes(examples: tuple[Example, ...]) -> Iterator[Finding]:
    some = [example for example in examples if example.target.ignored.any()]
    if some:
        count = sum(int(example.target.ignored.sum()) for example in some)
        yield Finding(
            "info",
            "box-ignored",
            f"{count} boxes are marked as crowds or as difficult: they are neither asked for nor held against a model.",
            "Nothing need be done.",
            places_of(some),
            count,
        )


def _same_pictures(dataset: Dataset) -> Iterator[Finding]:
    groups = picture_groups([example.input for example in dataset])
    extra = len(groups) - len(np.unique(groups))
    if extra:
        first = [example for example, group in zip(dataset, groups, strict=True) if (groups == group).sum() > 1]
        yield Finding(
            "info",
            "duplicate-picture",
            f"{extra} pictures occur more than once, exactly or nearly.",
            "Repeats are never split between training and validation; see that their boxes agree.",
            places_of(first),
            extra,
        )


def _unseen_labels(dataset: Dataset, test: Dataset) -> Iterator[Finding]:
    unseen = sorted(set(test.labels) - set(dataset.labels))
    if unseen:
        yield Finding(
            "error",
            "label-unseen",
            f"The test data has boxes of {', '.join(map(repr, unseen[:_SHOWN]))}, which the training data has none of.",
            "Name classes alike in both, or take these boxes out.",
            count=len(unseen),
        )


def box_counts(dataset: Dataset) -> dict[str, int]:
    """Label to how many boxes it has, crowds and difficult ones left out."""
    counts: Counter[int] = Counter()
    for example in dataset:
        counts.update(example.target.labels[~example.target.ignored].tolist())
    return {label: counts[number] for number, label in enumerate(dataset.labels)}
