"""The main job on the embedded sample: support tickets in English and Chinese."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fewtune import pipeline
from fewtune.bundle.write import output_errors
from fewtune.model import load
from fewtune.progress import Progress
from fewtune.recipe import Recipe
from fewtune.types import FitResult

_NEW_TEXTS = (
    "You took the monthly fee from my card two times",
    "Where is my parcel, it should have been here last week",
    "The app crashes when I turn the phone",
    "我想换一个登录邮箱",
    "客服很热情，给五星",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A new text and what the model made of it."""

    text: str
    prediction: str
    confidence: float


def run_demo(folder: Path, *, progress: Progress) -> tuple[FitResult, list[Answer]]:
    """Copy the sample into `folder`, tune a model on it, and predict a few new texts.

    A second run overwrites what the first one made.
    """
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("tickets.csv", "tickets-test.csv"):
            with (files("fewtune") / "sample" / name).open("rb") as source, (folder / name).open("wb") as copy:
                shutil.copyfileobj(source, copy)
    recipe = Recipe(data=str(folder / "tickets.csv"), test=str(folder / "tickets-test.csv"), budget="45s")
    result = pipeline.fit(recipe, out=folder / "tickets.fewtune", overwrite=True, progress=progress)
    model = load(result.bundle)
    answers = [
        Answer(text, model.labels[int(row.argmax())], float(row.max()))
        for text, row in zip(_NEW_TEXTS, model.predict_proba(_NEW_TEXTS), strict=True)
    ]
    return result, answers
