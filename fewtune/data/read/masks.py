"""Pictures with masks: folders `images` and `masks`, a list of names beside them, COCO's JSON, a zip, pairs."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fewtune.data.coco_masks import segmentation_pixels
from fewtune.data.mask import IGNORE, MOST_CLASSES, encode_mask, mask_facts
from fewtune.data.picture import MAX_PIXELS, is_picture_name, open_picture
from fewtune.data.read.encoding import decode, readable_name
from fewtune.data.read.zip_file import unpack
from fewtune.errors import DataError
from fewtune.types import Dataset

IMAGES, MASKS, CLASSES = "images", "masks", "classes.txt"
BACKGROUND = "background"
# What a mask's name may have behind the picture's.
_ENDINGS = ("", "_mask", "-mask", "_masks", "_label", "_labels", "_seg", "_gt", "_L")
_REMEDY = (
    "Give a folder with images/ and masks/ (a PNG for each picture, of the same name, with a class id for every "
    "pixel), or COCO's JSON with segmentations."
)


@dataclass(frozen=True, slots=True)
class MaskedPictures:
    """Pictures with their masks, as they were found.

    Attributes:
        pictures, masks: n paths each, to be opened.
        places: of the pictures, as messages name them.
        labels: names of the classes, in the order of their ids.
        named: whether the labels were given; else they are the ids.
        source: what messages call the data.
        notes: what was decided while reading, in words.
        without_mask, without_picture: names of what was left out.
    """

    pictures: tuple[str, ...]
    masks: tuple[str, ...]
    places: tuple[str, ...]
    labels: tuple[str, ...]
    named: bool
    source: str
    notes: tuple[str, ...] = ()
    without_mask: tuple[str, ...] = field(default=())
    without_picture: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class MaskedDataset(Dataset):
    """Pictures with masks: inputs and targets are paths.

    Attributes:
        named: whether the classes were given names; else the labels are ids.
        without_mask, without_picture: names of files that were left out because they are alone.
    """

    named: bool = True
    without_mask: tuple[str, ...] = field(default=())
    without_picture: tuple[str, ...] = field(default=())


def holds_masks(source: Any) -> bool:
    """Whether a source is pictures with index masks: by its folders' names."""
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.suffix.lower() == ".zip" and path.is_file():
            return _zip_holds_masks(path)
        if path.suffix.lower() == ".txt" and path.is_file():
            return _has_layout(path.parent) and path.name != CLASSES
        return _has_layout(path)
    if isinstance(source, Sequence) and source and isinstance(source[0], tuple | list) and len(source[0]) == 2:
        return all(is_picture_name(str(part)) for part in source[0])
    return False


def _has_layout(folder: Path) -> bool:
    return (folder / IMAGES).is_dir() and (folder / MASKS).is_dir()


