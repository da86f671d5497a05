"""Labelled pictures as files, in the formats that are read: class folders, a listing, COCO, Pascal VOC, YOLO, masks."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from fewtune.data.boxes import Boxes
from fewtune.data.mask import ClassIds, encode_mask


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture to be written.

    Attributes:
        name: of the file, without folder and ending; no two alike.
        picture: (height, width, 3) uint8.
        target: a class's name, `Boxes` in the picture's pixels, or (height, width) class ids.
        group: what it belongs to; a listing tells of it.
    """

    name: str
    picture: np.ndarray
    target: str | Boxes | ClassIds
    group: str


def write_class_folders(folder: Path, pictures: Sequence[LabelledPicture]) -> None:
    """A folder for each class."""
    for one in pictures:
        _write(folder / str(one.target), one)


def write_listing(folder: Path, pictures: Sequence[LabelledPicture]) -> None:
    """`pictures.csv` of path, label and group, the pictures under `images`."""
    rows = [(_write(folder / "images", one).relative_to(folder).as_posix(), one.target, one.group) for one in pictures]
    with (folder / "pictures.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("path", "label", "group"), *rows])


def write_coco(folder: Path, pictures: Sequence[LabelledPicture], labels: Sequence[str]) -> None:
    """`annotations.json`, the pictures under `images`; what is ignored is a crowd."""
    images, annotations = [], []
    for number, one in enumerate(pictures, 1):
        height, width = one.picture.shape[:2]
        name = _write(folder / "images", one).name
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for box, label, ignored in _boxes(one):
            left, top, right, bottom = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": int(ignored),
                }
            )
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def write_voc(folder: Path, pictures: Sequence[LabelledPicture], labels: Sequence[str]) -> None:
    """An XML file a picture under `Annotations`, the pictures under `JPEGImages`; what is ignored is difficult."""
    (folder / "Annotations").mkdir(parents=True, exist_ok=True)
    for one in pictures:
        height, width = one.picture.shape[:2]
        root = ET.Element("annotation")
        ET.SubElement(root, "filename").text = _write(folder / "JPEGImages", one).name
        _children(ET.SubElement(root, "size"), width=width, height=height, depth=3)
        for (left, top, right, bottom), label, ignored in _boxes(one):
            entry = ET.SubElement(root, "object")
            _children(entry, name=labels[label], difficult=int(ignored))
            # Pascal VOC counts pixels from 1, and the last one belongs to the box.
            _children(ET.SubElement(entry, "bndbox"), xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom)
        ET.ElementTree(root).write(folder / "Annotations" / f"{one.name}.xml", encoding="utf-8")


def write_yolo(folder: Path, pictures: Sequence[LabelledPicture], labels: Sequence[str]) -> None:
    """A text a picture under `labels`, the pictures under `images`, `classes.txt`; what is ignored is left out."""
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    for one in pictures:
        _write(folder / "images", one)
        height, width = one.picture.shape[:2]
        lines = []
        for (left, top, right, bottom), label, ignored in _boxes(one):
            middle = (left + right) / 2 / width, (top + bottom) / 2 / height
            size = (right - left) / width, (bottom - top) / height
            if not ignored:
                lines.append(" ".join([str(label), *(f"{value:.6f}" for value in (*middle, *size))]) + "\n")
        (folder / "labels" / f"{one.name}.txt").write_text("".join(lines), encoding="utf-8")


def write_masks(folder: Path, pictures: Sequence[LabelledPicture], labels: Sequence[str]) -> None:
    """`images`, `masks` of class ids and `classes.txt`."""
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    for one in pictures:
        _write(folder / "images", one)
        (folder / "masks" / f"{one.name}.png").write_bytes(encode_mask(np.asarray(one.target)))


def _write(folder: Path, one: LabelledPicture) -> Path:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{one.name}.png"
    Image.fromarray(one.picture).save(path, compress_level=3)
    return path


def _boxes(one: LabelledPicture) -> list[tuple[list[float], int, bool]]:
    assert isinstance(one.target, Boxes)
    rows = one.target.boxes_xyxy.round(2).tolist()
    return list(zip(rows, one.target.labels.tolist(), one.target.ignored.tolist(), strict=True))


def _children(parent: Any, **values: Any) -> None:
    for name, value in values.items():
        ET.SubElement(parent, name).text = f"{value:g}" if isinstance(value, float) else str(value)
