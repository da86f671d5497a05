"""Segmentation: a class for every pixel."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.write import output_errors, whole_or_nothing, write_file
from fewtune.data.check_masks import check_segmentation
from fewtune.data.mask import IGNORE, IndexMask, encode_mask, mask_facts, overlay, read_mask
from fewtune.data.picture import facts, open_picture
from fewtune.data.picture_duplicates import picture_groups
from fewtune.data.read.masks import IMAGES, MaskedDataset, content_sha256, holds_masks, read_masked_pictures
from fewtune.data.read.pictures import PATH, read_pictures
from fewtune.data.split import choose_resampling
from fewtune.errors import DataError, OutputError
from fewtune.evaluate.segmentation import MaskCounts, confusion, count_masks, mask_metrics
from fewtune.interfaces import Inputs, Measured, Purpose, RunContext, StructuredTask
from fewtune.recipe import Recipe
from fewtune.types import Dataset, Example, Finding, FloatArray, IntArray, Resampling, Table

_OVERLAY = "overlay"
_OTHER_FORMS = frozenset((".csv", ".tsv", ".jsonl", ".json", ".png", ".jpg", ".txt", ".zip"))


class Segmentation(StructuredTask):
    """Gives every pixel of a picture a class; inputs and targets are paths, answers `IndexMask`."""

    name = "segmentation"
    reads = "pictures"
    primary_metric = "miou"
    # Where two classes are equally likely, the last digit of a computation may decide for one or the other.
    parity_tolerance = 1e-3

    def recognises(self, source: Any) -> bool:
        """Whether these are pictures with index masks: by the folders `images` and `masks`."""
        return holds_masks(source)

    def read(self, source: Any, recipe: Recipe, purpose: Purpose) -> Dataset:
        """Find pictures with their masks; what is to be scored on must be without error."""
        del recipe
        found = read_masked_pictures(source)
        examples = tuple(
            Example(picture, mask, place)
            for picture, mask, place in zip(found.pictures, found.masks, found.places, strict=True)
        )
        dataset = MaskedDataset(
            self.name,
            examples,
            found.labels,
            found.source,
            content_sha256(found, [facts(picture).sha256 for picture in found.pictures]),
            found.notes,
            named=found.named,
            without_mask=found.without_mask,
            without_picture=found.without_picture,
        )
        if purpose == "evaluate":
            for finding in check_segmentation(dataset):
                if finding.level == "error" and finding.code != "one-class":
                    raise DataError(finding.what, where=", ".join(finding.places) or dataset.source, how=finding.how)
        return dataset

    def inputs(self, source: Any, recipe: Recipe) -> Inputs:
        """The pictures' paths, in the order of the listing or of their names; of a data set's folder, its `images`."""
        del recipe
        if holds_masks(source):
            found = read_masked_pictures(source)
            rows = tuple((place.removeprefix(f"{IMAGES}/"),) for place in found.places)
            return Inputs(
                Table((PATH,), rows, found.places, found.source, "", found.notes), found.pictures, found.notes
            )
        pictures = read_pictures(source, labelled=False)
        return Inputs(pictures.table, pictures.paths, pictures.table.notes)

    def check(self, dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
        """What is wrong with the data, worst first."""
        return check_segmentation(dataset, test)

    def resample(self, dataset: Dataset, run: RunContext) -> Resampling:
        """Folds that keep near-duplicates together, stratified by the rarest class that a picture holds."""
        return choose_resampling(
            _rarest(dataset), self.groups(dataset), partial(run.generator, "folds"), repeated=False
        )

    def groups(self, dataset: Dataset) -> IntArray:
        """(n,) group indices of pictures that are the same, or nearly so."""
        return picture_groups([example.input for example in dataset])

    def counts(self, dataset: Dataset) -> dict[str, int]:
        """Label to how many pictures hold it."""
        return dict(zip(dataset.labels, _held(dataset).sum(axis=0).tolist(), strict=True))

    def measure(
        self, dataset: Dataset, labels: tuple[str, ...], answers: Sequence[IndexMask], weights: FloatArray
    ) -> Measured:
        """Mean intersection over union, mean Dice, the share of right pixels; the first two by class, too.

        Raises:
            DataError: the data has a class that is not among `labels`.
        """
        ids = _model_ids(dataset, labels)
        counts = _counts(dataset, answers, ids, len(labels))
        means, by_class = mask_metrics(counts, weights)
        per_class = {
            label: {name: values[:, number] for name, values in by_class.items()} for number, label in enumerate(labels)
        }
        return Measured(means, per_class)

    def gap(self, first: IndexMask, second: IndexMask) -> float:
        """The share of pixels that differ; 1 where the sizes do."""
        return float((first.ids != second.ids).mean()) if first.size == second.size else 1.0

    def answer_as_json(self, answer: IndexMask, labels: tuple[str, ...]) -> dict[str, Any]:
        """Size, pixels of each class that is there, and the index PNG in base 64."""
        return {
            "width": answer.size[0],
            "height": answer.size[1],
            "pixels": _pixels(np.bincount(answer.ids.ravel(), minlength=256), labels),
            "png": base64.b64encode(answer.png).decode(),
        }

    def answers_as_json(
        self, inputs: Inputs, answers: Sequence[IndexMask], labels: tuple[str, ...], out: Path | None
    ) -> list[dict[str, Any]]:
        """As `answer_as_json`, with the picture's name; for masks that were written, their names instead of them."""
        names = inputs.table.column(PATH)
        rows = [
            {"file": name, **self.answer_as_json(answer, labels)} for name, answer in zip(names, answers, strict=True)
        ]
        if out is None:
            return rows
        return [{**row, "png": mask} for row, mask in zip(rows, _files(inputs), strict=True)]

    def target_as_json(self, example: Example, labels: tuple[str, ...]) -> dict[str, Any]:
        """The true mask, in the same form as an answer."""
        return self.answer_as_json(IndexMask(encode_mask(read_mask(example.target))), labels)

    def write_answers(
        self, inputs: Inputs, answers: Sequence[IndexMask], labels: tuple[str, ...], out: Path | None
    ) -> str:
        """An index PNG for each picture, named after it; under `overlay` the classes' colours over the picture.

        Raises:
            OutputError: `out` is a file, or cannot be written to.
        """
        folder = out or Path(_folder_name(inputs.table.source))
        if folder.suffix.lower() in _OTHER_FORMS or folder.is_file():
            raise OutputError(
                "Masks are written into a folder.", where=str(folder), how="Give the name of a folder with --out."
            )
        partial_folder = folder.with_name(f".{folder.name}.partial")
        with output_errors(folder), whole_or_nothing(partial_folder):
            shutil.rmtree(partial_folder, ignore_errors=True)
            for name, source, answer in zip(_files(inputs), inputs.values, answers, strict=True):
                _write_one(partial_folder, name, source, answer)
            _move_into(partial_folder, folder)
        shutil.rmtree(partial_folder, ignore_errors=True)
        classes = ", ".join(f"{number} {label}" for number, label in enumerate(labels))
        return (
            f"Wrote {len(answers)} masks to {folder}, as seen over the pictures in {folder / _OVERLAY} ({classes}).\n"
        )


