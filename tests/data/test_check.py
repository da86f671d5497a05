from __future__ import annotations

import pytest

from fewtune.data.check import check_language, check_text_classification
from fewtune.data.language import main_languages
from fewtune.types import Dataset, Example, Finding


def dataset(pairs: list[tuple[str, str]], source: str = "a.csv") -> Dataset:
    examples = tuple(Example(text, label, f"{source}:{i + 2}") for i, (text, label) in enumerate(pairs))
    return Dataset("text-classification", examples, tuple(sorted({label for _, label in pairs})), source, "")


def found(code: str, findings: list[Finding]) -> Finding:
    matching = [finding for finding in findings if finding.code == code]
    assert matching, f"{code} is not among {[finding.code for finding in findings]}"
    return matching[0]


GOOD = [(f"the weather in town {name} is fine today", "weather") for name in ("Rome", "Oslo", "Bonn", "Lima", "Cairo")]
GOOD += [(f"{name} scored twice in the second half", "sport") for name in ("Ann", "Bob", "Eve", "Kim", "Tom")]


def test_good_data_has_no_warning() -> None:
    assert all(finding.level == "info" for finding in check_text_classification(dataset(GOOD)))


def test_same_text_under_two_labels_names_both_places() -> None:
    data = dataset([*GOOD, ("Ann scored twice, in the second half!", "weather")])
    finding = found("same-text-two-labels", check_text_classification(data))
    assert finding.level == "warning"
    assert set(finding.places) == {"a.csv:7", "a.csv:12"}


def test_duplicates() -> None:
    assert found("duplicate-text", check_text_classification(dataset([*GOOD, GOOD[0]]))).count == 1


def test_classes_with_one_and_with_few() -> None:
    data = dataset([*GOOD, ("taxes rise", "money"), ("new film", "film"), ("old film", "film")])
    findings = check_text_classification(data)
    assert "'money'" in found("class-with-one-example", findings).what
    assert "'film'" in found("class-with-few-examples", findings).what


def test_labels_that_differ_in_case_or_spaces() -> None:
    data = dataset([*GOOD, ("Liv won the race", "Sport ")])
    assert "'sport'" in found("labels-alike", check_text_classification(data)).what


def test_long_texts() -> None:
    data = dataset([*GOOD, ("word " * 4000, "sport")])
    assert found("text-too-long", check_text_classification(data)).places == ("a.csv:12",)


def test_leakage_and_unseen_labels() -> None:
    test = dataset([(GOOD[0][0].upper(), "weather"), ("something else", "politics")], "test.csv")
    findings = check_text_classification(dataset(GOOD), test)
    assert found("test-in-training", findings).places == ("test.csv:2 = a.csv:2",)
    assert findings[0].code == "label-unseen-in-training"
    assert findings[0].level == "error"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is the parcel that I ordered?", "en"),
        ("这家酒店的服务很好", "zh"),
        ("Wo ist das Paket, das ich bestellt habe?", "de"),
        ("¿Dónde está el paquete que pedí?", "es"),
        ("Onde está a minha encomenda?", "pt"),
        ("荷物はどこですか", "ja"),
        ("где моя посылка", "ru"),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert main_languages([text]) == {language: 1.0}


def test_numbers_alone_are_in_no_language() -> None:
    assert main_languages(["123", "!!", ""]) == {}


def test_an_english_model_on_chinese_texts_is_warned_about() -> None:
    texts = ["这家酒店的服务很好", "the room was fine"]
    assert check_language(texts, ("en",), "model")[0].code == "language-unknown-to-model"
    assert check_language(texts, ("*",), "model") == []
