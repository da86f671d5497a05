"""Pictures with boxes, of whatever format, made ready: upright, within the picture, under names of labels.

The formats are each a file: `coco.py`, `voc.py`, `yolo.py`. They say what stands where; here it is decided what
becomes of boxes that are not right.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fewtune.data.boxes import Boxes, Fault, areas, clipped
from fewtune.data.picture import PictureFacts, facts
from fewtune.errors import DataError
from fewtune.types import Dataset, Example, FloatArray

# A box that leaves a picture by no more than this was rounded.
_ROUNDED_PX = 1.0
_SAME_SHAPE = 0.01


@dataclass(frozen=True, slots=True)
class GivenBox:
    """A box as a file has it.

    Attributes:
        box_xyxy: far edges; shares of width and height where its picture says so.
        label: the name of its class.
        name: what messages call it, e.g. "box 3".
        ignored: a crowd, or difficult.
    """

    box_xyxy: tuple[float, float, float, float]
    label: str
    name: str
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class GivenPicture:
    """A picture as a file names it.

    Attributes:
        path: to be opened; the file may be missing.
        name: as it was given.
        place: where its boxes stand.
        boxes: all of them.
        size: width and height that the file gives; None where it gives none.
        relative: whether boxes are shares of width and height.
        number: what the file calls it by; empty where it has nothing of the kind.
    """

    path: str
    name: str
    place: str
    boxes: tuple[GivenBox, ...]
    size: tuple[int, int] | None = None
    relative: bool = False
    number: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """Everything that was read.

    Attributes:
        pictures: in the order of the file or of their names.
        labels: names of classes that are declared, used or not; those that boxes have are always known.
        source: for messages.
        notes: what was decided while reading.
    """

    pictures: tuple[GivenPicture, ...]
    labels: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()


def to_dataset(given: Given, task: str) -> Dataset:
    """Examples whose inputs are paths and whose targets are `Boxes`.

    Raises:
        DataError: there is no picture, or no box at all.
    """
    if not given.pictures:
        raise DataError("There are no pictures.", where=given.source, how="Check that the file names some.")
    counts = Counter(box.label for picture in given.pictures for box in picture.boxes)
    if not counts:
        raise DataError(
            "There is no box in any picture.", where=given.source, how="Draw boxes around what is to be found."
        )
    labels = tuple(sorted(counts))
    index = {label: number for number, label in enumerate(labels)}
    examples = tuple(
        Example(picture.path, _boxes(picture, facts(picture.path), index), picture.place) for picture in given.pictures
    )
    unused = sorted(set(given.labels) - set(labels))
    notes = (
        *given.notes,
        *([f"left out classes without a box ({', '.join(map(repr, unused[:5]))})"] if unused else []),
    )
    return Dataset(task, examples, labels, given.source, _sha256(examples, labels), notes)


def _boxes(picture: GivenPicture, fact: PictureFacts, index: dict[str, int]) -> Boxes:
    """A picture's boxes within the upright picture; those without area are left out, and said so."""
    raw = np.array([box.box_xyxy for box in picture.boxes], np.float64).reshape(-1, 4)
    labels = np.array([index[box.label] for box in picture.boxes], np.int64)
    ignored = np.array([box.ignored for box in picture.boxes], np.bool_)
    if fact.error:
        return Boxes(raw, labels, ignored)
    names = [f"{box.name} ({box.label})" for box in picture.boxes]
    moved, faults = _upright(raw, picture, fact)
    width, height = fact.upright_size
    inside = clipped(np.nan_to_num(moved, nan=-1.0, posinf=1e9, neginf=-1e9), width, height)
    kept = []
    for number, name in enumerate(names):
        fault = _fault(moved[number], inside[number], name, width, height)
        if fault is not None:
            faults.append(fault)
        if fault is None or fault.code == "box-outside":
            kept.append(number)
    return Boxes(inside[kept], labels[kept], ignored[kept], tuple(faults))


def _fault(given: FloatArray, inside: FloatArray, name: str, width: int, height: int) -> Fault | None:
    if not np.isfinite(given).all():
        return Fault("box-empty", f"{name} holds what is no number: left out")
    shown = ", ".join(f"{value:.6g}" for value in given)
    if not areas(given[None])[0]:
        return Fault("box-empty", f"{name} has no area (left, top, right, bottom: {shown}): left out")
    if not areas(inside[None])[0]:
        return Fault("box-beyond", f"{name} lies outside of the picture of {width} x {height} ({shown}): left out")
    if np.abs(given - inside).max() > _ROUNDED_PX:
        return Fault("box-outside", f"{name} reaches outside of the picture of {width} x {height} ({shown}): cut off")
    return None


def _upright(raw: FloatArray, picture: GivenPicture, fact: PictureFacts) -> tuple[FloatArray, list[Fault]]:
    """Boxes in pixels of the upright picture, whatever the file measured them in."""
    upright = np.array(fact.upright_size, np.float64)
    if picture.relative:
        return raw * np.tile(upright, 2), []
    if picture.size is None or picture.size == fact.upright_size:
        return raw, []
    given = np.array(picture.size, np.float64)
    stated = f"{picture.size[0]} x {picture.size[1]}"
    found = f"{fact.upright_size[0]} x {fact.upright_size[1]}"
    if fact.sideways and picture.size == (fact.width, fact.height):
        what = f"boxes are in the picture as it is stored ({stated}), which EXIF turns: they are turned along"
        return _turned(raw, picture.path, given), [Fault("box-turned", what)]
    if (given <= 0).any():
        return raw, []
    factors = upright / given
    if abs(factors[0] / factors[1] - 1) <= _SAME_SHAPE:
        what = f"the file gives {stated}, and the picture has {found}: boxes are scaled along"
        return raw * np.tile(factors, 2), [Fault("size-scaled", what)]
    return raw, [Fault("size-differs", f"the file gives {stated}, and the picture has {found}")]


def _turned(raw: FloatArray, path: str, stored: FloatArray) -> FloatArray:
    """Boxes of a picture as it is stored, after EXIF has turned it by a quarter."""
    from PIL import Image

    with Image.open(path) as opened:
        orientation = opened.getexif().get(0x0112, 1)
    width, height = stored
    left, top, right, bottom = raw.T
    across = (height - bottom, height - top) if orientation in (6, 7) else (top, bottom)
    down = (width - right, width - left) if orientation in (7, 8) else (left, right)
    return np.stack([across[0], down[0], across[1], down[1]], axis=1)


def _sha256(examples: Sequence[Example], labels: Sequence[str]) -> str:
    digest = hashlib.sha256("\0".join(labels).encode("utf-8", "surrogatepass"))
    for example in examples:
        target: Boxes = example.target
        digest.update(facts(example.input).sha256.encode() + target.boxes_xyxy.round(3).tobytes())
        digest.update(target.labels.tobytes() + target.ignored.tobytes())
    return digest.hexdigest()


def with_notes(given: Given, *notes: str) -> Given:
    """The same with more notes."""
    return replace(given, notes=(*given.notes, *notes))
