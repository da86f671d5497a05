"""What is answered in the place of TextAttack's downloads."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from fewtune.attack.resources import RESOURCES
from fewtune.augment.neighbours import has_english
from fewtune.augment.wordnet import find_wordnet
from tests.conftest import needs_encoder

needs_wordnet = pytest.mark.skipif(find_wordnet() is None, reason="WordNet is not installed")


def test_stop_words_hold_the_negations() -> None:
    assert {"the", "not", "never"} <= set(RESOURCES["stop_words"]())


@needs_wordnet
def test_synonyms_are_of_every_sense_and_single_words() -> None:
    assert {"purchase", "bargain", "bribe"} <= set(RESOURCES["synonyms"](word="buy"))
    assert "purchase" in RESOURCES["synonyms"](word="Buying")
    assert not any("_" in word for word in RESOURCES["synonyms"](word="take"))
    assert list(RESOURCES["synonyms"](word="qwertz")) == []


@needs_wordnet
def test_parts_of_speech_depend_on_the_word_before() -> None:
    parts = RESOURCES["parts"]
    words = ["I", "want", "to", "order", "a", "house", "quickly"]
    assert parts(words=words) == ["i", "VERB", "to", "VERB", "a", "NOUN", "ADV"]
    assert parts(words=["an", "order"])[1] == "NOUN"


@pytest.mark.skipif(not has_english(), reason="the English encoder is not installed")
def test_neighbours_and_cosines_agree() -> None:
    near = RESOURCES["neighbours"](word="repair", most=20)
    assert near
    assert "repairing" not in near
    cosines = [RESOURCES["cosine"](pair=("repair", word)) for word in near]
    assert cosines == sorted(cosines, reverse=True)
    assert RESOURCES["cosine"](pair=("repair", "repair")) == pytest.approx(1, abs=1e-5)
    assert RESOURCES["cosine"](pair=("repair", "qwertz")) is None


@needs_encoder
def test_vectors_tell_like_sentences_from_others() -> None:
    texts = ["where is my parcel", "where is my package", "the app crashes", "where is my parcel"]
    found = RESOURCES["vectors"](texts=texts)
    rows = np.frombuffer(base64.b64decode(found["bytes"]), "<f4").reshape(4, found["width"])
    assert np.array_equal(rows[0], rows[3])
    assert rows[0] @ rows[1] > rows[0] @ rows[2]
