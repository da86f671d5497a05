"""Words that are used alike: nearest neighbours among the word vectors of the encoders that are installed.

No thesaurus of Chinese is both permissively licensed and installed by a package, and WordNet may be
missing; the first layer of an encoder is a table of word vectors (as word2vec's, Mikolov et al. 2013,
arXiv:1301.3781), and it is there already. Neighbours are related, not always synonymous: "lunch" is
one of "breakfast". Opposites are neighbours too; the commonest are listed here and left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import islice

import numpy as np

from fewtune.augment.chinese import is_word
from fewtune.augment.protected import HAN, negates
from fewtune.backbones.bert_onnx import Q4Matrix
from fewtune.backbones.text_encoder import MiniLM, MultilingualE5, TextEncoder
from fewtune.types import FloatArray

_MOST = 5
# Cosines, after the mean was taken off; Chinese words that share a character need less.
_LEAST_CHINESE, _LEAST_SHARED, _LEAST_ENGLISH = 0.42, 0.33, 0.5
_HAN_WORD = re.compile(f"[{HAN}]{{2,6}}")
_ENGLISH_WORD = re.compile("[a-z]{3,}")
# At an end they tell that a piece is more than a word.
_PARTICLES = frozenset("的了着過过是也都很和在與与到有中不更最這这那及地得")
_ENDINGS = ("ing", "ed", "ly", "est", "er", "s")
_OPPOSITES = tuple(
    frozenset(pair.split("-"))
    for pair in "good-bad best-worst better-worse like-dislike love-hate boring-interesting boring-exciting "
    "cheap-expensive fast-slow quickly-slowly new-old big-small large-small high-low hot-cold early-late easy-hard "
    "easy-difficult happy-sad open-closed buy-sell win-lose rich-poor clean-dirty increase-decrease positive-negative "
    "right-wrong true-false male-female "
    "喜欢-讨厌 好看-难看 便宜-昂贵 干净-肮脏 高兴-难过 上涨-下跌 增加-减少 成功-失败 容易-困难 优点-缺点 "
    "安静-吵闹 满意-失望 开始-结束 上午-下午 男性-女性 正面-负面 积极-消极 "
    "喜歡-討厭 高興-難過 增加-減少 優點-缺點 滿意-失望".split()
)


class Neighbours:
    """The whole words among an encoder's vocabulary, with their vectors."""

    def __init__(self, words: list[str], vectors: FloatArray, least: float) -> None:
        """Look among (n, width) `vectors` for those that have a cosine of at least `least`."""
        centred = vectors - vectors.mean(axis=0)
        self._unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
        self._words = words
        self._index = {word: number for number, word in enumerate(words)}
        self._least = least

    def __contains__(self, word: str) -> bool:
        return word in self._index

    def cosine(self, word: str, other: str) -> float | None:
        """How alike two words are used; None where one is not known."""
        if word not in self or other not in self:
            return None
        return float(self._unit[self._index[word]] @ self._unit[self._index[other]])

    def near(self, word: str) -> list[tuple[str, float]]:
        """The nearest words with their cosines, nearest first; none where the word is not known."""
        number = self._index.get(word)
        if number is None:
            return []
        cosines = self._unit @ self._unit[number]
        near = np.flatnonzero(cosines >= self._least)
        order = near[np.argsort(-cosines[near], kind="stable")]
        return [(self._words[i], float(cosines[i])) for i in order if i != number]


@lru_cache(maxsize=65_536)
def chinese_neighbours(word: str) -> tuple[str, ...]:
    """Chinese words that are used like `word`, in either script."""
    table = _chinese_table()
    if table is None or len(word) < 2:
        return ()
    alike = (
        other
        for other, cosine in table.near(word)
        if not (other in word or word in other or negates(other) or {word, other} in _OPPOSITES)
        and (cosine >= _LEAST_CHINESE or (len(word) == len(other) and not set(word).isdisjoint(other)))
    )
    return tuple(islice(alike, _MOST))


@lru_cache(maxsize=65_536)
def english_neighbours(word: str) -> tuple[str, ...]:
    """English words that are used like `word`, which is in small letters, and have an ending like its own."""
    return () if len(word) < 3 else near_english(word, _MOST)


def near_english(word: str, most: int) -> tuple[str, ...]:
    """At most so many English words that are used like `word` and have an ending like its own, nearest first."""
    table = _english_table()
    if table is None:
        return ()
    alike = (
        other
        for other, _ in table.near(word)
        if other[:4] != word[:4] and _ending(other) == _ending(word) and {word, other} not in _OPPOSITES
    )
    return tuple(islice(alike, most))


def cosine(word: str, other: str) -> float | None:
    """How alike two English words are used, from -1 to 1; None where one of them is not known."""
    table = _english_table()
    return None if table is None else table.cosine(word, other)


def has_chinese() -> bool:
    """Whether the encoder is installed that Chinese neighbours are found in."""
    return MultilingualE5().info.installed


def has_english() -> bool:
    """Whether the encoder is installed that English neighbours are found in."""
    return MiniLM().info.installed


def knows_english(word: str) -> bool:
    """Whether a word, which is in small letters, is among those that English neighbours are found of."""
    table = _english_table()
    return table is not None and word in table


@cache
def _chinese_table() -> Neighbours | None:
    if not has_chinese():
        return None
    encoder = MultilingualE5()
    pieces = [piece for piece, _ in json.loads(encoder.parts.tokenizer_json)["model"]["vocab"]]
    rows = [
        row
        for row, piece in enumerate(pieces)
        # jieba's dictionary is of simplified Chinese: what it does not have is kept where it looks like a word.
        if _HAN_WORD.fullmatch(piece) and (is_word(piece) or _PARTICLES.isdisjoint((piece[0], piece[-1])))
    ]
    return Neighbours([pieces[row] for row in rows], _vectors(encoder, rows), _LEAST_SHARED)


@cache
def _english_table() -> Neighbours | None:
    if not has_english():
        return None
    encoder = MiniLM()
    vocabulary = json.loads(encoder.parts.tokenizer_json)["model"]["vocab"]
    words = {word: row for word, row in vocabulary.items() if _ENGLISH_WORD.fullmatch(word)}
    return Neighbours(list(words), _vectors(encoder, list(words.values())), _LEAST_ENGLISH)


def _vectors(encoder: TextEncoder, rows: Sequence[int]) -> FloatArray:
    table = encoder.parts.weights.tensors["embeddings.word_embeddings.weight"]
    if isinstance(table, Q4Matrix):
        return Q4Matrix(table.packed[rows], table.scales[rows]).dequantise()
    return np.asarray(table[rows], np.float32)


def _ending(word: str) -> str:
    return next((ending for ending in _ENDINGS if word.endswith(ending)), "")
