"""What TextAttack would download, from what is installed here: the answers to the worker's questions."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from fewtune.augment.chinese import is_han
from fewtune.augment.english import FUNCTION_WORDS, every_synonym, likely_part
from fewtune.augment.neighbours import cosine, near_english
from fewtune.augment.protected import NEGATIONS
from fewtune.backbones.text_encoder import MiniLM, MultilingualE5, TextEncoder
from fewtune.runtime.threads import usable_cores

# Of neighbours among our vectors the least cosine is 0.5, among counter-fitted ones 0.8: thresholds mean those.
_SPREAD = 0.4
# The names that TextAttack knows parts of speech by (Petrov et al. 2012, arXiv:1104.2086).
_UNIVERSAL = {"noun": "NOUN", "verb": "VERB", "adj": "ADJ", "adv": "ADV"}


@cache
def sentence_encoder(chinese: bool = False) -> TextEncoder:
    """What tells how alike two sentences are; the English encoder where it is installed and they are not Chinese."""
    return MiniLM() if MiniLM().info.installed and not chinese else MultilingualE5()


def _stop_words() -> list[str]:
    return sorted(FUNCTION_WORDS | NEGATIONS)


def _synonyms(word: str) -> Sequence[str]:
    return every_synonym(word)


def _neighbours(word: str, most: int) -> Sequence[str]:
    return near_english(word, most)


def _cosine(pair: Sequence[str]) -> float | None:
    found = cosine(*pair)
    return None if found is None else 1 - _SPREAD * (1 - found)


def _parts(words: Sequence[str]) -> list[str]:
    lower = [word.lower() for word in words]
    pairs = zip(lower, ["", *lower], strict=False)
    # Words with a grammatical task may only stand for themselves.
    return [_UNIVERSAL.get(likely_part(word, before), word) for word, before in pairs]


def _vectors(texts: Sequence[str]) -> dict[str, Any]:
    encoder = sentence_encoder(any(is_han(char) for text in texts for char in text))
    known = _remembered(encoder.info.name)
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if len(known) + len(new) > _MOST_REMEMBERED:
        known.clear()
        new = list(dict.fromkeys(texts))
    known.update(zip(new, encoder.features(new, threads=usable_cores()), strict=True))
    rows = np.array([known[text] for text in texts], "<f4")
    return {"width": rows.shape[1], "bytes": base64.b64encode(rows.tobytes()).decode()}


_MOST_REMEMBERED = 20_000


@lru_cache
def _remembered(encoder: str) -> dict[str, np.ndarray]:
    """Vectors of the texts that were asked for last: an attack compares the same one again and again."""
    del encoder
    return {}


RESOURCES: Mapping[str, Callable[..., Any]] = {
    "stop_words": _stop_words,
    "synonyms": _synonyms,
    "neighbours": _neighbours,
    "cosine": _cosine,
    "vectors": _vectors,
    "parts": _parts,
}
