"""Names of classes in the place of labelled data."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from fewtune.data.read import read_texts
from fewtune.errors import RecipeError
from fewtune.tune.linear_head import label_texts
from fewtune.types import Dataset, Example

_WHERE = "--labels"


def is_file_of_names(given: str) -> bool:
    """Whether `--labels` names a file; many names are too long to be a path, which is no error."""
    return os.path.isfile(given)


def read_names(given: str, task: str) -> Dataset:
    """For each class one example, its name as a person would write it, or what is said of it.

    Args:
        given: names with commas between them; or a file: a name a line, or columns of a name and a description.
        task: name of the task.

    Raises:
        RecipeError: there are fewer than two different names, or one that says nothing.
        DataError: the file cannot be read.
    """
    if is_file_of_names(given):
        rows = [(row[0].strip(), " ".join(row[1:2]).strip()) for row in read_texts(given).rows]
    else:
        rows = [(name.strip(), "") for name in given.split(",")]
    described = dict(row for row in rows if row[0])
    labels = tuple(sorted(described))
    if len(labels) < 2:
        raise RecipeError(
            f"{len(labels)} name of a class is too few." if labels else "There are no names of classes.",
            where=_WHERE,
            how='Give at least two with commas between them, such as --labels "positive,negative", or a file of them.',
        )
    if mute := [label for label in labels if not any(char.isalpha() for char in label + described[label])]:
        raise RecipeError(
            f"The name {mute[0]!r} says nothing of what its class holds.",
            where=_WHERE,
            how="Use words, or give a file with the columns label and description.",
        )
    texts = [
        f"{text}: {described[label]}" if described[label] else text
        for label, text in zip(labels, label_texts(labels), strict=True)
    ]
    examples = tuple(Example(text, label, _WHERE) for text, label in zip(texts, labels, strict=True))
    source = Path(given).name if is_file_of_names(given) else _WHERE
    return Dataset(task, examples, labels, source, hashlib.sha256("\x1f".join(texts).encode()).hexdigest())