def _write_one(folder: Path, name: str, source: Any, answer: IndexMask) -> None:
    for place in (folder / name, folder / _OVERLAY / name):
        place.parent.mkdir(parents=True, exist_ok=True)
    write_file(folder / name, answer.png)
    overlay(open_picture(source), answer.ids).save(folder / _OVERLAY / name)


def _move_into(built: Path, folder: Path) -> None:
    """File by file, each in one step: what else lies in the folder stays."""
    for path in sorted(built.rglob("*")):
        target = folder / path.relative_to(built)
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)


def _folder_name(source: str) -> str:
    """`<input name>.masks`; of a glob, the folder's name."""
    path = Path(source)
    while any(sign in path.name for sign in "*?["):
        path = path.parent
    return f"{path.stem or 'pictures'}.masks"


def _files(inputs: Inputs) -> list[str]:
    """A mask's name for every picture: its own, as PNG; with its ending or a number where two would be called alike."""
    names: list[str] = []
    taken: set[str] = set()
    for given in inputs.table.column(PATH):
        parts = [part for part in Path(given).parts if part not in ("..", ".", os.sep) and ":" not in part]
        path = Path(*parts) if not Path(given).is_absolute() and ".." not in Path(given).parts else Path(parts[-1])
        choices = [path.with_suffix(".png"), path.with_name(f"{path.name}.png")]
        choices += [path.with_name(f"{path.stem}-{number}.png") for number in range(2, len(taken) + 3)]
        name = next(choice.as_posix() for choice in choices if choice.as_posix() not in taken)
        taken.add(name)
        names.append(name)
    return names


