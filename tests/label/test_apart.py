"""Unlabelled texts of another kind are said with how far they are, and those of the same kind are not."""

from __future__ import annotations

import numpy as np
import pytest

from fewtune.label.apart import OTHER_KIND_CODE, find_other_kind, told_apart
from fewtune.report.finding_wording import finding_words

Pairs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def sides(tickets: Pairs) -> tuple[list[str], list[str]]:
    texts = [text for text, _ in tickets]
    order = np.random.default_rng(0).permutation(len(texts))
    return [texts[i] for i in order[::2]], [texts[i] for i in order[1::2]]


@pytest.fixture(scope="module")
def recipes() -> list[str]:
    things, ways = ["leeks", "lentils", "rice", "plums", "barley"], ["Simmer", "Roast", "Chop", "Soak", "Stir"]
    return [f"{way} the {thing} with thyme for {n} minutes" for n in (5, 20) for thing in things for way in ways]


def test_the_same_kind_is_hardly_told_apart_and_not_said(sides: tuple[list[str], list[str]]) -> None:
    known, texts = sides
    area = told_apart(texts, known)
    assert area is not None
    assert area < 0.7
    assert not list(find_other_kind(texts, known))


def test_another_kind_is_said_with_how_far_it_is_in_both_languages(
    sides: tuple[list[str], list[str]], recipes: list[str]
) -> None:
    (found,) = find_other_kind(recipes, sides[0])
    assert (found.level, found.code, found.count) == ("warning", OTHER_KIND_CODE, len(recipes))
    area = told_apart(recipes, sides[0])
    assert area is not None
    assert area > 0.95
    cases = f"{100 * area:.3f}".split(".")[0]
    what, how = finding_words(found.code, found.what, found.how, found.count)
    assert f"in {cases} of 100 cases" in what.en
    assert f"有 {cases} 次" in what.zh
    assert "请标注其中一些" in how.zh


def test_a_mixed_pool_is_less_far_and_said_too(sides: tuple[list[str], list[str]], recipes: list[str]) -> None:
    known, texts = sides
    mixed = told_apart([*texts[: len(recipes)], *recipes], known)
    far = told_apart(recipes, known)
    assert mixed is not None
    assert far is not None
    assert 0.6 < mixed < far


def test_of_a_handful_nothing_is_said(sides: tuple[list[str], list[str]], recipes: list[str]) -> None:
    known, _ = sides
    assert told_apart(recipes, known[:9]) is None
    assert told_apart(recipes, known[:1] * 50) is None
    assert not list(find_other_kind(recipes[:3], known))


@pytest.mark.parametrize(("area", "count", "said"), [(0.67, 400, False), (0.75, 400, True), (0.75, 20, False)])
def test_it_is_said_where_chance_does_not_explain_it(
    monkeypatch: pytest.MonkeyPatch, area: float, count: int, said: bool
) -> None:
    monkeypatch.setattr("fewtune.label.apart.told_apart", lambda *_: area)
    texts = [f"text {number}" for number in range(count)]
    assert bool(list(find_other_kind(texts, texts))) == said
