from __future__ import annotations

from fewtune.memo import Memo


def test_values_are_made_once_and_the_oldest_go() -> None:
    memo, made = Memo(2), []

    def value(key: str) -> str:
        def make() -> str:
            made.append(key)
            return key.upper()

        return memo.once(key, make)

    assert [value(key) for key in "abab"] == ["A", "B", "A", "B"]
    assert made == ["a", "b"]
    value("a")
    value("c")
    value("a")
    assert made == ["a", "b", "c"]
    value("b")
    assert made == ["a", "b", "c", "b"]