def _pixels(counted: IntArray, labels: tuple[str, ...]) -> dict[str, int]:
    return {labels[number]: int(counted[number]) for number in np.flatnonzero(counted[: len(labels)])}


def _held(dataset: Dataset) -> np.ndarray:
    """(n, k) whether a picture holds a class."""
    classes = len(dataset.labels)
    rows = [mask_facts(example.target).pixels[:classes] > 0 for example in dataset]
    return np.array(rows, dtype=bool).reshape(len(dataset), classes)


def _rarest(dataset: Dataset) -> IntArray:
    """(n,) of each picture, the class that the fewest pictures hold; one more than the last where it holds none."""
    held = _held(dataset)
    frequency = np.where(held, held.sum(axis=0), len(dataset) + 1)
    return np.where(held.any(axis=1), frequency.argmin(axis=1), len(dataset.labels)).astype(np.int64)


def _model_ids(dataset: Dataset, labels: tuple[str, ...]) -> tuple[int, ...]:
    """The model's id for each of the data's, which are found by name; classes without a name are the model's ids."""
    if isinstance(dataset, MaskedDataset) and not dataset.named:
        if len(dataset.labels) > len(labels):
            raise DataError(
                f"The masks have ids up to {len(dataset.labels) - 1}, and the model knows {len(labels)} classes.",
                where=dataset.source,
                how="Number the classes as in the data that the model learnt from.",
            )
        return tuple(range(len(dataset.labels)))
    known: Mapping[str, int] = {label: number for number, label in enumerate(labels)}
    unknown = [label for label, count in Segmentation().counts(dataset).items() if label not in known and count]
    if unknown:
        raise DataError(
            f"The model does not know the class {unknown[0]!r}.",
            where=dataset.source,
            how=f"It knows: {', '.join(labels)}.",
        )
    return tuple(known.get(label, IGNORE) for label in dataset.labels)


def _counts(dataset: Dataset, answers: Sequence[IndexMask], ids: tuple[int, ...], classes: int) -> MaskCounts:
    return count_masks(
        [
            _confusion(answer.png, example.target, Path(example.target).stat().st_mtime_ns, ids, classes)
            for example, answer in zip(dataset, answers, strict=True)
        ]
    )


@lru_cache(maxsize=4096)
def _confusion(png: bytes, target: str, modified_ns: int, ids: tuple[int, ...], classes: int) -> IntArray:
    """Of one picture; the same answers are measured under many weightings."""
    del modified_ns
    truth, answer = read_mask(target), IndexMask(png).ids
    if truth.shape != answer.shape:
        raise DataError("The mask has another size than the picture.", where=target, how="fewtune check tells more.")
    renumber = np.full(256, IGNORE, np.uint8)
    renumber[: len(ids)] = ids
    return confusion(renumber[truth], answer, classes)
