from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from fewtune.augment.protected import negates, phrases
from fewtune.augment.words import joined, words_of


def free(text: str, keep: re.Pattern[str] | None = None) -> list[str]:
    words = words_of(text, keep)
    return [words.pieces[index] for index in words.free]


@settings(deadline=None)
@given(st.text(max_size=80))
def test_the_pieces_are_the_text(text: str) -> None:
    words = words_of(text)
    assert "".join(words.pieces) == text
    assert set(words.movable) <= set(words.free)


def test_what_may_change() -> None:
    assert free("It's {name}'s file, see `a b` or <b>bold</b>.") == ["It's", "file", "see", "or", "bold"]
    assert free("酒店iPhone12的房间") == ["酒店", "的", "房间"]
    assert free("飯店的房間，服務員") == ["飯店", "的", "房間", "服務員"]
    assert free("これは本です") == []
    assert free("naïve cafe\u0301 co-op") == ["naïve", "cafe\u0301", "co-op"]


def test_a_negated_word_stays_where_it_is() -> None:
    words = words_of("it is not good, but cheap")
    movable = [words.pieces[index] for index in words.movable]
    assert movable == ["it", "is", "but", "cheap"]
    words = words_of("我不喜欢这里")
    assert "喜欢" not in [words.pieces[index] for index in words.movable]


def test_negations() -> None:
    assert all(map(negates, ["not", "Never", "don't", "DON’T", "n't", "不", "没有", "無法", "nicht"]))
    assert all(map(negates, ["not-so-good", "No-one", "don't-care", "sans-papiers"]))
    assert not any(map(negates, ["note", "knot", "known", "好", "northern", "knot-like", "-"]))


def test_phrases_stand_as_words() -> None:
    keep = phrases(["art", "退款", " "])
    assert keep is not None
    assert free("Art and party", keep) == ["and", "party"]
    assert free("我要退款了", keep) == ["我要", "了"]
    assert phrases(["", " "]) is None


def test_no_white_space_is_left_double() -> None:
    assert joined(["", " ", "a", " ", "", " ", "b", " "]) == "a b"
