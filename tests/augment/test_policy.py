from __future__ import annotations

import numpy as np
import pytest

from fewtune import catalog
from fewtune.augment import chinese
from fewtune.augment.policy import DEFAULT_POLICIES, MOST_COPIES, Policies
from fewtune.errors import MissingExtraError, RecipeError
from fewtune.recipe import Recipe
from fewtune.types import Dataset, Example

TEXTS = ["one two three four five six", "seven eight nine ten eleven twelve", "😀"]


def policies() -> Policies:
    return Policies(catalog.augmentations())


def generator_of(text: str) -> np.random.Generator:
    return np.random.default_rng(list(text.encode()))


def dataset(texts: list[str]) -> Dataset:
    return Dataset("text-classification", tuple(Example(text, "a") for text in texts), ("a", "b"), "data", "")


def test_copies_are_dealt_out() -> None:
    policy = policies().named(["swap", "deletion", "punctuation"], copies=4)
    made = policy.views(TEXTS, generator_of)
    assert made.wanted == {"swap": 6, "deletion": 3, "punctuation": 3}
    assert [view.by for view in made.views if view.of == 0] == ["swap", "swap", "deletion", "punctuation"]
    assert made.owners.tolist() == sorted(made.owners.tolist())
    assert 2 not in made.owners
    assert policy.name == "swap,deletion,punctuation"


def test_views_follow_their_text() -> None:
    policy = policies().named(["swap", "keyboard"])
    forwards, backwards = (policy.views(texts, generator_of) for texts in (TEXTS, TEXTS[::-1]))
    for number, text in enumerate(TEXTS):
        ours = [view.text for view in forwards.views if view.of == number]
        theirs = [view.text for view in backwards.views if TEXTS[::-1][view.of] == text]
        assert ours == theirs


def test_what_a_recipe_asks_for() -> None:
    data = dataset(TEXTS)
    assert policies().of(data, Recipe(augment="none")) == [None]
    (named,) = policies().of(data, Recipe(augment="swap, deletion"))
    assert named is not None
    assert named.name == "swap,deletion"
    assert named.augmentations[0].keep == ("a", "b")
    (fixed,) = policies().of(data, Recipe(augment="auto", settings={"augment": "case"}))
    assert fixed is not None
    assert fixed.name == "case"
    tried = policies().of(data, Recipe())
    assert tried[0] is None
    assert [some.name for some in tried if some] == [",".join(names) for names in DEFAULT_POLICIES]


def test_mistakes_are_told() -> None:
    with pytest.raises(RecipeError, match="deletoin") as caught:
        policies().named(["deletoin"])
    assert "deletion" in caught.value.how
    with pytest.raises(RecipeError, match="No augmentation"):
        policies().named([" "])
    for copies in (0, MOST_COPIES + 1):
        with pytest.raises(RecipeError, match="copies"):
            policies().named(["swap"], copies=copies)


def test_without_jieba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chinese, "find_spec", lambda name: None)
    data = dataset(["酒店的房间很干净", "no"])
    with pytest.raises(MissingExtraError, match="augment"):
        policies().of(data, Recipe(augment="swap"))
    assert policies().of(data, Recipe()) == [None]
    assert policies().of(dataset(TEXTS), Recipe(augment="swap"))
