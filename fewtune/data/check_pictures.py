"""What is wrong with labelled pictures, and how to mend it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fewtune.data.check import (
    by_severity,
    find_imbalance,
    find_labels_alike,
    find_small_classes,
    find_unseen_labels,
    places_of,
)
from fewtune.data.picture import PictureFacts, facts
from fewtune.data.picture_duplicates import picture_groups, picture_matches
from fewtune.types import Dataset, Example, Finding

# Below this side a picture holds next to nothing of what a network was trained to see.
_TINY_PX = 16
_SHOWN = 5

Seen = Sequence[tuple[Example, PictureFacts]]


def check_image_classification(dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
    """Look for what spoils a picture classifier.

    Args:
        dataset: what to learn from.
        test: what to score on, if any.

    Returns:
        Findings, worst first.
    """
    seen = [(example, facts(example.input)) for example in (*dataset, *(test or ()))]
    findings = [
        *find_unreadable_pictures(seen),
        *_one_class(dataset),
        *_same_picture(dataset),
        *find_small_classes(dataset),
        *find_imbalance(dataset),
        *find_labels_alike(dataset),
        *find_odd_pictures(seen),
    ]
    if test is not None:
        findings += [*find_leaked_pictures(dataset, test), *find_unseen_labels(dataset, test)]
    return by_severity(findings)


def find_unreadable_pictures(seen: Seen) -> Iterator[Finding]:
    """Pictures that are missing, damaged, too large or none."""
    bad = [(example, fact) for example, fact in seen if fact.error]
    if bad:
        yield Finding(
            "error",
            "picture-unreadable",
            f"{_pictures(len(bad))} cannot be used. {bad[0][0].place}: {bad[0][1].error}",
            "Save them again as JPEG or PNG, or take them out of the data.",
            places_of(example for example, _ in bad),
            len(bad),
        )


def _one_class(dataset: Dataset) -> Iterator[Finding]:
    if len(dataset.labels) < 2:
        yield Finding(
            "error",
            "one-class",
            f"There is one class only: {', '.join(map(repr, dataset.labels))}.",
            "Add a folder of pictures for at least one other class.",
        )


def _same_picture(dataset: Dataset) -> Iterator[Finding]:
    groups: dict[int, list[Example]] = defaultdict(list)
    for example, group in zip(dataset, picture_groups([example.input for example in dataset]).tolist(), strict=True):
        groups[group].append(example)
    several = [some for some in groups.values() if len(some) > 1]
    clashes = [some for some in several if len({example.target for example in some}) > 1]
    repeats = [some for some in several if len({example.target for example in some}) == 1]
    if clashes:
        labels = " and ".join(repr(label) for label in sorted({example.target for example in clashes[0]}))
        yield Finding(
            "warning",
            "same-picture-two-labels",
            f"{_pictures(len(clashes))}, the same or nearly, stand under several labels, such as {labels}.",
            "Decide for one label, and delete the others.",
            places_of(example for some in clashes for example in some),
            sum(map(len, clashes)),
        )
    if repeats:
        extra = sum(len(some) - 1 for some in repeats)
        yield Finding(
            "info",
            "duplicate-picture",
            f"{_pictures(len(repeats))} occur more than once, exactly or nearly ({extra} repeats).",
            "Nothing need be done: repeats are never split between training and validation.",
            places_of(example for some in repeats for example in some),
            extra,
        )


def find_odd_pictures(seen: Seen) -> Iterator[Finding]:
    """Pictures that are read in a way that should be known."""
    kinds: list[tuple[str, str, str, Callable[[PictureFacts], bool]]] = [
        ("picture-tiny", "are smaller than 16 pixels a side", "Give them larger, if there are.", _is_tiny),
        ("picture-animated", "have several frames", "The first frame is read.", lambda f: f.frames > 1),
        ("picture-transparent", "are transparent in part", "They are laid on white.", lambda f: f.transparent),
        (
            "picture-cmyk",
            "are in CMYK",
            "They are read as RGB; colours may shift a little.",
            lambda f: f.mode == "CMYK",
        ),
        (
            "picture-16-bit",
            "have 16 bits a pixel",
            "The upper 8 are read; stretch the contrast beforehand if they are dark.",
            lambda f: f.mode.startswith("I"),
        ),
        (
            "picture-float",
            "hold floating-point numbers",
            "Up to 1 they are read as shares of white, up to 255 as they are, above that as 16 bits; "
            "save them as 8 bits if that is wrong.",
            lambda f: f.mode == "F",
        ),
        ("picture-rotated", "are turned by their EXIF data", "They are read upright.", lambda f: f.rotated),
    ]
    for code, what, how, holds in kinds:
        found = [example for example, fact in seen if not fact.error and holds(fact)]
        if found:
            level = "warning" if code == "picture-tiny" else "info"
            yield Finding(level, code, f"{_pictures(len(found))} {what}.", how, places_of(found), len(found))
    sides = np.array([min(fact.width, fact.height) for _, fact in seen if not fact.error])
    if len(sides):
        yield Finding(
            "info",
            "picture-sizes",
            f"The shorter sides have {sides.min()} to {sides.max()} pixels, median {np.median(sides):.0f}.",
            "Nothing need be done.",
        )


def _is_tiny(fact: PictureFacts) -> bool:
    return min(fact.width, fact.height) < _TINY_PX


def find_leaked_pictures(dataset: Dataset, test: Dataset) -> Iterator[Finding]:
    """Pictures of the test data that stand in the training data."""
    pairs = picture_matches([example.input for example in dataset], [example.input for example in test])
    if pairs:
        yield Finding(
            "warning",
            "test-in-training",
            f"{_pictures(len(pairs))} of the test data stand, or nearly stand, in the training data: scores flatter.",
            "Delete them from one of the two.",
            tuple(f"{test.examples[j].place} = {dataset.examples[i].place}" for i, j in pairs[:_SHOWN]),
            len(pairs),
        )


def _pictures(count: int) -> str:
    return f"{count} picture{'s' if count > 1 else ''}"
