"""What a detector found beside what there is: precision over recall, and the pictures with the worst errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewtune.data.boxes import Boxes, Detections, overlaps
from fewtune.evaluate.average_precision import match_class, precision_recall
from fewtune.report.blocks import Block, Column, Figure, Paragraph, PictureCard, Pictures, Section, Table
from fewtune.report.data import OpenAnswer
from fewtune.report.facts import Report
from fewtune.report.phrase import Part, Phrase, named, percent, plain, say, sentences
from fewtune.report.pictures import Outline, data_uri, sheet, small_picture, with_outlines
from fewtune.report.plots.curve import precision_plot

TASK = "object-detection"
_MOST_CURVES = 6
_MOST_PICTURES = 12
_MOST_ON_SHEET = 24
_SURE = 0.5
_OVERLAP = 0.5
_FOUND, _MISSED, _WRONG, _TRUE = "#1b8a3a", "#d97706", "#c42020", "#0b5f8f"
_READ_AT = (10, 25, 50, 75, 90)


@dataclass(frozen=True, slots=True)
class _Judged:
    """A picture's boxes at a score of at least one half: found, missed, and wrongly seen."""

    answer: OpenAnswer
    found: tuple[Outline, ...]
    missed: tuple[Outline, ...]
    wrong: tuple[Outline, ...]

    @property
    def errors(self) -> int:
        return len(self.missed) + len(self.wrong)


def found_boxes(report: Report) -> Section | None:
    """Curves and pictures; nothing for other tasks."""
    if report.facts["task"] != TASK or not report.open_answers:
        return None
    blocks: list[Block] = [*_curves(report), *_worst(report)]
    return Section("boxes", say("What it finds", "找到了什么"), blocks)


