from __future__ import annotations

import dataclasses
import re

import pytest

from fewtune.bundle.manifest import FileEntry, Manifest
from fewtune.bundle.model_card import escape, model_card, sentence_transformers_card
from fewtune.types import AnswerRules, Score, Scores, Threshold


def test_the_card_says_what_a_reader_needs(manifest: Manifest) -> None:
    files = {"model.onnx": FileEntry("0", 67_000_000), "recipe.toml": FileEntry("0", 300)}
    card = model_card(dataclasses.replace(manifest, files=files), "tickets.fewtune")
    for needed in (
        "Sorts texts into 3 classes",
        "About 88 of 100 new texts of the same kind get the right class; with 95% confidence between 70 and 95.",
        "It stands on 40 texts",
        "| Accuracy | 87.5 % | 70.0 % to 95.0 % (95%) |",
        "| F1 (macro) | 50.0 % | not known |",
        "| refund | 13 | 13 |",
        r"客服\_tickets.csv",
        "5-fold cross-validation",
        "| head:tiny-bert | 87.5 % (70.0 % to 95.0 %) | 0.410 | 1.5 | taken |",
        "| head:tiny-bert with synonym | 87.5 % (70.0 % to 95.0 %) | 0.410 | 1.5 |  |",
        "| tfidf | 87.5 % (70.0 % to 95.0 %) | 0.410 | 1.5 |  |",
        "not tried: lora: torch is not installed",
        "It reads the first 16 tokens",
        "MIT",
        "2.5 s and 100 MB on abacus with 1 thread.",
        "- model.onnx: 67.0 MB",
        "- recipe.toml: 0.3 kB",
        "- all of these: 67.0 MB",
    ):
        assert needed in card, needed


def test_the_card_says_what_each_share_of_errors_costs(manifest: Manifest) -> None:
    answered, error = Score(0.62, 0.5, 0.73, 40), Score(0.04, 0.01, 0.12, 40)
    thresholds = (Threshold(0.01, None, None, None), Threshold(0.05, 0.8127, answered, error))
    rules = AnswerRules(thresholds, (), 0.3)
    card = model_card(dataclasses.replace(manifest, answer_rules=rules), "t")
    assert "| 1% | not to be had with these labels | | |" in card
    assert "| 5% | 0.813 | 62.0 % (50.0 % to 73.0 %) | 4.0 % (1.0 % to 12.0 %) |" in card
    assert "scope.safetensors" in card
    assert "errors allowed" not in model_card(manifest, "t")


def test_an_interval_that_is_not_known_is_not_claimed(manifest: Manifest, scores: Scores) -> None:
    accuracy = {**manifest.scores["accuracy"], "low": None, "high": None}
    card = model_card(dataclasses.replace(manifest, scores={**manifest.scores, "accuracy": accuracy}), "t")
    assert "get the right class. Measured" in card
    assert "confidence between" not in card


def test_user_content_cannot_leave_its_place(manifest: Manifest) -> None:
    evil = "a|b\n\n# Big\n<img src=x onerror=alert(1)> [x](http://evil) `code` ~~gone~~"
    labels = (evil, *manifest.labels[1:])
    scores = dict(manifest.scores)
    scores["per_class"] = {label: scores["per_class"][old] for label, old in zip(labels, manifest.labels, strict=True)}
    scores["support"] = dict.fromkeys(labels, 13)
    data = {**manifest.data, "name": evil, "per_class": dict.fromkeys(labels, 13)}
    card = model_card(dataclasses.replace(manifest, labels=labels, scores=scores, data=data), evil)
    assert "<img" not in card
    assert "\n# Big" not in card
    assert "](http" not in card
    assert not re.search(r"(?<!\\)~~", card)
    pipes = {len(re.findall(r"(?<!\\)\|", line)) for line in card.splitlines() if line.startswith("| a")}
    assert pipes == {7}


@pytest.mark.parametrize(
    ("text", "shown"), [("a_b", r"a\_b"), ("1 < 2 & 3", "1 &lt; 2 &amp; 3"), ("\\|", r"\\\|"), ("好 评", "好 评")]
)
def test_escaping(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_many_classes_make_no_endless_card(manifest: Manifest) -> None:
    labels = tuple(f"class {i}" for i in range(200))
    card = model_card(dataclasses.replace(manifest, labels=labels), "t")
    assert "class 19, ..." in card
    assert "class 20" not in card


def test_scores_of_other_tasks_have_a_card_too(manifest: Manifest) -> None:
    chrf = {**manifest.scores["accuracy"], "value": 63.25, "low": 60.0, "high": 66.0}
    scores = {"chrf": chrf, "per_class": {}, "support": {}, "confusion": [], "gain_over_baseline": None, "how": "on it"}
    rungs = tuple({**rung, "scores": scores} for rung in manifest.rungs)
    card = model_card(dataclasses.replace(manifest, scores=scores, rungs=rungs, primary_metric="chrf"), "t")
    assert "| chrF | 63.250 | 60.000 to 66.000 (95%) |" in card
    assert "right class" not in card


def test_the_card_of_an_export_speaks_of_what_is_there(manifest: Manifest) -> None:
    card = sentence_transformers_card(manifest, "t")
    assert "SentenceTransformer" in card
    for absent in ("bundle.json", "model.onnx", "fewtune predict", "private/"):
        assert absent not in card
