"""Pictures, one label each."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fewtune.data.picture import facts, is_picture_name
from fewtune.data.read.pictures import LABEL, PATH, read_pictures
from fewtune.data.read.zip_file import unpack_into
from fewtune.errors import DataError
from fewtune.report.wording import note
from fewtune.studio.examples import NewExample, clean
from fewtune.studio.kinds.kind import Kind, Read, left_out, refuse_bomb
from fewtune.studio.refusals import StudioRefusal, no_example
from fewtune.studio.shapes import labels_in, shapes_of

# What `_store` calls a picture.
_STORED = re.compile(r"[0-9a-f]{32}(\.[^/\\]*)?")


class PictureKind(Kind):
    """Pictures, one label each; the files lie in the project's folder under names of our own."""

    task = "image-classification"
    column = PATH
    label_studio = "image"

    def read(self, path: Path, name: str, folder: Path, options: Mapping[str, str]) -> Read:
        """A picture, or a zip of pictures, of class folders or of a listing and pictures."""
        del options
        if is_picture_name(name):
            return self.kept([(str(path), Path(name).name, None)], folder)
        if Path(name).suffix.lower() != ".zip":
            raise StudioRefusal(
                415,
                "not-pictures",
                "This is neither a picture nor a zip of pictures.",
                where=Path(name).name,
                how="Bring JPEG or PNG files, or a zip of them. Texts need a project of their own.",
            )
        with unpacked(path, name) as inner:
            pictures = read_pictures(inner)
            table = pictures.table
            labels = table.column(LABEL) if LABEL in table.columns else [""] * len(table.rows)
            names = table.column(PATH)
            found = zip(pictures.paths, names, labels, strict=True)
            read = self.kept([(place, given, clean(label).strip() or None) for place, given, label in found], folder)
            return Read(read.examples, (*map(note, table.notes), *read.notes))

    def kept(self, found: Sequence[tuple[str, str, str | None]], folder: Path) -> Read:
        """Move the pictures that can be read into the project; the others are named."""
        kept: list[NewExample] = []
        broken: list[str] = []
        for path, name, label in found:
            error = facts(path).error if path else "There is no such file."
            if error:
                broken.append(f"{clean(name)}: {error}")
            else:
                kept.append(NewExample(_store(Path(path), name, folder), label, clean(name)))
        if not kept:
            raise DataError(
                "There is no picture that can be read.",
                where=broken[0] if broken else "",
                how="Save the pictures as JPEG or PNG, and bring them again.",
            )
        return Read(kept, left_out(broken, "that cannot be read", "无法读取的文件"))

    def forget(self, folder: Path, brought: Sequence[NewExample]) -> None:
        """Delete their pictures."""
        for some in brought:
            Path(self.place(folder, some.input)).unlink(missing_ok=True)

    def place(self, folder: Path, stored: str) -> str:
        """The picture's path. Raises a refusal where that is no name of ours, which could lead anywhere."""
        return str(folder / "pictures" / _own(stored))

    def in_run(self, stored: str) -> str:
        """A path from the run's folder."""
        return f"../../pictures/{_own(stored)}"

    def exported(self, row: Mapping[str, Any]) -> str:
        """A path beside the listing: the number makes it the only one of its name."""
        name = Path(row["name"].replace("\\", "/")).name or row["input"]
        return f"pictures/{row['id']}-{name}"


@contextmanager
def unpacked(path: Path, name: str) -> Iterator[Path]:
    """What is in a zip, in a folder of its own that goes when the block is left.

    Raises:
        StudioRefusal: it is a bomb.
        DataError: it cannot be unpacked.
    """
    refuse_bomb(path, name)
    folder = path.with_name(f"{path.name}.unpacked")
    folder.mkdir()
    try:
        yield unpack_into(path, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class DrawnKind(PictureKind):
    """Pictures on which is drawn."""

    def read(self, path: Path, name: str, folder: Path, options: Mapping[str, str]) -> Read:
        """A picture, a zip of pictures, or a zip of pictures with what is drawn on them."""
        if Path(name).suffix.lower() != ".zip":
            return super().read(path, name, folder, options)
        with unpacked(path, name) as inner:
            if self.is_drawn(inner):
                return self.read_drawn(inner, path.with_name(f"{path.name}.unpacked"), folder)
            pictures = read_pictures(inner)
            found = zip(pictures.paths, pictures.table.column(PATH), strict=True)
            return self.kept([(place, given, None) for place, given in found], folder)

    @abstractmethod
    def is_drawn(self, inner: Path) -> bool:
        """Whether a folder holds what is drawn on its pictures."""

    @abstractmethod
    def read_drawn(self, inner: Path, unpacked: Path, folder: Path) -> Read:
        """Read the pictures with what is drawn on them.

        Args:
            inner: where they are.
            unpacked: what no name may lead out of.
            folder: of the project.
        """

    def labels_used(self, rows: Sequence[Mapping[str, Any]]) -> set[str]:
        """The labels of all shapes."""
        return {label for row in rows for label in labels_in(shapes_of(row["shapes"]))}


def link(source: Path, target: Path) -> None:
    """The same file at another place, where the system can; else a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _own(stored: str) -> str:
    if not _STORED.fullmatch(stored):
        raise no_example()
    return stored


def _store(path: Path, name: str, folder: Path) -> str:
    stored = f"{uuid.uuid4().hex}{Path(name).suffix.lower()}"
    target = folder / "pictures" / stored
    target.parent.mkdir(exist_ok=True)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(path, target)
    return stored