def _zip_holds_masks(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            folders = {part for name in archive.namelist() for part in PurePosixPath(name).parts[:-1][:2]}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False
    return {IMAGES, MASKS} <= folders


def read_masked_pictures(source: Any) -> MaskedPictures:
    """Find pictures, their masks, and the names of the classes.

    Args:
        source: a folder with `images` and `masks`; a text file beside these with a name a line; COCO's JSON, or a
            folder with one; a zip of a folder; a list of (picture, mask) paths.

    Raises:
        DataError: there are no pictures with masks, two pictures share a name, or the JSON is malformed.
    """
    if isinstance(source, str | Path):
        return _read_path(Path(source).expanduser(), str(source))
    if isinstance(source, Sequence) and not isinstance(source, bytes):
        pairs = [tuple(map(str, item)) if isinstance(item, tuple | list) else () for item in source]
        if pairs and all(len(pair) == 2 for pair in pairs):
            pictures, masks = zip(*pairs, strict=True)
            return _named_by_ids(MaskedPictures(pictures, masks, pictures, (), False, "data"))
    raise DataError("These are not pictures with masks.", where="data", how="Give a list of (picture, mask) paths.")


def _read_path(path: Path, name: str) -> MaskedPictures:
    shown = readable_name(path.name) or name
    if path.is_dir():
        return _read_folder(path, shown)
    if not path.is_file():
        raise DataError("There is no such file.", where=name, how="Check the path and the folder.")
    if path.suffix.lower() == ".zip":
        return _read_folder(unpack(path), shown)
    if path.suffix.lower() == ".json":
        return _read_coco(path, shown)
    if path.suffix.lower() == ".txt" and _has_layout(path.parent):
        return _read_layout(path.parent, shown, _listed(path))
    raise DataError("These are not pictures with masks.", where=name, how=_REMEDY)


def _read_folder(folder: Path, name: str) -> MaskedPictures:
    if _has_layout(folder):
        return _read_layout(folder, name, None)
    listings = sorted(entry for entry in folder.glob("*.json") if entry.is_file())
    if len(listings) == 1:
        return _read_coco(listings[0], name)
    raise DataError("The folder holds no pictures with masks.", where=name, how=_REMEDY)


def _listed(path: Path) -> list[str]:
    text, _ = decode(path.read_bytes(), source=path.name)
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def _read_layout(folder: Path, name: str, wanted: Sequence[str] | None) -> MaskedPictures:
    pictures, masks = _by_stem(folder / IMAGES, name), _by_stem(folder / MASKS, name)
    mask_of = {stem: found for stem in pictures if (found := _mask_of(stem, masks)) is not None}
    chosen, notes = list(pictures), []
    if wanted is not None:
        chosen = [_stem(entry) for entry in wanted]
        _check_listed(chosen, pictures, mask_of, name)
        notes.append(f"{len(chosen)} of {len(pictures)} pictures, those that {name} lists")
    paired = [stem for stem in chosen if stem in mask_of]
    if not paired:
        raise DataError(f"No picture in {IMAGES}/ has a mask of its name in {MASKS}/.", where=name, how=_REMEDY)
    used = {mask_of[stem] for stem in mask_of}
    found = MaskedPictures(
        tuple(str(pictures[stem]) for stem in paired),
        tuple(str(masks[mask_of[stem]]) for stem in paired),
        tuple(readable_name(pictures[stem].relative_to(folder).as_posix()) for stem in paired),
        (),
        False,
        name,
        tuple(notes),
        tuple(_place(pictures[stem], folder) for stem in chosen if stem not in mask_of),
        () if wanted is not None else tuple(_place(masks[stem], folder) for stem in masks if stem not in used),
    )
    listing = folder / CLASSES
    return _named_by(found, _read_classes(listing), listing.name) if listing.is_file() else _named_by_ids(found)


def _place(path: Path, folder: Path) -> str:
    return readable_name(path.relative_to(folder).as_posix())


def _stem(name: str) -> str:
    """A name in the folder without the ending of pictures."""
    plain = PurePosixPath(name.replace("\\", "/"))
    return (plain.with_suffix("") if is_picture_name(plain.name) else plain).as_posix()


def _by_stem(folder: Path, name: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if not path.is_file() or path.name == "Thumbs.db" or any(part.startswith(".") for part in inside.parts):
            continue
        stem = _stem(inside.as_posix())
        if stem in found:
            raise DataError(
                f"Two files are called {stem}: {found[stem].name} and {path.name}.",
                where=f"{name}/{folder.name}",
                how="Keep one of them, or give them different names: masks are found by the pictures' names.",
            )
        found[stem] = path
    return found


def _mask_of(stem: str, masks: Mapping[str, Path]) -> str | None:
    return next((stem + ending for ending in _ENDINGS if stem + ending in masks), None)


def _check_listed(chosen: Sequence[str], pictures: Mapping[str, Path], mask_of: Mapping[str, str], name: str) -> None:
    for stem in chosen:
        if stem not in pictures:
            raise DataError(f"There is no picture {stem!r} in {IMAGES}/.", where=name, how="Take it off the list.")
    twice = sorted({stem for stem in chosen if chosen.count(stem) > 1}) if len(set(chosen)) < len(chosen) else []
    if twice:
        raise DataError(f"{twice[0]!r} stands on the list twice.", where=name, how="Take it off once.")


def _read_classes(path: Path) -> tuple[str, ...]:
    text, _ = decode(path.read_bytes(), source=path.name)
    names = [line.strip() for line in text.rstrip().splitlines()]
    if "" in names:
        line = names.index("") + 1
        raise DataError("A class has no name.", where=f"{path.name}:{line}", how="One name a line, from id 0 on.")
    return tuple(names)


def _named_by(found: MaskedPictures, names: tuple[str, ...], listing: str) -> MaskedPictures:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"Two classes are called {twice[0]!r}.", where=listing, how="Give each a name of its own.")
    if len(names) > MOST_CLASSES:
        raise DataError(f"There are {len(names)} classes; ids go from 0 to {MOST_CLASSES - 1}.", where=listing)
    note = f"{len(names)} classes by {listing}; pixels of {IGNORE} are passed over"
    return replace(found, labels=names, named=True, notes=(*found.notes, note))


def _named_by_ids(found: MaskedPictures) -> MaskedPictures:
    highest = max((max(mask_facts(mask).ids, default=-1) for mask in found.masks), default=-1)
    labels = tuple(map(str, range(highest + 1)))
    note = f"no {CLASSES}: the {len(labels)} classes are called by their ids; pixels of {IGNORE} are passed over"
    return replace(found, labels=labels, notes=(*found.notes, note))


def content_sha256(found: MaskedPictures, picture_sums: Sequence[str]) -> str:
    """sha256 over all pictures, masks and names, in hexadecimal."""
    digest = hashlib.sha256("\n".join(found.labels).encode("utf-8", "surrogatepass"))
    for picture_sum, mask in zip(picture_sums, found.masks, strict=True):
        content = Path(mask).read_bytes() if Path(mask).is_file() else b""
        digest.update(f"\n{picture_sum} {hashlib.sha256(content).hexdigest()}".encode())
    return digest.hexdigest()


def _read_coco(path: Path, name: str) -> MaskedPictures:
    content = path.read_bytes()
    folder, listing = _drawn(path, hashlib.sha256(content).hexdigest(), name)
    found = MaskedPictures(
        tuple(entry["picture"] for entry in listing["entries"]),
        tuple(str(Path(folder.name) / entry["mask"]) for entry in listing["entries"]),
        tuple(entry["place"] for entry in listing["entries"]),
        (),
        False,
        name,
        tuple(listing["notes"]),
    )
    return _named_by(found, tuple(listing["labels"]), path.name)


@cache
def _drawn(path: Path, sha256: str, name: str) -> tuple[tempfile.TemporaryDirectory[str], dict[str, Any]]:
    """Masks drawn into a temporary folder that goes when this process ends, and what they belong to."""
    del sha256  # a file that changed is drawn anew
    values = _parsed(path, name)
    categories = _categories(values, path.name)
    annotations = _annotations_of(values, categories, path.name)
    folder = tempfile.TemporaryDirectory(prefix="fewtune-")
    entries, bare = [], 0
    for number, image in enumerate(values["images"]):
        picture = _picture_of(image, path)
        own = annotations.get(image["id"], [])
        bare += not own
        ids = _draw(picture, image, own, categories, path.name)
        (Path(folder.name) / f"{number}.png").write_bytes(encode_mask(ids))
        place = readable_name(str(image["file_name"]))
        entries.append({"picture": str(picture), "mask": f"{number}.png", "place": place})
    notes = [
        f"masks drawn from the segmentations of {path.name}; what none covers is {BACKGROUND}, smaller ones on top"
    ]
    notes += [f"{bare} pictures without annotation are all {BACKGROUND}"] if bare else []
    return folder, {"entries": entries, "notes": notes, "labels": _labels(values, categories)}


def _parsed(path: Path, name: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
        if not all(isinstance(values[key], list) for key in ("images", "annotations", "categories")):
            raise TypeError("images, annotations and categories are lists")
        if not values["images"]:
            raise ValueError("it has no images")
        seen = [image["id"] for image in values["images"]]
        if len(set(seen)) < len(seen):
            raise ValueError("two images have the same id")
        [str(image["file_name"]) for image in values["images"]]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"This is not COCO's JSON ({error!r}).", where=name, how=_REMEDY) from None
    return values


def _categories(values: Mapping[str, Any], where: str) -> dict[Any, int]:
    """COCO's category id to a class id; background is 0."""
    found: dict[Any, int] = {}
    try:
        for category in sorted(values["categories"], key=lambda some: some["id"]):
            is_background = str(category["name"]).strip().lower() == BACKGROUND
            found[category["id"]] = 0 if is_background else 1 + sum(1 for number in found.values() if number)
    except (KeyError, TypeError) as error:
        raise DataError(f"A category has no id or no name ({error!r}).", where=where) from None
    return found


def _labels(values: Mapping[str, Any], categories: Mapping[Any, int]) -> list[str]:
    """Names in the order of the class ids."""
    names = {0: BACKGROUND} | {categories[category["id"]]: str(category["name"]) for category in values["categories"]}
    if len(set(names.values())) < len(names) or len(names) < len(set(categories.values()) | {0}):
        raise DataError("Two categories have the same name.", where="categories", how="Give each a name of its own.")
    return [names[number] for number in sorted(names)]


def _annotations_of(
    values: Mapping[str, Any], categories: Mapping[Any, int], where: str
) -> dict[Any, list[Mapping[str, Any]]]:
    known = {image["id"] for image in values["images"]}
    found: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in values["annotations"]:
        given = annotation.get("id", "?") if isinstance(annotation, dict) else "?"
        place = f"{where}, annotation {given}"
        if not isinstance(annotation, dict) or annotation.get("image_id") not in known:
            raise DataError("The annotation is of an image that is not listed.", where=place, how="Take it out.")
        if annotation.get("category_id") not in categories:
            raise DataError(
                f"The category {annotation.get('category_id')!r} is not listed.",
                where=place,
                how="Add it, or mend the id.",
            )
        if not annotation.get("segmentation"):
            raise DataError(
                "The annotation has no segmentation.",
                where=place,
                how="Boxes alone are for --task detection; draw its outline, or take it out.",
            )
        found.setdefault(annotation["image_id"], []).append(annotation)
    return found


def _picture_of(image: Mapping[str, Any], path: Path) -> Path:
    """Beside the JSON, under images/ there or one folder above; never outside of these."""
    name = str(image["file_name"]).replace("\\", "/")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise DataError(
            f"The name {name!r} leads elsewhere.", where=path.name, how="Name pictures relative to the JSON."
        )
    places = [folder / name for folder in (path.parent, path.parent / IMAGES, path.parent.parent / IMAGES)]
    return next((place for place in places if place.is_file()), places[0])


def _draw(
    picture: Path,
    image: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    categories: Mapping[Any, int],
    where: str,
) -> np.ndarray:
    """(h, w) class ids; larger segmentations first, so that smaller ones lie on top."""
    try:
        width, height = int(image["width"]), int(image["height"])
    except (KeyError, TypeError, ValueError):
        width, height = open_picture(picture).size
    if not 0 < width * height <= MAX_PIXELS:
        raise DataError(f"An image of {width} x {height} pixels is not read.", where=where, how="Save it smaller.")
    covered = []
    for annotation in annotations:
        try:
            pixels = segmentation_pixels(annotation["segmentation"], height, width)
        except (ValueError, TypeError) as error:
            place = f"{where}, annotation {annotation.get('id', '?')}"
            raise DataError(f"Its segmentation cannot be read: {error}.", where=place, how="Draw it again.") from None
        covered.append((int(pixels.sum()), categories[annotation["category_id"]], pixels))
    ids = np.zeros((height, width), np.uint8)
    for _, category, pixels in sorted(covered, key=lambda some: -some[0]):
        ids[pixels] = category
    return ids
