"""How a model of each task is used, for the commands and sentences of the report."""

from __future__ import annotations

from dataclasses import dataclass

from fewtune.report.phrase import Phrase, say


@dataclass(frozen=True, slots=True)
class Use:
    """What goes in and what comes out.

    Attributes:
        new: stands in a command for what the model has not seen.
        test: stands in a command for labelled data.
        out: what `predict --out` writes to.
        answers: what `predict` does, as a sentence.
        look: what to look at first, as a sentence.
    """

    new: str
    test: str
    out: str
    answers: Phrase
    look: Phrase


_COLUMNS = say(
    "This adds the columns prediction and confidence to a table.",
    "下面的命令会在表格中加上 prediction（预测）和 confidence（置信度）两列。",
)
_UNSURE = say(
    "Try it on new inputs, and look first at those where its confidence is low.",
    "可以拿新的输入试用，并优先查看置信度低的那些。",
)
_BY_EYE = say(
    "Try it on new inputs, and look at some of its answers yourself.", "可以拿新的输入试用，并亲自查看一些回答。"
)
_TABLE = Use("NEW.csv", "TEST.csv", "predictions.csv", _COLUMNS, _UNSURE)
_USES = {
    "image-classification": Use(
        "PICTURES",
        "TEST_FOLDER",
        "predictions.csv",
        say(
            "This writes a table with a prediction and a confidence for each picture.",
            "下面的命令会写出一个表格，每张图片一行预测和置信度。",
        ),
        _UNSURE,
    ),
    "object-detection": Use(
        "PICTURES",
        "TEST.json",
        "boxes.json",
        say("This writes the boxes of each picture as COCO results.", "下面的命令会把每张图片的框写成 COCO 结果文件。"),
        _BY_EYE,
    ),
    "segmentation": Use(
        "PICTURES",
        "TEST_FOLDER",
        "masks",
        say(
            "This writes a mask for each picture, and the picture with the mask laid over it.",
            "下面的命令会为每张图片写出掩码，以及叠加了掩码的图片。",
        ),
        _BY_EYE,
    ),
    "translation": Use(
        "NEW.csv",
        "TEST.csv",
        "translations.csv",
        say("This adds the translations to a table as a column.", "下面的命令会在表格中加上一列译文。"),
        _BY_EYE,
    ),
    "text-generation": Use(
        "NEW.jsonl",
        "TEST.jsonl",
        "replies.jsonl",
        say("This writes a reply to each prompt.", "下面的命令会为每个提示写出回答。"),
        _BY_EYE,
    ),
}


def use_of(task: str) -> Use:
    """How models of a task are used."""
    return _USES.get(task, _TABLE)
