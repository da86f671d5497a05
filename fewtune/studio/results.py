"""What a training was worth, in plain words, with its errors as examples that can be mended."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from fewtune.bundle.read import read_manifest
from fewtune.data.boxes import overlaps
from fewtune.data.mask import IGNORE, ClassIds, IndexMask
from fewtune.report.blocks import Figure, Paragraph
from fewtune.report.data import Answer, ReportData, read_private
from fewtune.report.facts import Report
from fewtune.report.phrase import Part, Phrase, say
from fewtune.report.sections.learning_curve import forecast_in_words, learning_curve
from fewtune.report.sections.outcome import outcome
from fewtune.report.wording import label_issue_reason, method_name, metric_of, reason
from fewtune.studio.examples import example
from fewtune.studio.kinds.masks import painted_answer
from fewtune.studio.plain import in_both
from fewtune.studio.projects import Project
from fewtune.studio.refusals import StudioRefusal
from fewtune.studio.runs import Run
from fewtune.studio.shapes import SURE
from fewtune.types import FloatArray

_SHOWN_ERRORS = 50
_SHOWN_MASKS = 20
_SHOWN_PX = 320
# Intersection over union from which two boxes are of the same thing.
_SAME = 0.5
_PRIVATE = ("out_of_fold.jsonl", "label_issues.jsonl")


def result(project: Project, run: Run) -> dict[str, Any]:
    """What the page shows of the newest model."""
    manifest = read_manifest(run.bundle)
    report = Report(asdict(manifest), _examples(run), run.bundle.name)
    return {
        "number": run.number,
        "labels": manifest.labels,
        "sentences": [in_both(block.text) for block in outcome(report).blocks if isinstance(block, Paragraph)],
        "forecast": forecast(report),
        "method": in_both(method_name(manifest.method)),
        "model": manifest.model,
        "examples": report.examples,
        "scores": manifest.scores,
        "rungs": [_rung(rung) for rung in manifest.rungs],
        "left_out": [{"name": some["name"], "why": in_both(reason(some["why"]))} for some in manifest.left_out],
        "drawn_errors": _drawn_errors(project, run, report.data),
        "errors": _errors(project, run, report.errors),
        "error_count": len(report.errors),
        "suspects": _suspects(project, run, report.data),
    }


def forecast(report: Report) -> dict[str, str] | None:
    """What the next labels are likely to bring, as a sentence; None where nothing is foreseen."""
    said = forecast_in_words(report)
    return None if said is None else in_both(said)


def curve_of(run: Run) -> dict[str, Any] | None:
    """The learning curve with its forecast, drawn and in numbers; None where there is none."""
    section = learning_curve(Report(asdict(read_manifest(run.bundle)), ReportData(), run.bundle.name))
    figure = next((block for block in section.blocks if isinstance(block, Figure)), None) if section else None
    return None if figure is None else _figure(figure)


def _figure(figure: Figure) -> dict[str, Any]:
    drawing, numbers = figure.drawing, figure.numbers
    return {
        "caption": in_both(figure.caption),
        "description": in_both(figure.description),
        "drawing": {"width": drawing.width, "height": drawing.height, "content": drawing.content},
        "columns": [_cell(column.title) for column in numbers.columns] if numbers else [],
        "rows": [[_cell(part) for part in row] for row in numbers.rows] if numbers else [],
    }


def _cell(part: Part) -> dict[str, str]:
    return in_both(part if isinstance(part, Phrase) else str(part))


def forecast_of(run: Run) -> dict[str, str] | None:
    """The same, of a run."""
    return forecast(Report(asdict(read_manifest(run.bundle)), ReportData(), run.bundle.name))


def errors_between(project: Project, run: Run, truth: str, predicted: str) -> list[dict[str, Any]]:
    """The wrong answers of one cell of the confusion matrix.

    Raises:
        StudioRefusal: the model knows no such labels.
    """
    manifest = read_manifest(run.bundle)
    if truth not in manifest.labels or predicted not in manifest.labels:
        raise StudioRefusal(404, "no-label", "The model knows no such label.", how="Reload the page.")
    report = Report(asdict(manifest), _examples(run), run.bundle.name)
    wanted = (answer for answer in report.answers if (answer.label, answer.prediction) == (truth, predicted))
    return _errors(project, run, sorted(wanted, key=lambda answer: -answer.confidence))


def _examples(run: Run) -> ReportData:
    folder = run.bundle / "private"
    return read_private({name: (folder / name).read_bytes() for name in _PRIVATE if (folder / name).is_file()})


def _rung(rung: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: rung[name] for name in ("name", "method", "model", "seconds", "resampling")}
    scores = {name: score for name, score in rung["scores"].items() if isinstance(score, dict) and "value" in score}
    return {**kept, "scores": scores, "taken": rung["tune_seconds"] is not None}


def _errors(project: Project, run: Run, answers: Iterable[Answer]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for answer in answers:
        number = run.example_at(answer.place)
        if number is not None:
            told = {"label": answer.label, "prediction": answer.prediction, "confidence": answer.confidence}
            found.append({**told, "row": example(project.database, number)})
        if len(found) == _SHOWN_ERRORS:
            break
    return found


def _drawn_errors(project: Project, run: Run, data: ReportData) -> list[dict[str, Any]]:
    """Pictures in which boxes were missed or found where there is nothing, or pixels were taken for another class.

    Those with the most of it come first.
    """
    if project.kind.draws == "masks":
        return _painted_errors(project, run, data)
    if not project.kind.draws:
        return []
    told = []
    for some in data.open_out_of_fold or ():
        number = run.example_at(some.place)
        if number is None or some.answer is None:
            continue
        found = [box for box in some.answer if box["score"] >= SURE]
        missed, extra = _unmatched(some.target, found), _unmatched(found, some.target)
        if missed or extra:
            shapes = [_as_shape(box) for box in found]
            told.append({"missed": missed, "extra": extra, "shapes": shapes, "number": number})
    told.sort(key=lambda some: -(some["missed"] + some["extra"]))
    return [{**some, "row": example(project.database, some["number"])} for some in told[:_SHOWN_ERRORS]]


def _painted_errors(project: Project, run: Run, data: ReportData) -> list[dict[str, Any]]:
    told: list[tuple[float, int, bytes]] = []
    for some in data.open_out_of_fold or ():
        number = run.example_at(some.place)
        if number is not None and some.answer is not None:
            truth, found = (base64.b64decode(mask["png"]) for mask in (some.target, some.answer))
            told.append((_wrong(IndexMask(truth).ids, IndexMask(found).ids), number, found))
    told.sort(key=lambda some: -some[0])
    labels = read_manifest(run.bundle).labels
    return [
        {
            "wrong": wrong,
            "mask": painted_answer(png, labels, _SHOWN_PX),
            "row": example(project.database, number),
        }
        for wrong, number, png in told[:_SHOWN_MASKS]
        if wrong
    ]


def _wrong(truth: ClassIds, found: ClassIds) -> float:
    """The share of wrong pixels among those that have a class."""
    counted = truth != IGNORE
    return float((truth != found)[counted].mean()) if counted.any() else 0.0


def _unmatched(boxes: list[dict[str, Any]], others: list[dict[str, Any]]) -> int:
    """How many of the boxes have no like among the others: of the same class, each taken once."""
    left, count = list(others), 0
    for box in boxes:
        ours = _corners(box)
        same = [other for other in left if other["category"] == box["category"]]
        shared = [float(overlaps(ours, _corners(other))[0, 0]) for other in same]
        if shared and max(shared) >= _SAME:
            left.remove(same[int(np.argmax(shared))])
        else:
            count += 1
    return count


def _corners(box: Mapping[str, Any]) -> FloatArray:
    return np.array([_as_shape(box)["box"]], np.float64)


def _as_shape(box: Mapping[str, Any]) -> dict[str, Any]:
    left, top, width, height = box["bbox"]
    return {"label": box["category"], "box": [left, top, left + width, top + height]}


def _suspects(project: Project, run: Run, data: ReportData) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for issue in (data.label_issues or ())[:_SHOWN_ERRORS]:
        number = run.example_at(issue.place)
        if number is not None:
            why = in_both(label_issue_reason(issue.reason))
            found.append({"suggested": issue.suggested, "why": why, "row": example(project.database, number)})
    return found


def summary(run: Run) -> dict[str, Any]:
    """The newest model in a line."""
    facts = json.loads((run.bundle / "bundle.json").read_text(encoding="utf-8"))
    metric = facts["primary_metric"]
    value = f"{100 * (facts['scores'][metric]['value'] or 0):.0f}"
    if metric == "accuracy":
        words = say("{value} of 100 right", "每 100 个约对 {value} 个", value=value)
    else:
        words = say(
            "{metric}: {value} of 100", "{metric}：{value}（满分 100）", metric=metric_of(metric).name, value=value
        )
    return {
        "number": run.number,
        "examples": facts["data"]["examples"],
        "labels": facts["labels"],
        "words": in_both(words),
    }
