"""What a project can be of. Another task is another class here, and a file of that name among the page's views."""

from __future__ import annotations

import json
import os
import shutil
import uuid
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from fewtune.bundle.write import write_atomically
from fewtune.data.boxes import Boxes, Detections
from fewtune.data.columns import find_columns
from fewtune.data.picture import facts, is_picture_name
from fewtune.data.read import read_table
from fewtune.data.read.boxes import to_dataset
from fewtune.data.read.detection import holds_boxes, read_boxes
from fewtune.data.read.pictures import LABEL, PATH, Pictures, read_pictures
from fewtune.data.read.zip_file import unpack_into
from fewtune.errors import DataError
from fewtune.studio import limits
from fewtune.studio.examples import NewExample, clean
from fewtune.studio.refusals import StudioRefusal
from fewtune.studio.shapes import SURE, Shape, coco, labels_in, shapes_of
from fewtune.types import Table

_TABLES = (".csv", ".tsv", ".xlsx", ".jsonl", ".txt")
ANNOTATIONS = "annotations.json"
_TOLD = 5


@dataclass(frozen=True, slots=True)
class Read:
    """What a file brought.

    Attributes:
        examples: to be added.
        notes: what was decided while reading, in words.
    """

    examples: Sequence[NewExample]
    notes: tuple[str, ...]


