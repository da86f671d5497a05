"""What attacks did to the model, and texts that misled it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fewtune.report.blocks import Block, Bullets, Card, Cards, Column, Paragraph, Section, Table
from fewtune.report.data import Attacked
from fewtune.report.facts import Report
from fewtune.report.phrase import Part, Phrase, english, listed, named, percent, plain, say, sentences
from fewtune.report.sections.examples import readable

_MOST = 10


def attacks(report: Report) -> Section | None:
    """A line an attack, what stood in for what, and examples; nothing where the model was not attacked."""
    found = report.facts.get("attacks")
    if not found:
        return None
    blocks: list[Block] = [Paragraph(_introduction()), _table(found)]
    blocks += [Paragraph(words, "aside") for words in _stopped(found)]
    replaced = list(dict.fromkeys(line for attack in found for line in attack["replaced"]))
    if replaced:
        blocks.append(
            Paragraph(say("What stood in for TextAttack's downloads:", "代替 TextAttack 下载内容的是："), "aside")
        )
        blocks.append(Bullets([english(line) for line in replaced]))
    for attack in found:
        blocks += _examples(report.data.attacked or (), attack["recipe"])
    return Section("attacks", say("Under attack", "对抗攻击"), blocks)


def _introduction() -> Phrase:
    return say(
        "TextAttack (Morris et al. 2020) changed texts that the model has right, a little at a time, until its answer "
        "changed. The accuracy under attack is what is left; nobody checked that such texts still mean the same.",
        "TextAttack（Morris 等，2020）对模型答对的文本逐步做小改动，直到回答改变。“攻击后的准确率”是剩下的部分；"
        "改动后的文本是否仍是原意，没有人逐一核对。",
    )


def _table(found: list[Mapping[str, Any]]) -> Table:
    columns = (
        Column(say("recipe", "方法")),
        Column(say("texts", "文本"), "number"),
        Column(say("attacked", "受攻击"), "number"),
        Column(say("accuracy before", "攻击前准确率"), "number"),
        Column(say("under attack", "攻击后准确率"), "number"),
        Column(say("attacks that succeed", "攻击成功率"), "number"),
        Column(say("words changed", "改动的词"), "number"),
        Column(say("queries", "询问次数"), "number"),
    )
    return Table(say("Attacks and what they did", "各种攻击及其结果"), columns, [_row(attack) for attack in found])


def _row(attack: Mapping[str, Any]) -> tuple[Part, ...]:
    return (
        named(attack["recipe"]),
        attack["examples"],
        attack["attacked"],
        _score(attack["accuracy_before"]),
        _score(attack["accuracy_after"]),
        _score(attack["success_rate"]),
        _score(attack["words_changed"]),
        plain(attack["queries"], 0),
    )


def _score(score: Mapping[str, Any] | None) -> Part:
    if score is None:
        return "–"
    if score["low"] is None:
        return percent(score["value"], 0)
    low, high = (f"{100 * score[end]:.0f}" for end in ("low", "high"))
    return say(
        "{value} ({low} to {high})", "{value}（{low} 至 {high}）", value=percent(score["value"], 0), low=low, high=high
    )


def _stopped(found: list[Mapping[str, Any]]) -> Iterator[Phrase]:
    if any(attack["reduces"] for attack in found):
        yield say(
            "input-reduction takes words away while the answer stays: “words changed” is the share that could go.",
            "input-reduction 在回答不变的前提下删词：“改动的词”是可以删去的比例。",
        )
    short = [attack for attack in found if attack["stopped"]]
    if short:
        yield sentences(
            say(
                "The budget ended some attacks early: {names}.",
                "有些攻击因预算用完而提前结束：{names}。",
                names=listed(named(attack["recipe"]) for attack in short),
            )
        )


def _examples(texts: tuple[Attacked, ...], recipe: str) -> list[Block]:
    misled = [text for text in texts if text.recipe == recipe and text.outcome in ("broken", "reduced")]
    if not misled:
        return []
    words = say(
        "{recipe}: {count} texts, {shown} of them here.",
        "{recipe}：{count} 个文本，此处显示 {shown} 个。",
        recipe=named(recipe),
        count=len(misled),
        shown=min(_MOST, len(misled)),
    )
    return [Paragraph(words), Cards([_card(text) for text in misled[:_MOST]])]


def _card(text: Attacked) -> Card:
    fact = say(
        "The model says {before}; of “{attacked}” it says {after}.",
        "模型答 {before}；改为“{attacked}”后答 {after}。",
        before=named(text.prediction),
        attacked=readable(text.attacked),
        after=named(text.attacked_prediction),
    )
    return Card(readable(text.text), [fact], text.place)
