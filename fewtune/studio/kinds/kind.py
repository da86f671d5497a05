"""What a project can be of: the ground that all kinds stand on."""

from __future__ import annotations

import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from fewtune.bundle.write import write_atomically
from fewtune.report.phrase import Phrase, english, say
from fewtune.studio import limits
from fewtune.studio.examples import NewExample
from fewtune.studio.refusals import StudioRefusal

_TOLD = 5


@dataclass(frozen=True, slots=True)
class Read:
    """What a file brought.

    Attributes:
        examples: to be added.
        notes: what was decided while reading, in words of both languages.
    """

    examples: Sequence[NewExample]
    notes: tuple[Phrase, ...]


def left_out(broken: Sequence[str], en: str, zh: str) -> tuple[Phrase, ...]:
    """A note about what could not be taken, some of it named; none where all could.

    Args:
        broken: each with its reason, which the library has in English.
        en: what is wrong with them.
        zh: the same in Chinese.
    """
    if not broken:
        return ()
    named, more = english("; ".join(broken[:_TOLD])), len(broken) - _TOLD
    if more > 0:
        named = say("{named}; and {more} more", "{named}；另有 {more} 个", named=named, more=more)
    told = say(
        f"left out {{count}} {en} ({{named}})", f"略去 {{count}} 个{zh}（{{named}}）", count=len(broken), named=named
    )
    return (told,)


class Kind(ABC):
    """A task, as the studio sees it.

    Attributes:
        task: its name, as the library has it.
        draws: what is drawn on the examples; empty: nothing, they have a label each.
        column: what training calls the column of the inputs.
        label_studio: the type of the inputs there.
    """

    task: ClassVar[str]
    draws: ClassVar[Literal["", "boxes", "masks"]] = ""
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

    def forget(self, folder: Path, brought: Sequence[NewExample]) -> None:
        """Delete from the project's folder what `read` put there for examples that are not added after all."""
        del folder, brought

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

    def proposed(self, answer: Any, labels: Sequence[str]) -> Any:
        """A model's answer to a picture as the page draws it; None where nothing is drawn."""
        del answer, labels


def refuse_bomb(path: Path, name: str) -> None:
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


def listing(kind: Kind, rows: Iterator[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Input and label of every row, as a table of two columns; no label is an empty one."""
    for row in rows:
        yield kind.exported(row), row["label"] or ""
