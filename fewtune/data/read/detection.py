"""Pictures with boxes in whatever form they come: which one it is, the data itself tells."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from fewtune.data.read.boxes import Given
from fewtune.data.read.coco import is_coco, read_coco
from fewtune.data.read.encoding import readable_name
from fewtune.data.read.voc import read_voc, voc_files
from fewtune.data.read.yolo import read_yolo, yolo_folders
from fewtune.data.read.zip_file import unpack
from fewtune.errors import DataError

_FORMATS = "Give a COCO JSON file, a folder of Pascal VOC XML files, or one of YOLO text files, each with its pictures."
_TRAIN = ("train", "training", "trainval")
_TEST = ("test", "val", "valid", "validation", "dev")
# Below a folder, where JSON files are looked for.
_JSON_PLACES = ("*.json", "annotations/*.json", "train/*.json", "valid/*.json", "val/*.json", "test/*.json", "*/*.json")


def holds_boxes(source: Any) -> bool:
    """Whether a source is pictures with boxes, of one of the formats."""
    if not isinstance(source, str | Path):
        return False
    path = Path(source).expanduser()
    try:
        if path.suffix.lower() == ".zip" and path.is_file():
            return _zip_may_hold(path) and _folder_holds(unpack(path))
        return _folder_holds(path) if path.is_dir() else is_coco(path)
    except (OSError, DataError):
        return False


def _zip_may_hold(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.lower() for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return any(name.endswith((".json", ".xml")) or (name.endswith(".txt") and name.count("/")) for name in names)


def _folder_holds(folder: Path) -> bool:
    return bool(_coco_files(folder)) or bool(voc_files(folder)) or yolo_folders(folder, (*_TRAIN, *_TEST)) is not None


def boxes_form(source: str | Path) -> str:
    """Of which format pictures with boxes are: "coco", "voc" or "yolo"; `holds_boxes` is true of them."""
    path = Path(source).expanduser()
    if path.suffix.lower() == ".zip":
        path = unpack(path)
    if path.is_file() or _coco_files(path):
        return "coco"
    return "voc" if voc_files(path) else "yolo"


def read_boxes(source: Any, *, for_test: bool, inside: Path | None = None) -> Given:
    """Read pictures with boxes.

    Args:
        source: a COCO JSON file, a folder of one of the formats, or a zip of it.
        for_test: which split is read of a folder that holds several.
        inside: no picture's name leads out of this folder, if it is given; of a zip none does.

    Raises:
        DataError: it is none of the formats, or something in it is not right.
    """
    if not isinstance(source, str | Path):
        raise DataError("This cannot be read as pictures with boxes.", where="data", how=_FORMATS)
    path = Path(source).expanduser()
    prefer = (*_TEST, *_TRAIN) if for_test else (*_TRAIN, *_TEST)
    if path.suffix.lower() == ".zip" and path.is_file():
        folder = unpack(path)
        return _read_folder(folder, path.name, prefer, inside=folder)
    if path.is_dir():
        return _read_folder(path, readable_name(path.name) or str(source), prefer, inside=inside)
    if path.suffix.lower() == ".json":
        return read_coco(path)
    if not path.exists():
        raise DataError("There is no such file.", where=str(source), how="Check the path and the folder.")
    raise DataError("This file is not of a form that boxes are read from.", where=str(source), how=_FORMATS)


def _read_folder(folder: Path, name: str, prefer: tuple[str, ...], inside: Path | None) -> Given:
    files = _coco_files(folder)
    if files:
        return read_coco(_preferred(files, prefer, name), inside=inside)
    annotations = voc_files(folder)
    if annotations:
        return read_voc(folder, annotations, name=name, inside=inside)
    found = yolo_folders(folder, prefer)
    if found is None:
        raise DataError("The folder holds no boxes of a form that is known.", where=name, how=_FORMATS)
    return read_yolo(folder, *found, name=name)


def _coco_files(folder: Path) -> list[Path]:
    for pattern in _JSON_PLACES:
        files = [path for path in sorted(folder.glob(pattern)) if is_coco(path)]
        if files:
            return files
    return []


def _preferred(files: list[Path], prefer: tuple[str, ...], name: str) -> Path:
    if len(files) == 1:
        return files[0]
    for split in prefer:
        named = [
            path
            for path in files
            if split in (path.stem.lower(), path.parent.name.lower()) or path.stem.lower().endswith(f"_{split}")
        ]
        if len(named) == 1:
            return named[0]
    listed = ", ".join(path.name for path in files[:5])
    raise DataError(
        f"There are several COCO files ({listed}).", where=name, how="Give one of them instead of the folder."
    )
