"""TextAttack's augmenters as augmentations of texts: `--augment textattack:wordnet`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fewtune.attack.environment import find_python
from fewtune.attack.process import JobError, the_process
from fewtune.augment.chinese import check_segmenter, is_chinese
from fewtune.augment.neighbours import has_english
from fewtune.augment.protected import negates, phrases
from fewtune.augment.wordnet import find_wordnet
from fewtune.augment.words import words_of
from fewtune.errors import InternalError, MissingExtraError, RecipeError
from fewtune.interfaces import Augmentation

# Name to TextAttack's class. Its others, clare and back_trans, need models that are downloads.
_AUGMENTERS = {
    "easy": "EasyDataAugmenter",
    "wordnet": "WordNetAugmenter",
    "embedding": "EmbeddingAugmenter",
    "insertion": "SynonymInsertionAugmenter",
    "checklist": "CheckListAugmenter",
    "charswap": "CharSwapAugmenter",
    "deletion": "DeletionAugmenter",
    "swap": "SwapAugmenter",
}
_NEED_WORDNET = frozenset({"easy", "wordnet", "insertion"})
# Texts that tell how long all will take.
_TRIED = 5
_ENGLISH = frozenset({"wordnet", "embedding", "insertion", "checklist"})


class TextAttackViews(Augmentation):
    """Views by one of TextAttack's augmenters; without a name, Easy Data Augmentation (Wei & Zou 2019).

    What must not change is kept from TextAttack, and a view that lost some of it is dropped.
    """

    name = "textattack"
    help = "TextAttack's augmenters, in its own environment"
    sources: ClassVar[tuple[str, ...]] = tuple(_AUGMENTERS)
    is_slow = True

    def __init__(self, strength: float = 0.1, keep: Sequence[str] = (), source: str = "easy") -> None:
        """Set it up; see `Augmentation`."""
        super().__init__(strength, keep)
        self.source = source
        self._kept = phrases(self.keep)

    @property
    def full_name(self) -> str:
        """With TextAttack's name for it."""
        return f"{self.name}:{self.source}"

    @property
    def shown_name(self) -> str:
        """The full name: one augmenter is not counted with another."""
        return self.full_name

    def check(self, texts: Sequence[str]) -> None:
        """See that it can be done.

        Raises:
            MissingExtraError: TextAttack, or what stands in for its downloads, is not installed.
            RecipeError: WordNet is not, or there is no English text for what changes English words.
        """
        find_python()
        check_segmenter(texts)
        where = f"--augment {self.full_name}"
        if self.source in _NEED_WORDNET and find_wordnet() is None:
            raise RecipeError(
                f"{self.full_name} needs WordNet, which is not installed.",
                where=where,
                how="Install it with: apt install wordnet-base, or python -m nltk.downloader wordnet",
            )
        if self.source == "embedding" and not has_english():
            raise MissingExtraError("train", needed_for=f"{self.full_name} (English word vectors)", where=where)
        if self.source in _ENGLISH and texts and all(map(is_chinese, texts)):
            raise RecipeError(
                f"{self.full_name} changes English words, and the texts are Chinese.",
                where=where,
                how="Use textattack:charswap, textattack:deletion or textattack:swap, or another augmentation.",
            )

    def seconds(self, texts: Sequence[str], count: int, *, threads: int = 1) -> float:
        """What `count` views of each text will take, after what they take of some."""
        del threads
        some = texts[:: max(1, len(texts) // _TRIED)][:_TRIED]
        spent = [self._timed(text, count) for text in some]
        # With the first, words are looked up for the first time.
        return float(np.mean(spent[1:] or spent)) * len(texts) if spent else 0.0

    def _timed(self, text: str, count: int) -> float:
        the_process().start()
        started = time.monotonic()
        self.views(text, count, np.random.default_rng(0))
        return time.monotonic() - started

    def views(self, text: str, count: int, generator: np.random.Generator) -> list[str]:
        """At most `count` views; none of a text that TextAttack cannot take."""
        words = words_of(text, self._kept)
        if not words.movable:
            return []
        movable = frozenset(words.movable)
        fixed = [
            piece
            for index, piece in enumerate(words.pieces)
            if index not in movable and any(char.isalnum() for char in piece)
        ]
        job = {
            "job": "augment",
            "augmenter": _AUGMENTERS[self.source],
            "text": text,
            "count": count,
            "share": self.strength,
            "fixed": fixed,
        }
        found: dict[str, None] = {}
        for _ in range(self._tries):
            try:
                made = the_process().do({**job, "seed": int(generator.integers(2**32))}, {})
            except JobError as error:
                if not error.of_the_text:
                    raise InternalError(f"TextAttack could not make a view: {error}.", where=text[:60]) from None
                break
            kept = (view for view in made if view.strip() and view.strip() != text.strip())
            whole = (view for view in kept if _holds(view, fixed) and _negations(view) == _negations(text))
            found |= dict.fromkeys(whole)
            if len(found) >= count:
                break
        return list(found)[:count]

    def view(self, text: str, generator: np.random.Generator) -> str:
        """One view."""
        return next(iter(self.views(text, 1, generator)), text)


def _holds(view: str, fixed: Sequence[str]) -> bool:
    """Whether a view holds what must not change, in its order."""
    at = 0
    for piece in fixed:
        at = view.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


def _negations(text: str) -> int:
    return sum(negates(piece) for piece in words_of(text).pieces)
