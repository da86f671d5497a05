"""What a segmenter answered: every class's colour and share of the pixels, and the pictures with the most errors."""

from __future__ import annotations

from fewtune.data.mask import ClassIds
from fewtune.report.blocks import Block, Column, Paragraph, PictureCard, Pictures, Section, Table
from fewtune.report.data import OpenAnswer
from fewtune.report.facts import Report
from fewtune.report.overlays import mask_of, pixel_counts, side_by_side, swatch, wrong_share
from fewtune.report.phrase import named, percent, say
from fewtune.report.pictures import data_uri, small_picture

TASK = "segmentation"
_MOST_PICTURES = 12


def segmented(report: Report) -> Section | None:
    """Colours and pictures; nothing for other tasks."""
    if report.facts["task"] != TASK or not report.open_answers:
        return None
    masks = [(mask_of(answer.target).ids, mask_of(answer.answer).ids) for answer in report.open_answers]
    blocks: list[Block] = [_colours(report, masks), *_worst(report, masks)]
    return Section("masks", say("What it sees where", "哪里看成了什么"), blocks)


def _colours(report: Report, masks: list[tuple[ClassIds, ClassIds]]) -> Table:
    truth, answer = pixel_counts([one for one, _ in masks], [other for _, other in masks], len(report.labels))
    whole = max(1, int(truth.sum()))
    rows = [
        (named(label), swatch(number), percent(truth[number] / whole), percent(answer[number] / whole))
        for number, label in enumerate(report.labels)
    ]
    return Table(
        say("The classes' colours, and their shares of the pixels", "各类别的颜色及其像素占比"),
        (
            Column(say("class", "类别")),
            Column(say("colour", "颜色"), "plot"),
            Column(say("truth", "真实"), "number"),
            Column(say("model", "模型"), "number"),
        ),
        rows,
    )


def _worst(report: Report, masks: list[tuple[ClassIds, ClassIds]]) -> list[Block]:
    shares = [wrong_share(*pair) for pair in masks]
    order = sorted(range(len(shares)), key=lambda i: -shares[i])[:_MOST_PICTURES]
    cards = [_card(report.open_answers[i], masks[i], shares[i]) for i in order]
    found = [card for card in cards if card is not None]
    if not found:
        gone = say("The pictures are not where they were, so none is shown.", "图片已不在原处，这里不显示。")
        return [Paragraph(gone)]
    caption = say(
        "On {source}: the pictures with the largest share of wrong pixels first. Left: the truth; right: the model.",
        "在{source}上，错误像素比例最大的图片排在前面。左：真实；右：模型。",
        source=report.answers_come_from,
    )
    return [Pictures(caption, found)]


def _card(answer: OpenAnswer, masks: tuple[ClassIds, ClassIds], share: float) -> PictureCard | None:
    opened = small_picture(answer.input)
    if opened is None:
        return None
    fact = say("{share} of the pixels are wrong.", "{share} 的像素有误。", share=percent(share))
    return PictureCard(data_uri(side_by_side(opened[0], *masks)), fact, [fact], answer.place)
