"""Pascal VOC's XML: one file a picture (Everingham et al. 2010, doi:10.1007/s11263-009-0275-4)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from fewtune.data.picture import is_picture_name
from fewtune.data.read.boxes import Given, GivenBox, GivenPicture, with_notes
from fewtune.errors import DataError

_PICTURE_FOLDERS = ("", "JPEGImages", "images", "../JPEGImages", "../images", "..")
_HOW = "Export it again as Pascal VOC."
_MAX_BYTES = 50_000_000
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def voc_files(folder: Path) -> list[Path]:
    """The annotation files in a folder, or in its `Annotations/`; none where there are none of VOC's."""
    for place in (folder, folder / "Annotations", folder / "annotations"):
        files = sorted(path for path in place.glob("*.xml") if path.is_file())
        if any(_is_annotation(path) for path in files[:5]):
            return files
    return []


def _is_annotation(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<annotation" in file.read(2000)


def read_voc(folder: Path, files: list[Path], *, name: str, inside: Path | None = None) -> Given:
    """Read pictures and boxes; pictures beside those that are named, without a file of their own, hold nothing.

    Args:
        folder: what the user gave.
        files: the annotations.
        name: what messages call the folder.
        inside: no picture's name leads out of this folder, if it is given.

    Raises:
        DataError: a file is damaged, or a box lacks something.
    """
    given = [_read(path, folder, inside) for path in files]
    from_zero = any(min(box.box_xyxy) == 0 for picture in given for box in picture.boxes)
    if not from_zero:
        given = [_shifted(picture) for picture in given]
    named = {Path(picture.path).resolve() for picture in given}
    beside = sorted({path.parent for path in named if path.parent.is_dir()})
    bare = [
        path
        for place in beside
        for path in sorted(place.iterdir())
        if is_picture_name(path.name) and path.resolve() not in named
    ]
    given += [GivenPicture(str(path), path.name, path.name, ()) for path in bare]
    found = Given(tuple(given), (), name)
    found = with_notes(
        found, "pixels count from 0, as some edges are 0" if from_zero else "pixels count from 1, as in VOC"
    )
    return found


def _read(path: Path, folder: Path, inside: Path | None) -> GivenPicture:
    root = _root(path)
    file_name = (root.findtext("filename") or "").strip().replace("\\", "/").rpartition("/")[2]
    picture = _picture(path, file_name)
    if inside is not None and not picture.resolve().is_relative_to(inside.resolve()):
        raise DataError(
            "A picture's name leads out of the zip.", where=path.name, how="Name pictures by their file names."
        )
    boxes = tuple(_box(entry, number, path.name) for number, entry in enumerate(root.findall("object"), 1))
    size = tuple(int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    return GivenPicture(str(picture), picture.name, path.name, boxes, size if all(size) else None)  # type: ignore[arg-type]


def _root(path: Path) -> ET.Element:
    try:
        content = path.read_bytes()
        if len(content) > _MAX_BYTES or b"<!ENTITY" in content:
            raise DataError("The XML is too large, or declares entities.", where=path.name, how=_HOW)
        root = ET.fromstring(content)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise DataError(f"The XML is damaged ({error}).", where=path.name, how=_HOW) from None
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror or error}.", where=str(path)) from None
    if root.tag != "annotation":
        raise DataError(f"This XML holds <{root.tag}>, not <annotation>.", where=path.name, how=_HOW)
    return root


def _picture(path: Path, file_name: str) -> Path:
    """The picture that is named, or that is called as the annotation; as it should be called where there is none."""
    for inner in _PICTURE_FOLDERS:
        place = path.parent / inner
        if file_name and (place / file_name).is_file():
            return place / file_name
    for inner in _PICTURE_FOLDERS:
        for found in sorted((path.parent / inner).glob(f"{_escaped(path.stem)}.*")):
            if is_picture_name(found.name):
                return found
    return path.parent / (file_name or f"{path.stem}.jpg")


def _escaped(stem: str) -> str:
    import glob

    return glob.escape(stem)


def _box(entry: ET.Element, number: int, name: str) -> GivenBox:
    label = (entry.findtext("name") or "").strip()
    place = f"{name}: object {number}"
    if not label:
        raise DataError("The object has no name.", where=place, how=_HOW)
    try:
        edges = [float(entry.findtext(f"bndbox/{edge}") or "") for edge in _EDGES]
    except ValueError:
        raise DataError("The object has no bndbox with xmin, ymin, xmax, ymax.", where=place, how=_HOW) from None
    difficult = (entry.findtext("difficult") or "0").strip() not in ("0", "")
    return GivenBox((edges[0], edges[1], edges[2], edges[3]), label, f"object {number}", difficult)


def _shifted(picture: GivenPicture) -> GivenPicture:
    """From pixels that count from 1, both included, to edges."""

    def shift(box: GivenBox) -> GivenBox:
        left, top, right, bottom = box.box_xyxy
        return replace(box, box_xyxy=(left - 1, top - 1, right, bottom))

    return replace(picture, boxes=tuple(map(shift, picture.boxes)))
