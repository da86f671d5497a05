"""Boxes that somebody draws on a picture, as they are stored: JSON, in pixels of the upright picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# The label of a picture on which was drawn what there is to draw, though that be nothing; somebody's is never empty.
DRAWN = ""
# Score from which a box counts as found.
SURE = 0.3
Shape = dict[str, Any]


def shapes_of(stored: str | None) -> list[Shape]:
    """Shapes such as {"label": "disc", "box": [left, top, right, bottom]}; none where nothing is stored."""
    return json.loads(stored) if stored else []


def stored(shapes: Sequence[Mapping[str, Any]]) -> str:
    """The inverse of `shapes_of`."""
    return json.dumps(list(shapes), ensure_ascii=False)


def labels_in(shapes: Iterable[Mapping[str, Any]]) -> set[str]:
    """The labels of shapes."""
    return {shape["label"] for shape in shapes}


def coco(pictures: Sequence[tuple[int, str, tuple[int, int], list[Shape]]], labels: Sequence[str]) -> dict[str, Any]:
    """Pictures with boxes as COCO has them (https://cocodataset.org/#format-data).

    Args:
        pictures: of each its number, its file's name, width and height, and its shapes; of masks those of `segmented`.
        labels: all that there are; categories are numbered from 1.
    """
    number_of = {label: number for number, label in enumerate(labels, start=1)}
    annotations = [
        {
            "id": 0,
            "image_id": picture,
            "category_id": number_of[shape["label"]],
            "bbox": _xywh(shape["box"]),
            "area": shape.get("area", _xywh(shape["box"])[2] * _xywh(shape["box"])[3]),
            "iscrowd": 0,
            **({"segmentation": shape["segmentation"]} if "segmentation" in shape else {}),
        }
        for picture, _, _, shapes in pictures
        for shape in shapes
    ]
    return {
        "images": [
            {"id": number, "file_name": name, "width": width, "height": height}
            for number, name, (width, height), _ in pictures
        ],
        "annotations": [{**some, "id": number} for number, some in enumerate(annotations, start=1)],
        "categories": [{"id": number, "name": label} for label, number in number_of.items()],
    }


def label_studio(shapes: Sequence[Shape], size: tuple[int, int]) -> list[dict[str, Any]]:
    """Boxes as Label Studio has them: percents of width and height (https://labelstud.io/tags/rectanglelabels)."""
    width, height = size
    found = []
    for shape in shapes:
        x, y, wide, high = _xywh(shape["box"])
        value = {
            "x": 100 * x / width,
            "y": 100 * y / height,
            "width": 100 * wide / width,
            "height": 100 * high / height,
        }
        found.append(
            {
                "from_name": "label",
                "to_name": "image",
                "type": "rectanglelabels",
                "original_width": width,
                "original_height": height,
                "value": {**value, "rotation": 0, "rectanglelabels": [shape["label"]]},
            }
        )
    return found


def _xywh(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, round(right - left, 2), round(bottom - top, 2)]