class Kind(ABC):
    """A task, as the studio sees it.

    Attributes:
        task: its name, as the library has it.
        draws: whether labels are drawn on the examples.
        column: what training calls the column of the inputs.
        label_studio: the type of the inputs there.
    """

    task: ClassVar[str]
    draws: ClassVar[bool] = False
    column: ClassVar[str]
    label_studio: ClassVar[str]

    @abstractmethod
    def read(self, path: Path, name: str, folder: Path, options: Mapping[str, str]) -> Read:
        """Read a file that somebody brought.

        Args:
            path: where it lies now.
            name: what its owner calls it.
            folder: of the project.
            options: names of columns, `text` and `label`; empty or missing: found by themselves.

        Raises:
            UserError: it cannot be read.
        """

    @abstractmethod
    def place(self, folder: Path, stored: str) -> str:
        """What a model reads of an example whose `input` is `stored`."""

    @abstractmethod
    def in_run(self, stored: str) -> str:
        """The same as the listing of a run has it: runs go on when the folder of projects is moved."""

    @abstractmethod
    def exported(self, row: Mapping[str, Any]) -> str:
        """What a listing calls an example: its text, or its picture's path beside the listing."""

    def write_data(self, project: Path, place: Path, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
        """Write what a training learns from: `place`, a listing with a line an example, or a folder of that name."""
        del project, labels
        content = "".join(
            json.dumps({"id": row["id"], self.column: self.in_run(row["input"]), "label": row["label"]}) + "\n"
            for row in rows
        )
        write_atomically(place.with_suffix(".jsonl"), content.encode())

    def labels_used(self, rows: Sequence[Mapping[str, Any]]) -> set[str]:
        """The labels that examples have."""
        return {row["label"] for row in rows}

    def proposed(self, answer: Any, labels: Sequence[str]) -> list[Shape]:
        """What a model's answer to a picture would be if somebody had drawn it; where nothing is drawn, nothing."""
        del answer, labels
        return []


class TextKind(Kind):
    """Texts, one label each."""

    task = "text-classification"
    column = "text"
    label_studio = "text"

    def read(self, path: Path, name: str, folder: Path, options: Mapping[str, str]) -> Read:
        """A table: labelled, unlabelled or mixed."""
        if Path(name).suffix.lower() not in _TABLES:
            raise StudioRefusal(
                415,
                "not-a-table",
                "This is no table of texts.",
                where=Path(name).name,
                how="Bring a CSV, TSV, XLSX or JSONL file. Pictures need a project of their own.",
            )
        _refuse_bomb(path, name)
        table = read_table(path, name=Path(name).name)
        text, label, notes = _columns(table, options.get("text", ""), options.get("label", ""))
        labels = table.column(label) if label else [""] * len(table.rows)
        pairs = [(clean(value), clean(given).strip()) for value, given in zip(table.column(text), labels, strict=True)]
        kept = [(value, given) for value, given in pairs if value.strip()]
        notes = (*table.notes, *notes, *_left_out(len(pairs) - len(kept)), *_cut(kept))
        if not kept:
            raise DataError("No row has a text.", where=name, how="Check the columns.")
        return Read([NewExample(value[: limits.TEXT_CHARACTERS], given or None) for value, given in kept], notes)

    def place(self, folder: Path, stored: str) -> str:
        """The text itself."""
        del folder
        return stored

    def in_run(self, stored: str) -> str:
        """The text itself."""
        return stored

    def exported(self, row: Mapping[str, Any]) -> str:
        """The text itself."""
        return row["input"]


def _columns(table: Table, text: str, label: str) -> tuple[str, str | None, tuple[str, ...]]:
    """The columns of the text and, if there is one, of the label, and how they were found."""
    try:
        found = find_columns(table, text=text, label=label)
    except DataError:
        if label:
            raise
        found = find_columns(table, text=text, need_label=False)
    return found.text, found.label, found.notes


def _left_out(count: int) -> list[str]:
    return [f"left out {count} rows without a text"] if count else []


def _cut(pairs: Sequence[tuple[str, str]]) -> list[str]:
    count = sum(len(text) > limits.TEXT_CHARACTERS for text, _ in pairs)
    return [f"cut {count} texts at {limits.TEXT_CHARACTERS} characters"] if count else []


class PictureKind(Kind):
    """Pictures, one label each; the files lie in the project's folder under names of our own."""

    task = "image-classification"
    column = PATH
    label_studio = "image"

    def read(self, path: Path, name: str, folder: Path, options: Mapping[str, str]) -> Read:
        """A picture, or a zip of pictures, of class folders or of a listing and pictures."""
        del options
        if is_picture_name(name):
            return self._kept([(str(path), Path(name).name, None)], folder)
        if Path(name).suffix.lower() != ".zip":
            raise StudioRefusal(
                415,
                "not-pictures",
                "This is neither a picture nor a zip of pictures.",
                where=Path(name).name,
                how="Bring JPEG or PNG files, or a zip of them. Texts need a project of their own.",
            )
        _refuse_bomb(path, name)
        unpacked = path.with_name(f"{path.name}.unpacked")
        unpacked.mkdir()
        try:
            pictures = read_pictures(unpack_into(path, unpacked))
            table = pictures.table
            labels = table.column(LABEL) if LABEL in table.columns else [""] * len(table.rows)
            names = table.column(PATH)
            found = zip(pictures.paths, names, labels, strict=True)
            read = self._kept([(place, given, clean(label).strip() or None) for place, given, label in found], folder)
            return Read(read.examples, (*table.notes, *read.notes))
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)

    def _kept(self, found: Sequence[tuple[str, str, str | None]], folder: Path) -> Read:
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
        more = f"; and {len(broken) - _TOLD} more" if len(broken) > _TOLD else ""
        notes = [f"left out {len(broken)} that cannot be read ({'; '.join(broken[:_TOLD])}{more})"] if broken else []
        return Read(kept, tuple(notes))

    def place(self, folder: Path, stored: str) -> str:
        """The picture's path."""
        return str(folder / "pictures" / stored)

    def in_run(self, stored: str) -> str:
        """A path from the run's folder."""
        return f"../../pictures/{stored}"

    def exported(self, row: Mapping[str, Any]) -> str:
        """A path beside the listing: the number makes it the only one of its name."""
        name = Path(row["name"].replace("\\", "/")).name or row["input"]
        return f"pictures/{row['id']}-{name}"


