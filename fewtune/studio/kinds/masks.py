"""Pictures in which every pixel has a label, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.write import write_atomically
from fewtune.data.mask import IGNORE, ClassIds, IndexMask, encode_mask, read_mask
from fewtune.data.picture import facts
from fewtune.data.read.coco import is_coco
from fewtune.data.read.masks import BACKGROUND, CLASSES, IMAGES, MASKS, holds_masks, read_masked_pictures
from fewtune.errors import DataError
from fewtune.report.wording import note
from fewtune.studio import limits
from fewtune.studio.examples import NewExample, clean
from fewtune.studio.kinds.kind import Read, left_out
from fewtune.studio.kinds.pictures import DrawnKind, link
from fewtune.studio.masks import Painted, as_runs, foreground, kept_ids, renumbered, resized, scaled
from fewtune.studio.shapes import shapes_of


class MaskKind(DrawnKind):
    """Masks as index PNGs or COCO's segmentations hold them; what is not painted is background."""

    task = "segmentation"
    draws = "masks"

    def is_drawn(self, inner: Path) -> bool:
        """By the folders' names, or by the only JSON file."""
        listings = sorted(inner.glob("*.json"))
        return holds_masks(inner) or (len(listings) == 1 and is_coco(listings[0]))

    def read_drawn(self, inner: Path, unpacked: Path, folder: Path) -> Read:
        """Pictures with their masks; those whose masks do not fit are left out, and told of."""
        del unpacked  # the reader follows no name that leads elsewhere
        found = read_masked_pictures(inner)
        labels = [clean(label).strip()[: limits.NAME_CHARACTERS] for label in found.labels]
        fitting: dict[str, tuple[str, NewExample]] = {}
        broken: list[str] = []
        for picture, mask, place in zip(found.pictures, found.masks, found.places, strict=True):
            try:
                fitting[clean(place)] = picture, _masked(picture, mask, labels)
            except DataError as error:
                broken.append(f"{clean(place)}: {error.what}")
        read = self.kept([(picture, name, None) for name, (picture, _) in fitting.items()], folder)
        drawn = [
            replace(some, shapes=fitting[some.name][1].shapes, mask=fitting[some.name][1].mask)
            for some in read.examples
        ]
        told = left_out(broken, "whose masks do not fit", "掩膜不符的图片")
        return Read(drawn, (*map(note, found.notes), *told, *read.notes))

    def write_data(self, project: Path, place: Path, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
        """The folders `images` and `masks`, and the classes' names."""
        for name in (IMAGES, MASKS):
            (place / name).mkdir(parents=True)
        classes, ids_of = class_masks(rows, labels)
        for row in rows:
            source = Path(self.place(project, row["input"]))
            link(source, place / IMAGES / f"{row['id']}{source.suffix}")
            png = encode_mask(resized(ids_of(row), facts(str(source)).upright_size))
            write_atomically(place / MASKS / f"{row['id']}.png", png)
        write_atomically(place / CLASSES, "".join(f"{name}\n" for name in classes).encode())

    def exported(self, row: Mapping[str, Any]) -> str:
        """A path in the folder that masks lie beside."""
        return f"{IMAGES}/{Path(super().exported(row)).name}"

    def proposed(self, answer: IndexMask, labels: Sequence[str]) -> Painted:
        """The whole mask."""
        return painted_answer(answer.png, labels, limits.MASK_PX // 2)


def painted_answer(png: bytes, labels: Sequence[str], px: int) -> Painted:
    """A model's mask as the page paints it."""
    ids, names = foreground(IndexMask(png).ids, labels)
    return as_runs(resized(ids, scaled(ids.shape[::-1], px)), names)


def class_masks(
    rows: Sequence[Mapping[str, Any]], labels: Sequence[str]
) -> tuple[list[str], Callable[[Mapping[str, Any]], ClassIds]]:
    """Names of the classes, and what gives the (h, w) class ids of a row; background is one only where some is."""
    names = [" ".join(label.split()) for label in labels if label.casefold() != BACKGROUND]

    def numbers(row: Mapping[str, Any]) -> ClassIds:
        shapes = [{**shape, "label": " ".join(shape["label"].split())} for shape in shapes_of(row["shapes"])]
        return renumbered(row["mask"], shapes, names)

    if any((numbers(row) == 0).any() for row in rows):
        return [BACKGROUND, *names], numbers
    return names, lambda row: np.where((ids := numbers(row)) == IGNORE, IGNORE, ids - 1)


def _masked(picture: str, mask: str, labels: Sequence[str]) -> NewExample:
    ids = read_mask(mask)
    size = facts(picture).upright_size
    if ids.shape[::-1] != size:
        raise DataError(f"The mask is of {ids.shape[1]} x {ids.shape[0]} pixels, not {size[0]} x {size[1]}.")
    if (unknown := ids[(ids >= len(labels)) & (ids != IGNORE)]).size:
        raise DataError(f"The mask has the number {unknown[0]}, which no class has.")
    png, shapes = kept_ids(*foreground(ids, labels))
    return NewExample("", shapes=shapes, mask=png)
