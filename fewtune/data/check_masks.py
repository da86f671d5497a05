"""What is wrong with pictures and their masks, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewtune.data.check import by_severity, places_of
from fewtune.data.check_pictures import find_leaked_pictures, find_odd_pictures, find_unreadable_pictures
from fewtune.data.mask import IGNORE, MaskFacts, mask_facts
from fewtune.data.picture import PictureFacts, facts, open_picture
from fewtune.data.picture_duplicates import picture_groups
from fewtune.data.read.masks import MaskedDataset
from fewtune.types import Dataset, Example, Finding

# A class in fewer pictures than this is learnt by luck, if at all.
_FEW_PICTURES = 5
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Seen:
    example: Example
    picture: PictureFacts
    mask: MaskFacts


def check_segmentation(dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
    """Look for what spoils a segmenter.

    Args:
        dataset: what to learn from.
        test: what to score on, if any.

    Returns:
        Findings, worst first.
    """
    seen = [_Seen(example, facts(example.input), mask_facts(example.target)) for example in (*dataset, *(test or ()))]
    learnt = seen[: len(dataset)]
    findings = [
        *find_unreadable_pictures([(some.example, some.picture) for some in seen]),
        *_unreadable_masks(seen),
        *_other_sizes(seen),
        *_unknown_ids(seen, dataset.labels),
        *_one_class(learnt, dataset.labels),
        *_nothing_marked(seen),
        *_alone(dataset),
        *_rare_classes(learnt, dataset.labels),
        *_ignored(learnt),
        *_same_picture(dataset),
        *find_odd_pictures([(some.example, some.picture) for some in seen]),
    ]
    if test is not None:
        findings += [*find_leaked_pictures(dataset, test), *_alone(test)]
    return by_severity(findings)


def _mask_name(example: Example) -> str:
    path = Path(example.target)
    return f"{path.parent.name}/{path.name}"


def _unreadable_masks(seen: Sequence[_Seen]) -> Iterator[Finding]:
    bad = [some for some in seen if some.mask.error]
    if bad:
        yield Finding(
            "error",
            "mask-unreadable",
            f"{_masks(len(bad))} cannot be used. {_mask_name(bad[0].example)}: {bad[0].mask.error}",
            bad[0].mask.how,
            tuple(_mask_name(some.example) for some in bad[:_SHOWN]),
            len(bad),
        )


def _other_sizes(seen: Sequence[_Seen]) -> Iterator[Finding]:
    usable = [some for some in seen if not some.mask.error and not some.picture.error]
    bad = [some for some in usable if _upright_size(some) != (some.mask.width, some.mask.height)]
    if bad:
        width, height = _upright_size(bad[0])
        yield Finding(
            "error",
            "mask-of-another-size",
            f"{_masks(len(bad))} have another size than the picture: {_mask_name(bad[0].example)} has "
            f"{bad[0].mask.width} x {bad[0].mask.height} pixels, "
            f"and {bad[0].example.place} has {width} x {height}, upright.",
            "Draw the mask on the picture as it is seen upright, or scale it without smoothing (nearest neighbour).",
            places_of(some.example for some in bad),
            len(bad),
        )


def _upright_size(some: _Seen) -> tuple[int, int]:
    if some.picture.rotated:
        return open_picture(some.example.input).size
    return some.picture.width, some.picture.height


def _unknown_ids(seen: Sequence[_Seen], labels: Sequence[str]) -> Iterator[Finding]:
    unknown = [
        (f"{_mask_name(some.example)}: id {number}, {some.mask.pixels[number]} pixels", some)
        for some in seen
        for number in some.mask.ids
        if number >= len(labels)
    ]
    if unknown:
        yield Finding(
            "error",
            "unknown-class-id",
            f"There are class ids beyond the {len(labels)} known classes. {unknown[0][0]}.",
            f"Name the class in classes.txt (a name a line, from id 0), or give these pixels another id, or {IGNORE} "
            "to have them passed over.",
            tuple(place for place, _ in unknown[:_SHOWN]),
            len({id(some) for _, some in unknown}),
        )


def _one_class(seen: Sequence[_Seen], labels: Sequence[str]) -> Iterator[Finding]:
    pixels = np.sum([some.mask.pixels for some in seen], axis=0)
    found = np.flatnonzero(pixels[: len(labels)])
    if len(found) > 1 or any(some.mask.error for some in seen):
        return
    only = f"one class only, {labels[found[0]]!r}" if len(found) else "no class at all"
    marked = f", and {pixels[IGNORE]} pixels of {IGNORE}, which are passed over" if pixels[IGNORE] else ""
    yield Finding(
        "error",
        "one-class",
        f"The masks hold {only}{marked}.",
        f"Give at least two classes, such as 0 for the background and 1 for what is marked; if {IGNORE} stands for "
        "what is marked, save it as 1.",
    )


def _nothing_marked(seen: Sequence[_Seen]) -> Iterator[Finding]:
    bare = [some.example for some in seen if not some.mask.error and not some.mask.ids]
    if bare:
        yield Finding(
            "warning",
            "mask-all-ignored",
            f"In {_masks(len(bare))} every pixel is {IGNORE}, which is passed over: nothing is learnt or scored there.",
            "Draw them, or take them out.",
            tuple(map(_mask_name, bare[:_SHOWN])),
            len(bare),
        )


def _alone(dataset: Dataset) -> Iterator[Finding]:
    if not isinstance(dataset, MaskedDataset):
        return
    for code, what, names, how in (
        ("picture-without-mask", "pictures have no mask", dataset.without_mask, "Draw one for them"),
        (
            "mask-without-picture",
            "masks have no picture",
            dataset.without_picture,
            "Put the pictures beside the others",
        ),
    ):
        if names:
            yield Finding(
                "warning",
                code,
                f"{len(names)} {what} of the same name, and are left out ({dataset.source}).",
                f"{how}, or nothing, if that is meant.",
                names[:_SHOWN],
                len(names),
            )


def _rare_classes(seen: Sequence[_Seen], labels: Sequence[str]) -> Iterator[Finding]:
    pictures = np.sum([some.mask.pixels > 0 for some in seen], axis=0)[: len(labels)]
    never = [repr(label) for label, count in zip(labels, pictures, strict=True) if count == 0]
    few = [f"{label!r} ({count})" for label, count in zip(labels, pictures, strict=True) if 0 < count < _FEW_PICTURES]
    if never:
        yield Finding(
            "warning",
            "class-without-pixels",
            f"No mask holds {', '.join(never)}: the model will never see {'them' if len(never) > 1 else 'it'}.",
            "Mark some, or take the class off the end of classes.txt.",
            (),
            len(never),
        )
    if few:
        yield Finding(
            "warning",
            "class-in-few-pictures",
            f"Some classes are in fewer than {_FEW_PICTURES} pictures: {', '.join(few)}.",
            "Add pictures with them: what is seen so rarely is learnt, and scored, by luck.",
            (),
            len(few),
        )


def _ignored(seen: Sequence[_Seen]) -> Iterator[Finding]:
    pixels = np.sum([some.mask.pixels for some in seen], axis=0)
    share = pixels[IGNORE] / max(1, pixels.sum())
    if share:
        yield Finding(
            "info",
            "pixels-ignored",
            f"{share:.1%} of the pixels are {IGNORE}: they are neither learnt from nor scored.",
            "Nothing need be done.",
        )


def _same_picture(dataset: Dataset) -> Iterator[Finding]:
    groups = picture_groups([example.input for example in dataset])
    extra = len(groups) - len(np.unique(groups))
    if extra:
        first = np.unique(groups, return_index=True)[1]
        repeats = [example for i, example in enumerate(dataset) if i not in set(first.tolist())]
        yield Finding(
            "info",
            "duplicate-picture",
            f"{extra} pictures are the same as others, exactly or nearly.",
            "Nothing need be done: repeats are never split between training and validation.",
            places_of(repeats),
            extra,
        )


def _masks(count: int) -> str:
    return f"{count} mask{'s' if count > 1 else ''}"
