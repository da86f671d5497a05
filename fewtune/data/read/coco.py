"""COCO's JSON: `images`, `annotations`, `categories` (Lin et al. 2014, arXiv:1405.0312)."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from fewtune.data.picture import is_picture_name
from fewtune.data.read.boxes import Given, GivenBox, GivenPicture
from fewtune.data.read.encoding import decode
from fewtune.errors import DataError

_MAX_BYTES = 500_000_000
_SHOWN = 5


def is_coco(path: Path) -> bool:
    """Whether a file is JSON of COCO's form with boxes in it."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    try:
        found = read_json(path)
    except DataError:
        return False
    return isinstance(found, dict) and all(isinstance(found.get(key), list) for key in ("images", "annotations"))


def read_json(path: Path) -> Any:
    """The content of a JSON file; remembered for as long as the file stays the same.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror or error}.", where=str(path)) from None
    if state.st_size > _MAX_BYTES:
        raise DataError(
            f"The file has {state.st_size / 1e6:.0f} MB; the limit is {_MAX_BYTES / 1e6:.0f} MB.", where=str(path)
        )
    return _parsed(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=8)
def _parsed(path: Path, size: int, modified_ns: int) -> Any:
    del size, modified_ns
    try:
        text, _ = decode(path.read_bytes(), source=path.name)
        return json.loads(text)
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror or error}.", where=str(path)) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"This is no JSON ({error}).", where=path.name, how="Export it again as COCO JSON.") from None


def read_coco(path: Path, *, inside: Path | None = None) -> Given:
    """Read pictures and boxes.

    Args:
        path: the JSON file; pictures are looked for beside it, under `images/`, and in the folder that is named as it.
        inside: no picture's name leads out of this folder, if it is given.

    Raises:
        DataError: an entry lacks something, or names a picture or a category that is not there.
    """
    content = read_json(path)
    name = path.name
    if not isinstance(content, dict):
        raise DataError(
            "This JSON is not of COCO's form.", where=name, how="It should hold images, annotations, categories."
        )
    images, annotations, categories = (_entries(content, key, name) for key in ("images", "annotations", "categories"))
    label_of = {
        _id(entry, "id", f"{name}: categories[{i}]"): str(entry.get("name", entry["id"]))
        for i, entry in enumerate(categories)
    }
    boxes_of = _boxes_by_image(annotations, label_of, name)
    places = [f"{name}: image {_id(entry, 'id', f'{name}: images[{i}]')}" for i, entry in enumerate(images)]
    _refuse_homeless(boxes_of, {entry["id"] for entry in images}, name)
    folder = _picture_folder(path, images)
    pictures = []
    for entry, place in zip(images, places, strict=True):
        given = _file_name(entry, place)
        if inside is not None and not (folder / given).resolve().is_relative_to(inside.resolve()):
            raise DataError(
                "A picture's name leads out of the zip.", where=place, how="Name pictures relative to the JSON."
            )
        pictures.append(
            GivenPicture(
                str(folder / given),
                given,
                f"{place} ({given})",
                tuple(boxes_of[entry["id"]]),
                _size(entry),
                number=str(entry["id"]),
            )
        )
    return Given(tuple(pictures), tuple(label_of.values()), name, _notes(folder, pictures, annotations))


def _entries(content: dict[str, Any], key: str, name: str) -> list[dict[str, Any]]:
    found = content.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise DataError(f"There is no list {key!r} of objects.", where=name, how="Export it again as COCO JSON.")
    return found


def _id(entry: dict[str, Any], key: str, place: str) -> Any:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"There is no {key!r}.", where=place, how="Export it again as COCO JSON.")
    return value


def _boxes_by_image(
    annotations: list[dict[str, Any]], label_of: dict[Any, str], name: str
) -> dict[Any, list[GivenBox]]:
    found: dict[Any, list[GivenBox]] = defaultdict(list)
    for number, entry in enumerate(annotations):
        place = f"{name}: annotation {entry.get('id', number)}"
        category = _id(entry, "category_id", place)
        if category not in label_of:
            known = ", ".join(f"{key} ({label})" for key, label in list(label_of.items())[:20])
            raise DataError(
                f"There is no category {category!r}.", where=place, how=f"The file's categories are: {known}."
            )
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
            raise DataError("The bbox is not [x, y, width, height].", where=place, how="Export it again with boxes.")
        x, y, width, height = map(float, box)
        given = GivenBox(
            (x, y, x + width, y + height), label_of[category], place.partition(": ")[2], bool(entry.get("iscrowd"))
        )
        found[_id(entry, "image_id", place)].append(given)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refuse_homeless(boxes_of: dict[Any, list[GivenBox]], images: set[Any], name: str) -> None:
    homeless = [image for image in boxes_of if image not in images]
    if homeless:
        count = sum(len(boxes_of[image]) for image in homeless)
        shown = ", ".join(map(repr, homeless[:_SHOWN]))
        raise DataError(
            f"{count} annotation{'s' if count > 1 else ''} belong to pictures that are not listed (image_id {shown}).",
            where=f"{name}: {boxes_of[homeless[0]][0].name}",
            how="Add the pictures to `images`, or take the annotations out.",
        )


def _file_name(entry: dict[str, Any], place: str) -> str:
    given = entry.get("file_name")
    if not isinstance(given, str) or not given.strip() or "\0" in given:
        raise DataError("There is no 'file_name'.", where=place, how="Export it again as COCO JSON.")
    return given.replace("\\", "/")


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    width, height = entry.get("width"), entry.get("height")
    return (int(width), int(height)) if _is_number(width) and _is_number(height) and width and height else None  # type: ignore[arg-type]


def _picture_folder(path: Path, images: list[dict[str, Any]]) -> Path:
    """Where most of the pictures are."""
    split = path.stem.removeprefix("instances_")
    near = [path.parent, path.parent.parent]
    folders = [
        folder / inner for folder in near for inner in ("", "images", split, f"images/{split}", f"{split}/images")
    ]
    names = [str(entry.get("file_name", "")).replace("\\", "/") for entry in images]

    def held(folder: Path) -> int:
        return sum((folder / name).is_file() for name in names if name and "\0" not in name)

    return max(folders, key=held)


def _notes(folder: Path, pictures: list[GivenPicture], annotations: list[dict[str, Any]]) -> tuple[str, ...]:
    notes = []
    named = {Path(picture.path).name for picture in pictures}
    if folder.is_dir():
        others = [entry.name for entry in folder.iterdir() if is_picture_name(entry.name) and entry.name not in named]
        if others:
            notes.append(f"left out pictures in {folder.name}/ that the file does not name: {len(others)}")
    if any(entry.get("segmentation") for entry in annotations):
        notes.append("outlines are not read: boxes are")
    return tuple(notes)
