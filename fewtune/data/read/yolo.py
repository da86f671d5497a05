"""YOLO's text files: one a picture, a line a box, `class x y width height` in shares of the picture's size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from fewtune.data.picture import is_picture_name
from fewtune.data.read.boxes import Given, GivenBox, GivenPicture
from fewtune.data.read.encoding import decode
from fewtune.errors import DataError, first_line

_NAMES = (
    "data.yaml",
    "data.yml",
    "dataset.yaml",
    "dataset.yml",
    "classes.txt",
    "obj.names",
    "classes.names",
    "labels.txt",
)
_HOW = "A line is: class x y width height, the last four between 0 and 1."
_SNIFFED = 20


def yolo_folders(folder: Path, prefer: tuple[str, ...]) -> tuple[Path, Path] | None:
    """Folders of pictures and of text files; None where there are none of YOLO's.

    Args:
        folder: holds both, or `images/` and `labels/`, or splits with them in either order.
        prefer: names of splits, the best first.
    """
    pairs = [(folder / "images", folder / "labels"), (folder, folder)]
    for split in prefer:
        pairs += [(folder / split / "images", folder / split / "labels")]
        pairs += [(folder / "images" / split, folder / "labels" / split), (folder / split, folder / split)]
    if folder.name == "images":
        pairs.append((folder, folder.parent / "labels"))
    return next((pair for pair in pairs if _holds_boxes(*pair)), None)


def _holds_boxes(pictures: Path, texts: Path) -> bool:
    if not pictures.is_dir() or not texts.is_dir():
        return False
    stems = {path.stem for path in pictures.iterdir() if is_picture_name(path.name)}
    files = [path for path in sorted(texts.glob("*.txt")) if path.stem in stems]
    return (
        bool(files)
        and all(_is_boxes(path) for path in files[:_SNIFFED])
        and (pictures != texts or any(path.stat().st_size for path in files))
    )


def _is_boxes(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(1000).split()
    try:
        return not first or (len(first) >= 5 and all(math.isfinite(float(value)) for value in first))
    except ValueError:
        return False


def read_yolo(folder: Path, pictures: Path, texts: Path, *, name: str) -> Given:
    """Read pictures and boxes; a picture without a text file, or with an empty one, holds nothing.

    Args:
        folder: where names of classes are looked for, and in the folders above the texts.
        pictures, texts: by `yolo_folders`.
        name: what messages call the folder.

    Raises:
        DataError: a line is not of the form, or names a class that is not there.
    """
    labels, listed = _class_names(folder, texts)
    found = {path.stem: path for path in sorted(pictures.iterdir()) if is_picture_name(path.name)}
    files = {path.stem: path for path in sorted(texts.glob("*.txt")) if path.name not in _NAMES}
    given = []
    for stem in sorted(found.keys() | files.keys()):
        # A text without a picture is kept: it is told of when the picture cannot be opened.
        path = found.get(stem, pictures / f"{stem}.jpg")
        text = files.get(stem)
        boxes = () if text is None else _read(text, labels, listed)
        place = path.name if text is None else text.name
        given.append(GivenPicture(str(path), path.name, place, boxes, relative=True))
    notes = (
        (f"names of classes from {listed}",) if listed else ("classes are called by their numbers: no file names them",)
    )
    return Given(tuple(given), tuple(labels.values()), name, notes)


def _read(path: Path, labels: dict[int, str], listed: str) -> tuple[GivenBox, ...]:
    content = path.read_bytes()
    text = decode(content, source=path.name)[0] if content.strip() else ""
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return tuple(_box(parts, f"{path.name}:{number}", f"line {number}", labels, listed) for number, parts in lines)


def _box(parts: list[str], place: str, name: str, labels: dict[int, str], listed: str) -> GivenBox:
    try:
        values = [float(part) for part in parts]
        number = int(values[0])
        if number != values[0] or number < 0 or len(values) < 5:
            raise ValueError
    except (ValueError, OverflowError):
        raise DataError(f"This is no box: {' '.join(parts)[:60]!r}.", where=place, how=_HOW) from None
    if listed and number not in labels:
        known = ", ".join(f"{key} ({label})" for key, label in list(labels.items())[:20])
        raise DataError(f"There is no class {number}.", where=place, how=f"{listed} names: {known}.")
    if len(values) > 6 and len(values) % 2:  # an outline: x and y of its corners
        xs, ys = values[1::2], values[2::2]
        edges = (min(xs), min(ys), max(xs), max(ys))
    else:
        x, y, width, height = values[1:5]
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if max(edges) > 2 + 1e-6:
        raise DataError(f"Edges are in pixels here: {' '.join(parts)[:60]!r}.", where=place, how=_HOW)
    return GivenBox(edges, labels.get(number, str(number)), name)


def _class_names(folder: Path, texts: Path) -> tuple[dict[int, str], str]:
    """Number to name of the classes, and the file that says so; nothing where none does."""
    for place in (folder, texts, texts.parent, folder.parent, texts.parent.parent):
        for name in _NAMES:
            path = place / name
            if path.is_file():
                labels = _names_in(path)
                if labels:
                    return labels, name
    return {}, ""


def _names_in(path: Path) -> dict[int, str]:
    text, _ = decode(path.read_bytes(), source=path.name) if path.stat().st_size else ("", ())
    if path.suffix in (".yaml", ".yml"):
        return _names_of(_yaml(text, path.name))
    return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))


def _yaml(text: str, name: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        line = first_line(error)
        raise DataError(f"The YAML cannot be read ({line}).", where=name, how="Mend it, or give classes.txt.") from None


def _names_of(content: Any) -> dict[int, str]:
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        return dict(enumerate(map(str, names)))
    if isinstance(names, dict):
        return {int(key): str(value) for key, value in names.items() if str(key).isdigit()}
    return {}
