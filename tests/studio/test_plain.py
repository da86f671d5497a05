"""Sentences of the library as the page says them: options by their names there, no folders, no marks."""

from __future__ import annotations

import re

import pytest

from fewtune.report.phrase import code, english, say
from fewtune.report.wording import reason
from fewtune.studio.plain import in_both, plain


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Give a longer --budget, or another --method.", "Give a longer time to spend, or another method."),
        ("Name it: --text, --label.", "Name it: Text column, Label column."),
        ("Raise --set max_tokens, or give --seed or --model.", "Raise setting max_tokens, or give seed or model."),
        ("in /home/somebody/data/a.csv", "in a.csv"),
        ("--labels and --text-column are no options of these", "--labels and --text-column are no options of these"),
    ],
)
def test_options_have_the_pages_names(said: str, expected: str) -> None:
    assert plain(said) == expected


def test_options_go_from_sentences_of_both_languages() -> None:
    said = in_both(say("Use {option}.", "请用 {option}。", option=code("--budget")))
    assert said == {"en": "Use time to spend.", "zh": "请用 “可用时间”。"}
    assert in_both(english("Use --method")) == {"en": "Use method", "zh": "Use “方法”"}
    why = in_both(reason("in the same time it finds less than partial does: --method full tries it"))
    assert not re.search("--", why["en"] + why["zh"])
