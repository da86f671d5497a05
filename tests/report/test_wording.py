"""What other parts say in English has its Chinese here, and goes on having it when they change."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape

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
from fewtune.tune.label_names import METHOD as LABEL_NAMES

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
    codes -= {"label-studio", "utf-8"}  # a form of a file, and its encoding
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
        "there is too little time: it needs 61 seconds at least, and has 40",
        "40 s are too short: it needs 90 s",
        "half an epoch would take about 80 s, and 12 s are its share",
        "it would take about 40 s, and 3 s are left of the budget",
        "it cannot be cut: it is tuned as a whole",
        "tuning 118 M weights at 16 texts a step takes about 4000 MB, and 900 MB are free; "
        "a smaller model or fewer layers would fit",
        "tuning 118 M weights at 16 texts a step takes about 4000 MB, and 2900 MB are free; "
        "--set batch_size=8 would fit",
        "no pair is short enough to learn from",
        "all examples have more than 256 tokens; raise --set max_tokens",
        "the loss became nan in step 12",
        "the loss became inf in step 12: try a lower --set learning_rate",
        "on all of the data, the loss became nan in step 12, at a lower learning rate too",
        "the weights became infinite or not a number by step 7, at a learning rate of 3e-05 too",
        "a frozen network learns nothing from mixup",
        "resnet takes pictures of one size only (size mismatch)",
        "my detector cannot be tuned on pictures of 640 x 480 pixels (AssertionError)",
        "my detector cannot be run by ONNX Runtime (no such operation)",
        "my detector as ONNX finds other boxes: 12% of them",
        "my segmenter as ONNX takes pictures of one size only (size mismatch)",
        "my segmenter as ONNX gives other logits: 0.25 off",
        "contrastive:my encoder, which it adds to, was left out",
        "vit gives no maps at an eighth, a sixteenth and a thirty-second of the size",
        "vit cannot be used for segmentation: it has no maps",
        "in 8-bit integers it computes something else than what was tuned (cosine 0.912)",
    ],
)
def test_reasons(why: str) -> None:
    assert is_translated(reason(why))
    assert str(reason(why).en) == escape(why)


def test_a_reason_within_a_reason_is_translated_too() -> None:
    why = "on all of the data, the loss became nan in step 12, at a lower learning rate too"
    assert reason(why).zh == "用全部数据训练时：第 12 步时损失变成了 nan；降低学习率后也是如此"
    assert '<span lang="en">something &lt;new&gt;' in reason("on all of the data, something <new>").zh


def test_every_obstacle_to_a_compression() -> None:
    obstacles = {
        value
        for path in (PACKAGE / "compress").glob("*.py")
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef) and function.name == "obstacle"
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
        for value in written(node.value)
    }
    assert len(obstacles) >= 5
    for obstacle in obstacles:
        assert is_translated(reason(obstacle)), obstacle


def written(node: ast.AST) -> list[str]:
    """The sentences that an expression can give, with a number in place of what is filled in."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) and " " in node.value else []
    if isinstance(node, ast.JoinedStr):
        return ["".join(filled(part) for part in node.values)]
    inner: list[ast.AST] = {
        ast.List: lambda some: some.elts,
        ast.Tuple: lambda some: some.elts,
        ast.Starred: lambda some: [some.value],
        ast.IfExp: lambda some: [some.body, some.orelse],
        ast.BinOp: lambda some: [some.left, some.right],
        ast.ListComp: lambda some: [some.elt],
    }.get(type(node), lambda _: [])(node)
    return [text for part in inner for text in written(part)]


def filled(part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        endings = part.value.body if isinstance(part.value, ast.IfExp) else None
        return str(endings.value) if isinstance(endings, ast.Constant) else "3"
    return str(part.value) if isinstance(part, ast.Constant) else ""


def notes_in(path: Path) -> list[str]:
    """Notes that a module makes: what is called so, appended to them, or returned by a function that is."""
    found: list[ast.AST] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [node.value] * any("note" in ast.unparse(target) for target in targets)
        elif isinstance(node, ast.Call):
            found += node.args * ("note" in ast.unparse(node.func))
            found += [word.value for word in node.keywords if word.arg == "notes"]
        elif isinstance(node, ast.FunctionDef) and "note" in node.name:
            found += [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value is not None]
    return [text for node in found for text in written(node)]


def test_every_note_of_the_readers() -> None:
    # These are filled in with words: `test_notes` has them.
    composed = {"3 from column 3 (3)", "left out 3 3 (3)"}
    notes = {
        note for folder in ("data", "tasks") for path in (PACKAGE / folder).rglob("*.py") for note in notes_in(path)
    }
    assert len(notes) >= 25
    for text in notes - composed:
        assert is_translated(note(text)), text


@pytest.mark.parametrize(
    "text",
    [
        "text from column 'text' (by its name)",
        "label from column '<b>' (by what it holds)",
        "read as GB18030, since it is not UTF-8",
        "left out 1 row without a text (a.csv:3)",
        "left out 12 rows without a label (a.csv:3, a.csv:4, a.csv:5, ...)",
        "labels are the folders' names",
        "from column 'en' (en) to column '<b>' (?)",
        "a glossary of 12 terms",
        "texts from column 'en'",
        "prompts from column 'question'",
        "prompts from column 'question', replies from column 'answer'",
        "left out 2 rows without a prompt or a reply (a.jsonl:3, a.jsonl:4)",
        "left out 1 greetings of the assistant before the first prompt (a.jsonl:3)",
        "left out 1 replies before which user and assistant do not take turns (a.jsonl:3)",
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
    assert is_translated(method_name(LABEL_NAMES))


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
