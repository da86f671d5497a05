"""Passages to another language and back, with two translation models.

The way there is sampled and the way back is not: what was drawn by chance is then said in the likeliest words.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from fewtune.augment.protected import TOKEN, negations
from fewtune.backbones.seq2seq import TranslationModel
from fewtune.data.protection import marked
from fewtune.progress import Step
from fewtune.runtime.decoding import decode
from fewtune.runtime.sampling import Sampling

_LONGEST = 128
# Lengths in characters that a view may have beside its passage's, with so many added to both.
_SHORTEST_RATIO, _LONGEST_RATIO, _SLACK = 0.4, 2.5, 10
_MOST_KNOWN = 50_000
_CONTRACTION = re.compile("['’]")
_NUMBER = re.compile(r"\d[\d.,:/-]*[%‰°]?")


class OneWay:
    """A translation model, opened."""

    def __init__(self, model: TranslationModel, threads: int) -> None:
        """Open it. Raises UserError where it cannot be had."""
        parts = model.parts
        marks = parts.marks()
        self.marks = len(marks)
        self.subwords = parts.subwords(marks)
        self._words = parts.words(marks)
        self._network = parts.graph(threads=threads)

    def translations(
        self, passages: Sequence[str], *, sampling: Sampling | None = None, step: Step | None = None
    ) -> list[str]:
        """A translation of each passage, the characters that stand for spans in both."""
        sources = [self.subwords.encode_source(passage) for passage in passages]
        found = decode(self._network, sources, self._words, sampling=sampling, step=step)
        return [self.subwords.decode_target(ids) for ids in found]


class RoundTrip:
    """Two translation models, opened, the second of which leads back."""

    def __init__(self, there: TranslationModel, back: TranslationModel, threads: int) -> None:
        """Open both. Raises UserError where one cannot be had."""
        self._there, self._back = OneWay(there, threads), OneWay(back, threads)
        self._marks = min(self._there.marks, self._back.marks)
        # Views are asked for again: by the next rung, the next fit of a search, the next sitting.
        self._known: dict[tuple[str, tuple[int, ...], float], str] = {}

    def lacks(self, char: str) -> bool:
        """Whether one of the vocabularies lacks a character."""
        # Half of a pair that stands for one character is no character of Unicode.
        is_half = "\ud800" <= char <= "\udfff"
        return is_half or self._there.subwords.lacks(char) or self._back.subwords.lacks(char)

    def fits(self, text: str) -> bool:
        """Whether a passage can be translated at once."""
        if sum(number is not None for _, number in marked(text)) > self._marks:
            return False
        # No word has less than a character, so that short texts need not be counted.
        return len(text) < _LONGEST or len(self._there.subwords.encode_source(text).ids) <= _LONGEST

    def views(
        self, passages: Sequence[str], seeds: Sequence[tuple[int, ...]], share: float, *, step: Step | None = None
    ) -> list[str]:
        """A view of each passage; the passage itself where that would change what must not be changed.

        Args:
            passages: with characters that stand for spans.
            seeds: of each passage.
            share: of the words on the way that are drawn by chance.
            step: is told of every passage and way.
        """
        keys = [(passage, seed, share) for passage, seed in zip(passages, seeds, strict=True)]
        new = list(dict.fromkeys(key for key in keys if key not in self._known))
        if len(self._known) + len(new) > _MOST_KNOWN:
            self._known = {key: self._known[key] for key in keys if key in self._known}
        if new:
            made = self._made([passage for passage, _, _ in new], Sampling([seed for _, seed, _ in new], share), step)
            self._known |= {
                key: view if _says_the_same(key[0], view) else key[0] for key, view in zip(new, made, strict=True)
            }
        if step is not None:
            step.advance(2 * (len(keys) - len(new)))
        return [self._known[key] for key in keys]

    def _made(self, passages: Sequence[str], sampling: Sampling, step: Step | None) -> list[str]:
        return self._back.translations(self._there.translations(passages, sampling=sampling, step=step), step=step)

    def seconds(self, passages: Sequence[str]) -> float:
        """What views of these passages take."""
        sampling = Sampling([(place,) for place in range(len(passages))], 1.0)
        # The first run pays for allocations that later ones reuse.
        self._made(passages[:1], sampling.of([0]), None)
        started = time.perf_counter()
        self._made(passages, sampling, None)
        return time.perf_counter() - started


@lru_cache(maxsize=2)
def open_round_trip(there: TranslationModel, back: TranslationModel, threads: int) -> RoundTrip:
    """Two models opened, and kept for the process. Raises UserError where one cannot be had."""
    return RoundTrip(there, back, threads)


def fixed_spans(text: str) -> list[str]:
    """What a view must have as the text has it: numbers, placeholders, addresses, code, mentions."""
    return [span for span, _, _, _ in TOKEN.findall(text) if span and not _CONTRACTION.match(span)]


def masked_spans(text: str) -> list[str]:
    """Those of the fixed spans that no model is shown; numbers it copies better than what would stand for them."""
    return [span for span in fixed_spans(text) if not _NUMBER.fullmatch(span)]


def is_as_good_as_same(text: str, other: str) -> bool:
    """Whether two texts differ in case, spaces and punctuation alone."""
    first, second = ("".join(char for char in some.casefold() if char.isalnum()) for some in (text, other))
    return first == second


def _says_the_same(passage: str, view: str) -> bool:
    """Whether numbers, spans and negations are as many as before, and nothing much is missing or new."""
    if not view.strip() or Counter(fixed_spans(passage)) != Counter(fixed_spans(view)):
        return False
    if negations(passage) != negations(view):
        return False
    ratio = (len(view) + _SLACK) / (len(passage) + _SLACK)
    return _SHORTEST_RATIO <= ratio <= _LONGEST_RATIO
