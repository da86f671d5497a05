"""What other parts say in English has its Chinese here, and goes on having it when they change."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import fewtune
from fewtune.data.split import choose_resampling, hold_out
from fewtune.evaluate import intervals
from fewtune.evaluate.structured import BAYESIAN_BOOTSTRAP
from fewtune.report.finding_wording import finding_words
from fewtune.report.phrase import Phrase, english, listed, named, percent, plain, say, seconds, sentences, shortened
from fewtune.report.wording import (
    label_issue_reason,
    licence,
    method_name,
    method_of_interval,
    metric_of,
    note,
    noun_of,
    reason,
    resampling_name,
    task_name,
)

PACKAGE = Path(fewtune.__file__).parent


def is_translated(phrase: Phrase) -> bool:
    return 'lang="en"' not in phrase.zh and bool(re.search("[\u4e00-\u9fff]", phrase.zh))


@pytest.mark.parametrize("repeats", [60, 300, 1000])
def test_every_resampling(repeats: int) -> None:
    targets, groups = np.arange(repeats) % 3, np.arange(repeats)
    folds = choose_resampling(targets, groups, np.random.default_rng)
    for count in (len(folds.splits), folds.folds, 1):
        assert is_translated(resampling_name(folds.first(count).name)), folds.first(count).name


def test_a_hold_out() -> None:
    targets = np.arange(50) % 2
    held = hold_out(targets, np.arange(50), share=0.2, generator=np.random.default_rng(0))
    assert resampling_name(held.name).zh == "留出 20% 作验证，按类别分层，相近的样例不拆开"


def test_a_part_of_the_folds() -> None:
    phrase = resampling_name("5-fold cross-validation, stratified, grouped, repeated 2 times: 2 of 5 folds")
    assert phrase.zh == "5 折交叉验证，按类别分层，相近的样例不拆开，重复 2 次，只做 5 折中的 2 折"


@pytest.mark.parametrize("name", ["WILSON", "WILSON_EFFECTIVE", "STUDENT", "BOOTSTRAP", "PAIRED"])
def test_every_method_of_an_interval(name: str) -> None:
    method = getattr(intervals, name)
    assert is_translated(method_of_interval(method))
    wider = "variance times 1.5, as out-of-fold scores have (Bates, Hastie & Tibshirani 2023)"
    assert is_translated(method_of_interval(f"{method}; {wider}"))
    assert not is_translated(method_of_interval(f"{method}; something new"))


def test_the_interval_of_structured_answers() -> None:
    assert is_translated(method_of_interval(f"{BAYESIAN_BOOTSTRAP}; {intervals.OUT_OF_FOLD}"))


def test_every_finding() -> None:
    code = re.compile("[a-z0-9]+(?:-[a-z0-9]+)+")
    codes = {
        node.value
        for path in (
            *(PACKAGE / "data").glob("check*.py"),
            PACKAGE / "label" / "pool.py",
            PACKAGE / "next_labels.py",
        )
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and code.fullmatch(node.value)
    }
    codes -= {"label-studio"}  # a form of a file
    assert len(codes) >= 50
    # These are translated by their sentence, for the numbers in it.
    for name in codes - {"picture-sizes", "few-examples", "few-pairs"}:
        assert all(is_translated(part) for part in finding_words(name, "what", "how", 3)), name
    for sentence in (
        "The shorter sides have 20 to 640 pixels, median 320.",
        "There are 7 examples only.",
        "There are 7 pairs only.",
    ):
        assert is_translated(note(sentence)), sentence
    what, how = finding_words("languages", "The texts are in: en 60%, zh 40%.", "Nothing need be done.", 1)
    assert (what.zh, how.zh) == ("文本的语言：en 60%, zh 40%。", "不必处理。")


@pytest.mark.parametrize(
    "why",
    [
        "its views by back-translation would take about 90 s, and 12 s of the budget were left; "
        "a --budget longer by about 2 min tries it",
        "the budget was spent",
        "it reads en, and the data is also in zh, de",
        'it is not installed: pip install "fewtune[train]"',
        "it would take about 107 s, and 1 s of the budget were left; a --budget longer by about 3 min tries it",
        "after what the other rungs gave, it promises no more than they do",
        "it uses no pretrained model, and bert was asked for",
    ],
)
def test_reasons(why: str) -> None:
    assert is_translated(reason(why))


@pytest.mark.parametrize(
    "text",
    [
        "text from column 'text' (by its name)",
        "label from column '<b>' (by what it holds)",
        "read as GB18030, since it is not UTF-8",
        "left out 1 row without a text (a.csv:3)",
        "left out 12 rows without a label (a.csv:3, a.csv:4, a.csv:5, ...)",
    ],
)
def test_notes(text: str) -> None:
    assert is_translated(note(text))
    assert "<b>" not in note(text).zh


@pytest.mark.parametrize(
    "text",
    [
        "the model, not having seen it, gave '<i>' 3% and 'b c' 88%",
        "4 of the 5 most similar examples are labelled 'a', none 'b'",
    ],
)
def test_reasons_to_suspect_a_label(text: str) -> None:
    assert is_translated(label_issue_reason(text))
    assert "<i>" not in label_issue_reason(text).zh


def test_every_method_of_the_catalog() -> None:
    from fewtune import catalog
    from fewtune.recipe import Recipe

    for task in catalog.tasks().values():
        for method in catalog.methods(Recipe(), task):
            assert is_translated(method_name(method)), method


def test_what_is_not_known_is_shown_in_english_and_marked() -> None:
    for phrase in (reason("a <new> reason"), method_name("a <new> method"), task_name("a <new> task")):
        assert str(phrase.zh).startswith('<span lang="en">a &lt;new&gt;')
    assert metric_of("new").name == english("new")
    assert noun_of("new").many.en == "examples"
    assert licence("MIT").zh == "MIT"


def test_phrases_are_filled_each_in_its_language() -> None:
    inner = say("{n} texts", "{n} 条文本", n=3)
    outer = say("Of {inner} & {user}.", "{inner} 与 {user}。", inner=inner, user="<b>{x}")
    assert outer.en == "Of 3 texts & &lt;b&gt;{x}."
    assert outer.zh == "3 条文本 与 &lt;b&gt;{x}。"
    assert sentences(inner, inner) == Phrase(inner.en + " " + inner.en, inner.zh + inner.zh)
    assert listed(["a", inner]).zh == "a、3 条文本"


def test_what_is_the_same_in_both_languages_stands_once() -> None:
    assert say("F1", "F1").__html__() == "F1"
    assert say("a", "b").__html__() == ('<span class="en" lang="en">a</span><span class="zh" lang="zh-Hans">b</span>')


def test_long_names_are_cut_and_isolated() -> None:
    assert named("<i>" + "a" * 100) == '<bdi class="name">&lt;i&gt;' + "a" * 56 + "…</bdi>"
    assert shortened(" a\n b ", 9) == "a b"


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (percent(0.8751), "87.5%"),
        (percent(None), "–"),
        (percent(float("nan")), "–"),
        (plain(1.23456), "1.235"),
        (plain(float("nan")), "–"),
        (seconds(9.94), "9.9 s"),
        (seconds(71.4), "71 s"),
    ],
)
def test_numbers(written: str, wanted: str) -> None:
    assert written == wanted
