"""The report of every task: pictures to look at, valid, readable by everybody, small."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fewtune.data.mask import encode_mask
from fewtune.report.data import Answer, LabelIssue, OpenAnswer, ReportData
from fewtune.report.render import render_report
from tests.pictures import class_folders, draw
from tests.report.browser import browser, find_axe, find_chromium, look
from tests.report.page import elements, parse, words
from tests.report.sample import make_facts

KINDS = ("disc", "lines")
Made = tuple[dict, ReportData]


def of_classes(folder: Path) -> Made:
    files = sorted(class_folders(folder / "shapes", 4).rglob("*.png"))
    lines = [
        {"place": f"{path.parent.name}/{path.name}", "text": str(path), "label": path.parent.name, "prediction": "disc"}
        for path in files
    ]
    answers = tuple(Answer(**line, confidence=0.9) for line in lines)
    wrong = answers[-1]
    issue = LabelIssue(wrong.place, wrong.text, wrong.label, "disc", 0.1, "the model is sure")
    facts = {**make_facts(KINDS, len(lines), answers=[{**line, "confidence": 0.9} for line in lines])}
    return {**facts, "task": "image-classification"}, ReportData(answers, label_issues=(issue,))


def of_boxes(folder: Path) -> Made:
    def answer(number: int) -> OpenAnswer:
        draw("disc", number, 96).save(folder / f"{number}.png")
        box = {"bbox": [10, 10, 40, 40], "category": "disc"}
        found = [{**box, "score": 0.9}, {"bbox": [60, 60, 20, 20], "category": "lines", "score": 0.8}]
        return OpenAnswer(f"{number}.png", str(folder / f"{number}.png"), [box], found)

    return of_structured("object-detection", "map_50"), ReportData(open_test=tuple(map(answer, range(3))))


def of_masks(folder: Path) -> Made:
    def answer(number: int) -> OpenAnswer:
        draw("disc", number, 96).save(folder / f"{number}.png")
        ids = np.zeros((96, 96), np.uint8)
        ids[20:60, 20:60] = 1
        truth, said = ({"png": base64.b64encode(encode_mask(part)).decode()} for part in (ids, np.zeros_like(ids)))
        return OpenAnswer(f"{number}.png", str(folder / f"{number}.png"), truth, said)

    return of_structured("segmentation", "miou"), ReportData(open_test=tuple(map(answer, range(3))))


def of_sentences(folder: Path) -> Made:
    answers = tuple(OpenAnswer(f"{folder.name}:{i}", "<b>Save</b>", "Salvar", "Guardar", "Save") for i in range(3))
    return {**of_structured("translation", "chrf"), "labels": []}, ReportData(open_test=answers)


def of_structured(task: str, metric: str) -> dict:
    value = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3, "level": 0.95, "interval_method": "bootstrap"}
    scores = {
        metric: value,
        "per_class": {},
        "support": {},
        "confusion": [],
        "gain_over_baseline": None,
        "how": "on it",
    }
    facts = make_facts(KINDS, 40)
    for optional in ("answer_rules", "learning_curve", "comparisons", "findings"):
        facts.pop(optional)
    rungs = [{**rung, "scores": scores} for rung in facts["rungs"]]
    data = {"name": "data", "sha256": "0" * 64, "examples": 40}
    return {**facts, "task": task, "primary_metric": metric, "scores": scores, "rungs": rungs, "data": data}


MADE: dict[str, Callable[[Path], Made]] = {
    "image-classification": of_classes,
    "object-detection": of_boxes,
    "segmentation": of_masks,
    "translation": of_sentences,
}


@pytest.mark.parametrize("task", MADE)
def test_the_page_of_every_task_is_valid_and_small(task: str, tmp_path: Path) -> None:
    page = render_report(*MADE[task](tmp_path), "model")
    root = parse(page)
    assert len(page.encode()) < 3_000_000
    pictures = list(elements(root, "img"))
    assert bool(pictures) == (task != "translation")
    assert all(picture.get("src", "").startswith("data:image/") and picture.get("alt") for picture in pictures)


@pytest.mark.skipif(find_chromium() is None or find_axe() is None, reason="Chromium or axe-core is not installed")
def test_everybody_can_read_the_page_of_every_task(tmp_path: Path) -> None:
    pytest.importorskip("playwright.sync_api")
    with browser() as opened:
        for task, make in MADE.items():
            folder = tmp_path / task
            folder.mkdir()
            (folder / "page.html").write_text(render_report(*make(folder), "model"), encoding="utf-8")
            seen = look(opened, folder / "page.html", "light")
            assert (task, seen.violations, seen.requests, seen.messages) == (task, [], [], [])


def test_wrongly_classified_pictures_are_shown(tmp_path: Path) -> None:
    facts, data = of_classes(tmp_path)
    root = parse(render_report(facts, data, "model"))
    shown = {part.get("aria-labelledby"): len(list(elements(part, "img"))) for part in elements(root, "section")}
    assert shown["errors-title"] == 4, "all that are called discs and are lines"
    assert shown["suspects-title"] == 1
    assert shown["data-title"] == 1, "the contact sheet"


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    facts, data = of_classes(tmp_path)
    assert data.out_of_fold is not None
    gone = tuple(replace(answer, text=str(tmp_path / "gone.png")) for answer in data.out_of_fold)
    page = render_report(facts, ReportData(gone), "model")
    assert "<img" not in page
    assert "Pictures that are not where they were: 4." in words(parse(page))


@pytest.mark.parametrize(
    ("task", "command", "sentence"),
    [
        ("object-detection", "predict model PICTURES --out boxes.json", "it promises the best mAP at 50% overlap"),
        ("segmentation", "predict model PICTURES --out masks", "it promises the best mean IoU"),
        ("translation", "predict model NEW.csv --out translations.csv", "look at some of its answers yourself"),
        ("image-classification", "evaluate model TEST_FOLDER", "it promises the best probabilities"),
    ],
)
def test_commands_and_sentences_fit_the_task(task: str, command: str, sentence: str, tmp_path: Path) -> None:
    said = words(parse(render_report(*MADE[task](tmp_path), "model")))
    assert f"fewtune {command}" in said
    assert sentence in said
    assert "confidence to a table" not in said