def boxed_data(report: Report) -> list[Block]:
    """Some of the pictures with what is annotated in them."""
    if report.facts["task"] != TASK:
        return []
    every = report.data.open_out_of_fold or report.data.open_test or ()
    some = every[:: max(1, -(-len(every) // _MOST_ON_SHEET))]
    drawn = []
    for answer in some:
        opened = small_picture(answer.input)
        if opened is not None:
            drawn.append(with_outlines(*opened, [Outline(_xyxy(box), _TRUE) for box in answer.target]))
    if not drawn:
        return []
    words = say(
        "{count} of the pictures, with what is annotated in them.", "其中 {count} 张图片及其标注框。", count=len(drawn)
    )
    return [Pictures(words, [PictureCard(data_uri(sheet(drawn, 6, 150)), words, [], "")])]


def _curves(report: Report) -> list[Block]:
    truths, found = _arrays(report)
    labels = list(report.labels)[:_MOST_CURVES]
    curves = {label: precision_recall(match_class(truths, found, number))[1] for number, label in enumerate(labels)}
    known = {label: values for label, values in curves.items() if np.isfinite(values).all()}
    if not known:
        return []
    caption = say("Precision over recall, at an overlap of at least one half", "精确率随召回率的变化（重叠不低于一半）")
    words = say(
        "To the right, more of what is there is found; the higher the line, the fewer false finds come with it.",
        "越往右，找到的越多；线越高，伴随的误报越少。",
    )
    columns = [
        Column(say("class", "类别")),
        *(Column(say("recall {value}", "召回率 {value}", value=f"{value}%"), "number") for value in _READ_AT),
    ]
    rows: list[list[Part]] = [
        [named(label), *(percent(float(values[at]), 0) for at in _READ_AT)] for label, values in known.items()
    ]
    numbers = Table(say("The same as numbers", "同样内容的数字"), columns, rows)
    return [
        Figure(caption, precision_plot({label: values.tolist() for label, values in known.items()}), words, numbers)
    ]


def _arrays(report: Report) -> tuple[list[Boxes], list[Detections]]:
    index = {label: number for number, label in enumerate(report.labels)}
    truths, found = [], []
    for answer in report.open_answers:
        truths.append(
            Boxes(
                np.array([_xyxy(box) for box in answer.target], float).reshape(-1, 4),
                np.array([index[box["category"]] for box in answer.target], np.int64),
                np.array([bool(box.get("iscrowd")) for box in answer.target], np.bool_),
            )
        )
        found.append(
            Detections(
                np.array([_xyxy(box) for box in answer.answer], float).reshape(-1, 4),
                np.array([index[box["category"]] for box in answer.answer], np.int64),
                np.array([box["score"] for box in answer.answer], float),
            )
        )
    return truths, found


def _worst(report: Report) -> list[Block]:
    truths, found = _arrays(report)
    judged = [_judge(*row) for row in zip(report.open_answers, truths, found, strict=True)]
    counted = say(
        "On {source}, taking what has a score of at least {sure}: {found} boxes were found, {missed} were missed, and "
        "{wrong} were seen where there is none.",
        "在{source}上，取分数不低于 {sure} 的结果：找到 {found} 个框，漏掉 {missed} 个，误报 {wrong} 个。",
        source=report.answers_come_from,
        sure=plain(_SURE, 1),
        found=sum(len(one.found) for one in judged),
        missed=sum(len(one.missed) for one in judged),
        wrong=sum(len(one.wrong) for one in judged),
    )
    worst = sorted((one for one in judged if one.errors), key=lambda one: -one.errors)[:_MOST_PICTURES]
    cards = [card for one in worst if (card := _card(one)) is not None]
    if worst and not cards:
        gone = say("The pictures are not where they were, so none is shown.", "图片已不在原处，这里不显示。")
        return [Paragraph(sentences(counted, gone))]
    legend = say(
        "Pictures with the most errors first. Green: found; orange, dashed: missed; red: seen where there is none.",
        "错误最多的图片排在前面。绿色：找到的；橙色虚线：漏掉的；红色：误报的。",
    )
    return [Paragraph(counted), *([Pictures(legend, cards)] if cards else [])]


def _judge(answer: OpenAnswer, truth: Boxes, found: Detections) -> _Judged:
    """Match what is sure with what there is, surest first."""
    sure = np.flatnonzero(found.scores >= _SURE)
    shared = overlaps(found.boxes_xyxy, truth.boxes_xyxy, truth.ignored)
    free = np.ones(len(truth), np.bool_)
    right, wrong = [], []
    for number in sure:
        fits = (truth.labels == found.labels[number]) & (shared[number] >= _OVERLAP)
        open_ = np.flatnonzero(fits & free & ~truth.ignored)
        if len(open_):
            free[open_[shared[number, open_].argmax()]] = False
            right.append(Outline(_as_box(found.boxes_xyxy[number]), _FOUND))
        elif not (fits & truth.ignored).any():
            wrong.append(Outline(_as_box(found.boxes_xyxy[number]), _WRONG))
    missed = [
        Outline(_as_box(truth.boxes_xyxy[i]), _MISSED, dashed=True) for i in np.flatnonzero(free & ~truth.ignored)
    ]
    return _Judged(answer, tuple(right), tuple(missed), tuple(wrong))


def _card(judged: _Judged) -> PictureCard | None:
    opened = small_picture(judged.answer.input)
    if opened is None:
        return None
    drawn = with_outlines(*opened, [*judged.found, *judged.missed, *judged.wrong])
    fact: Phrase = say(
        "{found} found, {missed} missed, {wrong} wrong.",
        "找到 {found}，漏掉 {missed}，误报 {wrong}。",
        found=len(judged.found),
        missed=len(judged.missed),
        wrong=len(judged.wrong),
    )
    return PictureCard(data_uri(drawn), fact, [fact], judged.answer.place)


def _xyxy(box: dict) -> tuple[float, float, float, float]:
    x, y, width, height = box["bbox"]
    return x, y, x + width, y + height


def _as_box(row: np.ndarray) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(value) for value in row)
    return left, top, right, bottom
