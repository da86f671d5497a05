"""A folder with pictures and views of them, labelled in the format that they came in, and a sheet to look at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from fewtune.augment.picture_policy import Frame, PicturePolicy, one_thread
from fewtune.augment.policy import MOST_COPIES
from fewtune.data.boxes import Boxes
from fewtune.data.mask import overlay, palette, read_mask
from fewtune.data.picture import open_picture
from fewtune.data.write_pictures import LabelledPicture
from fewtune.errors import RecipeError
from fewtune.interfaces import RunContext
from fewtune.types import Dataset, Example

SHEET = "contact-sheet.png"
_SHOWN_PICTURES, _SHOWN_VIEWS, _CELL_PX = 8, 6, 160
# Draws for each view that is wanted: some change nothing, and the same ones come up again.
_TRIES = 3

Write = Callable[[Path, Sequence[LabelledPicture]], None]


@dataclass(frozen=True, slots=True)
class AugmentedPictures:
    """What was written.

    Attributes:
        pictures: files, the originals among them.
        views: views made.
        unchanged: views that were asked for, and came out as the picture itself or as another view.
    """

    pictures: int
    views: int
    unchanged: int


def augment_pictures(
    dataset: Dataset, policy: PicturePolicy, copies: int, folder: Path, write: Write, run: RunContext
) -> AugmentedPictures:
    """Write pictures, after each its views, and the contact sheet.

    Args:
        dataset: labelled pictures.
        policy: makes the views; each picture's are drawn from a generator of its own.
        copies: views of each picture.
        folder: is there, and empty.
        write: puts labelled pictures into a folder.
        run: seed, progress.

    Raises:
        RecipeError: the policy mixes labels, or the copies are out of range.
        DataError: a picture cannot be read.
    """
    if policy.mixing:
        raise RecipeError(
            f"{policy.mixing[0].name} mixes labels while a network learns: there is nothing to be written.",
            where="--with",
            how="Leave it out, and name it in fit --augment.",
        )
    if not 1 <= copies <= MOST_COPIES:
        raise RecipeError(f"There cannot be {copies} copies.", where="--copies", how=f"From 1 to {MOST_COPIES}.")
    taken: set[str] = set()
    names = _names(dataset, taken)
    written: list[LabelledPicture] = []
    shown: list[list[LabelledPicture]] = []
    missing = 0
    with run.progress.step("Make views", total=len(dataset)) as step:
        for number, (example, name) in enumerate(zip(dataset, names, strict=True)):
            seed = run.seed_of("augment", number, policy.full_name)
            views = _views(example, name, dataset, policy, copies, seed, taken)
            missing += copies + 1 - len(views)
            written += views
            if number % max(1, len(dataset) // _SHOWN_PICTURES) == 0 and len(shown) < _SHOWN_PICTURES:
                shown.append(views[: _SHOWN_VIEWS + 1])
            step.advance()
    write(folder, written)
    contact_sheet(shown, dataset.labels).save(folder / SHEET)
    return AugmentedPictures(len(written), len(written) - len(dataset), missing)


def _views(
    example: Example, name: str, dataset: Dataset, policy: PicturePolicy, copies: int, seed: int, taken: set[str]
) -> list[LabelledPicture]:
    """The picture itself, and at most `copies` views, no two alike; `taken` are names of files."""
    import torch

    scene, group = _scene(example, dataset.task), example.group or name
    # A view for a class is as in training: never of less than the canvas.
    frame = Frame(*scene.size, farther=dataset.task != "image-classification")

    def labelled(some: Any, name: str) -> LabelledPicture:
        target = example.target
        if isinstance(target, Boxes):
            target = some.truth
        elif some.mask is not None:
            target = some.ids
        return LabelledPicture(name, some.picture, target, group)

    found = {scene.picture.tobytes(): labelled(scene, name)}
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)

        def other() -> Any:
            return _scene(dataset.examples[int(torch.randint(len(dataset), ()))], dataset.task)

        for _ in range(_TRIES * copies):
            if len(found) > copies:
                break
            view = policy.view(scene, frame, other)
            content = view.picture.tobytes()
            if content not in found:
                found[content] = labelled(view, _free(f"{name}-{len(found)}", taken))
    return list(found.values())


def _scene(example: Example, task: str) -> Any:
    from fewtune.augment.scene import Scene

    picture = np.asarray(open_picture(example.input))
    if isinstance(example.target, Boxes):
        return Scene.of(picture, example.target)
    return Scene.of(picture, ids=read_mask(example.target) if task == "segmentation" else None)


def _names(dataset: Dataset, taken: set[str]) -> list[str]:
    """A name for each picture, after its file's."""
    stems = [re.sub(r"[^\w.-]+", "_", Path(str(example.input)).stem) or "picture" for example in dataset]
    often = Counter(stem.casefold() for stem in stems)
    names = [stem if often[stem.casefold()] == 1 else f"{stem}-of-{number}" for number, stem in enumerate(stems, 1)]
    return [_free(name, taken) for name in names]


def _free(name: str, taken: set[str]) -> str:
    """The name, with something behind it if another has it: not all systems tell A from a."""
    free = next(some for some in chain([name], (f"{name}-{more}" for more in count(1))) if some.casefold() not in taken)
    taken.add(free.casefold())
    return free


def contact_sheet(rows: Sequence[Sequence[LabelledPicture]], labels: Sequence[str]) -> Image.Image:
    """A row a picture, itself first: with its boxes or its mask drawn, or its class written."""
    columns = max(len(row) for row in rows)
    sheet = Image.new("RGB", (columns * _CELL_PX, len(rows) * _CELL_PX), "white")
    for y, row in enumerate(rows):
        for x, one in enumerate(row):
            cell = _drawn(one, labels)
            cell.thumbnail((_CELL_PX - 4, _CELL_PX - 4))
            left = x * _CELL_PX + (_CELL_PX - cell.width) // 2
            sheet.paste(cell, (left, y * _CELL_PX + (_CELL_PX - cell.height) // 2))
    return sheet


def _drawn(one: LabelledPicture, labels: Sequence[str]) -> Image.Image:
    picture = Image.fromarray(one.picture)
    # Drawn at about the size that it is shown at, so that lines are as wide everywhere.
    scale = max(1e-6, max(picture.size) / (2 * _CELL_PX))
    picture = picture.resize((max(1, round(picture.width / scale)), max(1, round(picture.height / scale))))
    if isinstance(one.target, str):
        ImageDraw.Draw(picture).text(
            (4, 2), one.target, fill="white", stroke_width=2, stroke_fill="black", font_size=24
        )
        return picture
    if not isinstance(one.target, Boxes):
        return overlay(picture, one.target)
    pen = ImageDraw.Draw(picture)
    for box, label, ignored in zip(one.target.boxes_xyxy, one.target.labels, one.target.ignored, strict=True):
        red, green, blue = (int(value) for value in palette()[label])
        edges = [float(value) for value in box / scale]
        pen.rectangle(edges, outline=(red, green, blue), width=1 if ignored else 3)
        if not ignored:
            pen.text((edges[0] + 3, edges[1] + 1), labels[label], fill=(red, green, blue), font_size=18)
    return picture
