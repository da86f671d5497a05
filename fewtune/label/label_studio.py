"""Suggestions as tasks of Label Studio, with the predictions as pre-annotations.

The format: https://labelstud.io/guide/predictions. The names are those of columns that `fit` finds by itself, so that
what Label Studio exports as CSV can be learnt from as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from fewtune.types import Suggestion

_CHOICE = "label"
# Where Label Studio finds files below the folder that its setting LOCAL_FILES_DOCUMENT_ROOT names.
_LOCAL_FILE = "/data/local-files/?d="


def tasks_json(
    suggestions: Sequence[Suggestion], rows: Sequence[Mapping[str, str]], reads: str, shown: Sequence[str], version: str
) -> str:
    """Tasks to import.

    Args:
        suggestions: n of them.
        rows: of each, the columns that it came with.
        reads: "text" or "pictures".
        shown: of each, the text or the picture's name as it was given.
        version: what made the predictions.
    """
    tasks = [
        _task(suggestion, row, reads, given, version)
        for suggestion, row, given in zip(suggestions, rows, shown, strict=True)
    ]
    return json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"


def _task(suggestion: Suggestion, row: Mapping[str, str], reads: str, given: str, version: str) -> dict[str, Any]:
    name, value = _object(reads, given)
    data = {**row, name: value, "why": suggestion.why}
    if suggestion.confidence is None:
        return {"data": data}
    result = {
        "from_name": _CHOICE,
        "to_name": name,
        "type": "choices",
        "value": {"choices": [suggestion.prediction]},
    }
    prediction = {"model_version": version, "score": round(suggestion.confidence, 6), "result": [result]}
    return {"data": data, "predictions": [prediction]}


def _object(reads: str, given: str) -> tuple[str, str]:
    return ("image", f"{_LOCAL_FILE}{given}") if reads == "pictures" else ("text", given)


def labelling_config(labels: Sequence[str], reads: str) -> str:
    """The labelling interface that goes with the tasks: what Label Studio's settings of a project take."""
    shown = '<Image name="image" value="$image"/>' if reads == "pictures" else '<Text name="text" value="$text"/>'
    name = "image" if reads == "pictures" else "text"
    choices = "".join(f"<Choice value={quoteattr(label)}/>" for label in labels)
    return f'<View>{shown}<Choices name="{_CHOICE}" toName="{name}" choice="single">{choices}</Choices></View>'
