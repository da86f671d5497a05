from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fewtune
from fewtune import catalog
from fewtune.augment import neighbours, thesaurus
from fewtune.augment.english import english_synonyms
from fewtune.augment.neighbours import Neighbours
from fewtune.augment.policy import Policies
from fewtune.augment.synonym import SynonymReplacement
from fewtune.augment.wordnet import WordNet, find_wordnet
from fewtune.augment.words import words_of
from fewtune.backbones.text_encoder import MiniLM
from fewtune.errors import MissingExtraError, RecipeError
from fewtune.recipe import Recipe
from fewtune.types import Dataset, Example
from tests.conftest import needs_encoder


@pytest.mark.usefixtures("tiny_wordnet")
def test_inflection_is_kept() -> None:
    assert english_synonyms("film", "") == ("movie",)
    assert english_synonyms("films", "the") == ("movies",)
    assert english_synonyms("stopped", "") == ("halted",)
    assert english_synonyms("stopping", "") == ("halting",)
    assert english_synonyms("watching", "") == ("observing",)
    assert english_synonyms("cancelled", "") == ()  # not a regular form of its lemma
    assert english_synonyms("carries", "") == ("bears",)
    assert english_synonyms("carried", "") == ()  # the past of "bear" is irregular
    assert english_synonyms("took", "") == ()
    assert english_synonyms("mice", "") == ()
    assert english_synonyms("funniest", "") == ("oddest",)
    assert english_synonyms("bigger", "") == ("larger",)
    assert english_synonyms("quickly", "") == ("rapidly",)
    assert english_synonyms("nonsense", "") == ()


@pytest.mark.usefixtures("tiny_wordnet")
def test_part_of_speech_is_kept() -> None:
    assert english_synonyms("watch", "") == ()  # as often a noun as a verb
    assert english_synonyms("watch", "to") == ("observe",)
    assert english_synonyms("watch", "my") == ("ticker",)


@pytest.mark.usefixtures("tiny_wordnet")
def test_words_of_other_languages_are_left_alone() -> None:
    text = "das film war sehr gut"
    words = words_of(text)
    assert thesaurus.synonyms_for(words, "wordnet")(words.pieces, 2) == ()
    views = SynonymReplacement().views("The FILM was big", 1, np.random.default_rng(0))
    assert views[0] in ("The MOVIE was big", "The FILM was large")


@pytest.mark.skipif(find_wordnet() is None, reason="wordnet-base is not installed")
def test_the_real_wordnet() -> None:
    folder = find_wordnet()
    assert folder is not None
    wordnet = WordNet(folder)
    assert "movie" in wordnet.synonyms("film", "noun")
    assert "film" in wordnet.synonyms("movie", "noun")
    assert all(word.isalpha() for word in wordnet.synonyms("big", "adj"))
    assert "rapidly" in wordnet.synonyms("quickly", "adv")


def test_neighbours_are_near() -> None:
    vectors = np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    table = Neighbours(["a", "b", "c", "d"], vectors, 0.5)
    assert [word for word, _ in table.near("a")] == ["b"]
    assert table.near("unknown") == []


@needs_encoder
def test_chinese_neighbours_are_of_the_same_script() -> None:
    assert "计算机" in neighbours.chinese_neighbours("电脑")
    assert "讨厌" not in neighbours.chinese_neighbours("喜欢")
    for text, wanted in (("我的电脑坏了", "计算机"), ("我的飯店很遠", "酒店")):
        words = words_of(text)
        known = {
            word for index in words.free for word in thesaurus.synonyms_for(words, "neighbours")(words.pieces, index)
        }
        assert wanted in known
        codec = "gb2312" if "电" in text else "big5"
        assert all(word.encode(codec) for word in known)


@pytest.mark.skipif(not MiniLM().info.installed, reason="needs the extra [train]")
@pytest.mark.usefixtures("no_wordnet")
def test_english_without_wordnet() -> None:
    assert "movie" in neighbours.english_neighbours("film")
    assert "bad" not in neighbours.english_neighbours("good")
    views = SynonymReplacement().views("the film was great", 3, np.random.default_rng(0))
    assert views


@pytest.mark.usefixtures("no_wordnet")
def test_nothing_to_find_synonyms_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "has_english", lambda: False)
    monkeypatch.setattr(neighbours, "has_chinese", lambda: False)
    with pytest.raises(MissingExtraError, match="wordnet-base"):
        thesaurus.check_thesaurus(["the film was great and we liked it"], "neighbours")
    with pytest.raises(MissingExtraError, match="Chinese"):
        thesaurus.check_thesaurus(["酒店的房间很干净"], "neighbours")
    thesaurus.check_thesaurus(["les chambres sont propres et la ville est belle"], "neighbours")


@pytest.mark.usefixtures("tiny_wordnet")
def test_the_name_says_where_synonyms_come_from() -> None:
    assert policies().named(["synonym", "swap"]).full_name == "synonym:wordnet,swap"
    named = policies().named(["insertion:neighbours"])
    assert (named.name, named.full_name) == ("insertion", "insertion:neighbours")
    with pytest.raises(RecipeError, match="synonym:wordnt") as caught:
        policies().named(["synonym:wordnt"])
    assert "synonym:wordnet" in caught.value.how
    with pytest.raises(RecipeError, match="swap:wordnet"):
        policies().named(["swap:wordnet"])


@pytest.mark.usefixtures("no_wordnet")
def test_a_recipe_from_a_machine_with_another_thesaurus_is_refused() -> None:
    assert SynonymReplacement().full_name == "synonym:neighbours"
    recipe = Recipe(settings={"augment": "synonym:wordnet"})
    english, chinese = (
        Dataset("text-classification", (Example(text, "a"),), ("a", "b"), "data", "")
        for text in ("the film was great", "酒店的房间很干净")
    )
    with pytest.raises(RecipeError, match="WordNet") as caught:
        policies().of(english, recipe)
    assert "apt install wordnet-base" in caught.value.how
    if neighbours.has_chinese():
        assert policies().of(chinese, recipe)


@pytest.mark.usefixtures("tiny_wordnet")
def test_a_fit_keeps_where_its_synonyms_came_from(tickets: list[tuple[str, str]], tmp_path: Path) -> None:
    english = [(text, label) for text, label in tickets if text.isascii()]
    model = fewtune.fit(english, method="tfidf", augment="synonym", out=tmp_path / "model")
    assert model.manifest.recipe["augment"] == "synonym:wordnet"
    assert model.manifest.recipe["settings"]["augment"] == "synonym:wordnet"
    assert "jieba" in model.manifest.versions


def policies() -> Policies:
    return Policies(catalog.augmentations())
