"""Which of the unlabelled examples are to be labelled first: what the library suggests with the newest model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fewtune.errors import DataError
from fewtune.model import Model, load
from fewtune.progress import Progress
from fewtune.studio.database import Database, Row
from fewtune.studio.examples import Suggested, keep_suggestions, unlabelled
from fewtune.studio.kinds import KINDS
from fewtune.studio.runs import Run
from fewtune.types import Suggestions

# As many as somebody labels before training again.
_WANTED = 200
# So many are looked at before the first suggestions are there.
_FIRST = 512
# So long examples are looked at: of a hundred thousand, a slow model sees a fair part.
_SECONDS = 60.0


def order_unlabelled(run: Run, progress: Progress) -> None:
    """Note in the project what is to be labelled first, and what the run's model takes it for."""
    database = Database(run.project / "project.db")
    try:
        rows = unlabelled(database)
        if not rows:
            return
        model, seed = load(run.bundle), run.recipe().seed
        # Where not all can be looked at, a random part is fair to all.
        rows = [rows[place] for place in np.random.default_rng(seed).permutation(len(rows))]
        for some in _more_and_more(rows):
            inputs = [KINDS[model.task].place(run.project, row["input"]) for row in some]
            try:
                found = model.suggest(inputs, _WANTED, seed=seed, progress=progress)
            except DataError:  # nothing among these is new
                continue
            keep_suggestions(database, _told(run.project, model, found, some, progress))
    finally:
        database.close()


def _more_and_more(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The first few, then twice as many each time: what was looked at before is not looked at again."""
    count, started = _FIRST, time.monotonic()
    yield rows[:count]
    # The next time takes about as long as all before.
    while count < len(rows) and time.monotonic() - started < _SECONDS / 2:
        count *= 2
        yield rows[:count]


def _told(project: Path, model: Model, found: Suggestions, rows: Sequence[Row], progress: Progress) -> list[Suggested]:
    kind, rows = KINDS[model.task], [rows[some.row] for some in found]
    if not kind.draws:
        return [
            Suggested(int(row["id"]), some.prediction or None, some.confidence)
            for row, some in zip(rows, found, strict=True)
        ]
    # What the model finds in a picture is there to be mended before anybody draws; for as many as there is time.
    told, started = list[Suggested](), time.monotonic()
    with progress.step("Predict", total=len(rows)) as step:
        for row in rows:
            answer = None
            if time.monotonic() - started < _SECONDS:
                (answer,) = model.predict([kind.place(project, row["input"])])
            proposed = None if answer is None else json.dumps(kind.proposed(answer, model.labels), ensure_ascii=False)
            told.append(Suggested(int(row["id"]), proposed, None))
            step.advance()
    return told
