"""What holds for every augmentation in the catalog."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewtune import catalog
from fewtune.augment.protected import negates
from fewtune.augment.words import words_of
from fewtune.errors import RecipeError
from fewtune.interfaces import Augmentation

# What takes a model to make views has tests of its own.
NAMES = [name for name, some in catalog.augmentations().items() if not some.is_slow]
PROTECTED = (
    "42 3.5 2024-01-31 {name} {{user}} %s %(count)d %.2f $HOME ${HOME} <b> </br> https://example.org/a?b=c "
    "www.example.org me@example.org `x=y` snake_case v1.2.3 @someone #topic iPhone12".split()
)
NEGATIONS = ["not", "never", "no", "don't", "doesn't", "n't", "cannot", "without", "nicht"]
WORDS = [
    "the",
    "film",
    "was",
    "really",
    "wonderful",
    "actors",
    "played",
    "quickly",
    "and",
    "people",
    "watched",
    "stories",
]
CHINESE = ["酒店", "的", "房间", "干净", "服务", "热情", "，", "早餐", "飯店", "價格", "方便", "。"]
CHINESE_NEGATIONS = ["不喜欢", "没有空调", "無法", "别去", "未到"]
OTHER_TEXTS = [
    "",
    " ",
    "word",
    "😀😀🎉",
    "不",
    "好",
    "!?",
    "שלום עולם, מה שלומך היום",
    "مرحبا بالعالم كيف حالك اليوم",
    "これは日本語のテキストです",
    "मुझे यह फिल्म पसंद आई",
    "I love 北京 and the 天气 very much, 真的!",
    "a\tb\n\nc",
    "\ud800 lone",
]


def augmentation(name: str, strength: float = 0.3) -> Augmentation:
    return catalog.augmentations()[name](strength)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def check(name: str, text: str, count: int = 3) -> list[str]:
    views = augmentation(name).views(text, count, generator())
    assert views == augmentation(name).views(text, count, generator())
    assert len(views) == len(set(views)) <= count
    assert all(view.strip() and view.strip() != text.strip() for view in views)
    return views


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(pieces=st.lists(st.sampled_from([*WORDS, *PROTECTED, *NEGATIONS]), min_size=1, max_size=15))
def test_what_is_protected_survives(name: str, pieces: list[str]) -> None:
    text = " ".join(pieces)
    kept = Counter(piece for piece in pieces if piece in PROTECTED or piece in NEGATIONS)
    for view in check(name, text):
        for piece, count in kept.items():
            changed = name == "case" and piece in NEGATIONS
            assert (view.lower() if changed else view).count(piece) >= count, (text, view)
        assert _negations(view) == _negations(text)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(pieces=st.lists(st.sampled_from([*CHINESE, *CHINESE_NEGATIONS, "42", "{x}"]), min_size=1, max_size=12))
def test_what_is_protected_survives_in_chinese(name: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    for view in check(name, text):
        for char in "不没無别未":
            assert view.count(char) >= text.count(char), (text, view)
        for piece in ("42", "{x}"):
            assert view.count(piece) >= text.count(piece)
        if name != "punctuation":
            for mark in "，。":
                assert view.count(mark) == text.count(mark)


def _negations(text: str) -> int:
    return sum(negates(piece) for piece in words_of(text).pieces)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_is_taken(name: str, text: str) -> None:
    check(name, text)


@pytest.mark.parametrize("name", NAMES)
def test_odd_texts_are_taken(name: str) -> None:
    for text in OTHER_TEXTS:
        check(name, text)
    assert augmentation(name).views("😀", 3, generator()) == []
    assert augmentation(name).views("", 3, generator()) == []


@pytest.mark.parametrize("name", NAMES)
def test_ten_thousand_words(name: str) -> None:
    text = " ".join(WORDS * 833)
    (view,) = augmentation(name, 0.1).views(text, 1, generator())
    assert view != text


@pytest.mark.parametrize("name", NAMES)
def test_label_names_stay(name: str) -> None:
    kept = catalog.augmentations()[name](0.9, ["refund request", "退款"])
    for view in kept.views("my Refund Request was lost, where is it", 8, generator()):
        assert "Refund Request" in view
    for view in kept.views("我的退款请求在哪里呢朋友", 8, generator()):
        assert "退款" in view


@pytest.mark.parametrize("name", NAMES)
def test_strength_has_a_range(name: str) -> None:
    for strength in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(RecipeError, match="strength") as caught:
            augmentation(name, strength)
        assert "0.01 to 0.9" in caught.value.how


def test_views_depend_on_the_text_alone() -> None:
    some = catalog.augmentations()["swap"]()
    text = "one two three four five six"
    assert some.views(text, 2, generator(5)) == some.views(text, 2, generator(5))
    assert some.views(text, 2, generator(5)) != some.views(text, 2, generator(6))
