"""Single examples: texts to read, pictures to look at."""

from __future__ import annotations

from collections.abc import Iterable

from fewtune.report.blocks import Block, Card, Cards, Paragraph, PictureCard, Pictures
from fewtune.report.facts import Report
from fewtune.report.phrase import say
from fewtune.report.pictures import data_uri, sheet, small_picture

TASK = "image-classification"
_LONGEST_TEXT = 500
_MOST_ON_SHEET = 24
_MOST_PX = 240


def to_be_seen(report: Report, cards: Iterable[Card]) -> list[Block]:
    """Texts as they are; where pictures are classified, the pictures, as far as they are still where they were."""
    cards = list(cards)
    if report.facts["task"] != TASK:
        return [Cards(cards)]
    seen = [_picture(card) for card in cards]
    found = [card for card in seen if card is not None]
    lost = [Card(card.text, card.facts, card.place) for card, one in zip(cards, seen, strict=True) if one is None]
    blocks: list[Block] = []
    if found:
        blocks.append(Pictures(None, found))
    if lost:
        gone = say("Pictures that are not where they were: {count}.", "有 {count} 张图片已不在原处。", count=len(lost))
        blocks += [Paragraph(gone, "aside"), Cards(lost)]
    return blocks


def contact_sheet(report: Report) -> list[Block]:
    """Some of the pictures that the model learnt from, class by class; nothing for other tasks."""
    if report.facts["task"] != TASK:
        return []
    every = sorted(report.data.out_of_fold or (), key=lambda answer: answer.label)
    drawn = []
    for answer in every[:: max(1, -(-len(every) // _MOST_ON_SHEET))]:
        opened = small_picture(answer.text, _MOST_PX)
        if opened is not None:
            drawn.append(opened[0])
    if not drawn:
        return []
    words = say("{count} of the pictures, class by class.", "其中 {count} 张图片，按类别排列。", count=len(drawn))
    return [Pictures(words, [PictureCard(data_uri(sheet(drawn, 6, 150)), words, [], "")])]


def readable(text: str) -> str:
    """A text with its lines, cut where nobody would read on."""
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT].rstrip() + " …"


def _picture(card: Card) -> PictureCard | None:
    opened = small_picture(card.text, _MOST_PX)
    return None if opened is None else PictureCard(data_uri(opened[0]), card.facts[0], card.facts, card.place)
