"""Chinese words and characters: where words end (jieba), and which script a text is written in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fewtune.augment.protected import HAN, KANA
from fewtune.errors import MissingExtraError

if TYPE_CHECKING:
    from jieba import Tokenizer

_HAN = re.compile(f"[{HAN}]")
_KANA = re.compile(f"[{KANA}]")


def is_han(piece: str) -> bool:
    """Whether a piece of text begins with a Han character."""
    return _HAN.match(piece) is not None


def is_chinese(text: str) -> bool:
    """Whether a text has Han characters, and no kana, which would make it Japanese."""
    return _HAN.search(text) is not None and _KANA.search(text) is None


def check_segmenter(texts: Iterable[str]) -> None:
    """Raises MissingExtraError where a text is Chinese and jieba is not installed."""
    if find_spec("jieba") is None and any(map(is_chinese, texts)):
        raise MissingExtraError("augment", needed_for="Augmenting Chinese text by words")


@lru_cache(maxsize=16_384)
def segment(run: str) -> tuple[str, ...]:
    """The words of a run of Han characters.

    Raises:
        MissingExtraError: jieba is not installed.
    """
    return tuple(_segmenter().cut(run))


@cache
def _segmenter() -> Tokenizer:
    try:
        from jieba import Tokenizer
    except ImportError:
        raise MissingExtraError("augment", needed_for="Augmenting Chinese text by words") from None
    segmenter = Tokenizer()
    # jieba would keep its table in a folder that all users share, and read from there what anyone put.
    segmenter.FREQ, segmenter.total = segmenter.gen_pfdict(segmenter.get_dict_file())
    segmenter.initialized = True
    return segmenter


def is_word(word: str) -> bool:
    """Whether jieba's dictionary, which is of simplified Chinese, has a word."""
    return _segmenter().FREQ.get(word, 0) > 0


def written_in(text: str, codec: str) -> bool:
    """Whether every character is in the repertoire of `gb2312` (simplified) or `big5` (traditional)."""
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def codec_of(text: str) -> str:
    """`big5` where a text is in traditional characters, else `gb2312`; by the Han characters that only one has."""
    han = _HAN.findall(text)
    only_big5 = sum(not written_in(char, "gb2312") for char in han)
    only_gb2312 = sum(not written_in(char, "big5") for char in han)
    return "big5" if only_big5 > only_gb2312 else "gb2312"
