"""Which of the unlabelled examples are to be labelled first, after what the newest model says of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fewtune.model import Model, load
from fewtune.progress import Progress
from fewtune.studio.database import Database
from fewtune.studio.examples import Suggested, keep_suggestions, unlabelled
from fewtune.studio.kinds import KINDS
from fewtune.studio.results import SURE
from fewtune.studio.runs import Run
from fewtune.studio.shapes import stored
from fewtune.types import FloatArray

# So long a model is asked about the unlabelled examples; of a hundred thousand, a slow one sees a fair part.
_SECONDS = 60.0
_CHUNK = 256


def order_unlabelled(run: Run, progress: Progress) -> None:
    """Note in the project what the run's model takes unlabelled examples for, the most useful first."""
    database = Database(run.project / "project.db")
    try:
        rows = unlabelled(database)
        if not rows:
            return
        model = load(run.bundle)
        kind = KINDS[model.task]
        # Where not all can be seen, a random part is fair to all.
        shuffled = np.random.default_rng(run.recipe().seed).permutation(len(rows))
        inputs = [kind.place(run.project, rows[place]["input"]) for place in shuffled]
        if kind.draws:
            _order_pictures(database, model, [int(rows[place]["id"]) for place in shuffled], inputs, progress)
            return
        probabilities = _within(model, inputs, progress)
        numbers = [int(rows[place]["id"]) for place in shuffled[: len(probabilities)]]
        order = most_useful(probabilities)
        keep_suggestions(database, [_suggested(model, numbers[place], probabilities[place]) for place in order])
    finally:
        database.close()


def _order_pictures(
    database: Database, model: Model, numbers: Sequence[int], inputs: Sequence[Any], progress: Progress
) -> None:
    """Pictures by the most wavering of their boxes; what was found is noted, to be drawn before anybody draws."""
    started, found = time.monotonic(), list[tuple[float, Suggested]]()
    with progress.step("Order what is not labelled", total=len(inputs)) as step:
        for number, picture in zip(numbers, inputs, strict=True):
            (boxes,) = model.predict([picture])
            doubt = float((boxes.scores * (1 - boxes.scores)).max(initial=0.0))
            sure = boxes.scores >= SURE
            rows = zip(boxes.boxes_xyxy[sure], boxes.labels[sure], strict=True)
            shapes = [
                {"label": model.labels[int(label)], "box": [round(float(edge), 1) for edge in box]}
                for box, label in rows
            ]
            found.append((doubt, Suggested(number, stored(shapes), float(boxes.scores.max(initial=0.0)))))
            step.advance()
            if time.monotonic() - started > _SECONDS:
                break
    keep_suggestions(database, [some for _, some in sorted(found, key=lambda pair: -pair[0])])


def most_useful(probabilities: FloatArray) -> Sequence[int]:
    """Places of examples by what their labels would teach, most first: those that the model is least sure of.

    Args:
        probabilities: (n, classes).
    """
    return [int(place) for place in np.argsort(probabilities.max(axis=1), kind="stable")]


def _within(model: Model, inputs: Sequence[Any], progress: Progress) -> FloatArray:
    """(m, classes) probabilities of the first m inputs: all, or as many as the time allows."""
    started, found = time.monotonic(), list[FloatArray]()
    with progress.step("Order what is not labelled", total=len(inputs)) as step:
        for start in range(0, len(inputs), _CHUNK):
            part = inputs[start : start + _CHUNK]
            found.append(model.predict_proba(part))
            step.advance(len(part))
            if time.monotonic() - started > _SECONDS:
                break
    return np.concatenate(found)


def _suggested(model: Model, number: int, row: FloatArray) -> Suggested:
    best = int(row.argmax())
    return Suggested(number, model.labels[best], float(row[best]))