class BoxKind(PictureKind):
    """Pictures with boxes around what is to be found."""

    task = "object-detection"
    draws = True

    def read(self, path: Path, name: str, folder: Path, options: Mapping[str, str]) -> Read:
        """A picture, a zip of pictures, or a zip with COCO, Pascal VOC or YOLO annotations."""
        if Path(name).suffix.lower() != ".zip":
            return super().read(path, name, folder, options)
        _refuse_bomb(path, name)
        unpacked = path.with_name(f"{path.name}.unpacked")
        unpacked.mkdir()
        try:
            inner = unpack_into(path, unpacked)
            if not holds_boxes(inner):
                return self._without_labels(read_pictures(inner), folder)
            given = read_boxes(inner, for_test=False, inside=unpacked)
            dataset = to_dataset(given, self.task)
            names = [picture.name for picture in given.pictures]
            read = self._kept(
                [(str(some.input), name, None) for some, name in zip(dataset, names, strict=True)], folder
            )
            shapes = {
                clean(name): _shapes(some.target, dataset.labels) for some, name in zip(dataset, names, strict=True)
            }
            drawn = [replace(some, shapes=shapes[some.name]) for some in read.examples]
            return Read(drawn, (*dataset.notes, *read.notes))
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)

    def _without_labels(self, pictures: Pictures, folder: Path) -> Read:
        found = zip(pictures.paths, pictures.table.column(PATH), strict=True)
        return self._kept([(place, given, None) for place, given in found], folder)

    def write_data(self, project: Path, place: Path, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
        """A folder with the pictures, by links where there can be some, and COCO's JSON."""
        (place / "images").mkdir(parents=True)
        listed = []
        for row in rows:
            source = Path(self.place(project, row["input"]))
            name = f"{row['id']}{source.suffix}"
            _link(source, place / "images" / name)
            listed.append((row["id"], name, facts(str(source)).upright_size, shapes_of(row["shapes"])))
        write_atomically(place / ANNOTATIONS, json.dumps(coco(listed, labels), ensure_ascii=False).encode())

    def labels_used(self, rows: Sequence[Mapping[str, Any]]) -> set[str]:
        """The labels of all shapes."""
        return {label for row in rows for label in labels_in(shapes_of(row["shapes"]))}

    def proposed(self, answer: Detections, labels: Sequence[str]) -> list[Shape]:
        """The boxes that are sure enough."""
        found = zip(answer.boxes_xyxy, answer.labels, answer.scores, strict=True)
        return [
            {"label": labels[int(label)], "box": [round(float(edge), 1) for edge in box]}
            for box, label, score in found
            if score >= SURE
        ]


def _shapes(boxes: Boxes, labels: Sequence[str]) -> list[Shape]:
    rows = zip(boxes.boxes_xyxy, boxes.labels, strict=True)
    return [
        {
            "label": clean(labels[int(label)]).strip()[: limits.NAME_CHARACTERS],
            "box": [round(float(edge), 2) for edge in box],
        }
        for box, label in rows
    ]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _store(path: Path, name: str, folder: Path) -> str:
    stored = f"{uuid.uuid4().hex}{Path(name).suffix.lower()}"
    target = folder / "pictures" / stored
    target.parent.mkdir(exist_ok=True)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(path, target)
    return stored


def _refuse_bomb(path: Path, name: str) -> None:
    """Many files in a zip, each too small to be suspected, can be a bomb together; a workbook is a zip, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return  # said in its own words by what unpacks it
    if unpacked > max(limits.UNPACKED_BYTES, limits.UNPACKED_GROWTH * path.stat().st_size):
        raise StudioRefusal(
            413,
            "zip-bomb",
            f"Unpacked, the file would grow to {unpacked / 1e9:.1f} GB: tables and pictures do not grow like this.",
            where=Path(name).name,
            how="Save the table, or make a zip of the pictures, alone.",
        )


KINDS: dict[str, Kind] = {kind.task: kind for kind in (TextKind(), PictureKind(), BoxKind())}


def listing(kind: Kind, rows: Iterator[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Input and label of every row, as a table of two columns; no label is an empty one."""
    for row in rows:
        yield kind.exported(row), row["label"] or ""
