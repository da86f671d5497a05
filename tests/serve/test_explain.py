from __future__ import annotations

import pytest

pytest.importorskip("fastapi")

from fewtune.serve.explain import Segment, occlusions, segments, weight


def test_words_and_characters() -> None:
    found = segments("It's a 快递, e-mail!", most_parts=99)
    assert "".join(segment.text for segment in found) == "It's a 快递, e-mail!"
    assert [segment.text for segment in found if segment.is_part] == ["It's", "a", "快", "递", "e-mail"]
    assert segments("", most_parts=9) == []
    assert segments("?!", most_parts=9) == [Segment("?!", False)]
    assert [s.text for s in segments("ab漢字カナcd", most_parts=9)] == ["ab", "漢", "字", "カ", "ナ", "cd"]


def test_long_texts_get_coarser_parts() -> None:
    text = " ".join(f"word{i}" for i in range(1000))
    found = segments(text, most_parts=64)
    assert "".join(segment.text for segment in found) == text
    assert 32 < sum(segment.is_part for segment in found) <= 64


def test_each_part_is_left_out_once() -> None:
    assert occlusions(segments("a b c", most_parts=9)) == [" b c", "a  c", "a b "]


def test_weights_tell_for_and_against_even_near_certainty() -> None:
    assert weight(0.9, 0.5) == pytest.approx(2.197, abs=1e-3)
    assert weight(0.5, 0.9) < 0
    assert weight(1.0, 0.999) > 1
    assert weight(0.3, 0.3) == 0
