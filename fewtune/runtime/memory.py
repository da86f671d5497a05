"""The pair of the training data that is most like a text: what translators call a fuzzy match.

Pairs that share the most letter trigrams, weighted by how rare they are, are compared letter by letter: the score is
the share of both texts that stands in common blocks (Ratcliff & Metzener 1988; difflib). Training content stays in a
bundle's `private` folder, so that without it there are no matches.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fewtune.bundle.write import PRIVATE
from fewtune.errors import RecipeError
from fewtune.interfaces import Inputs

_TRAINED = "out_of_fold.jsonl"
_COMPARED = 5
# Less alike texts help nobody.
_LEAST_SCORE = 0.5
_AT_ONCE = 512
COLUMNS = ("match", "match_source", "match_score")


@dataclass(frozen=True, slots=True)
class Match:
    """A translation of the training data.

    Attributes:
        translation: the training data's.
        source: what it translates.
        score: how much the source is like the text, from 0 to 1.
    """

    translation: str
    source: str
    score: float


class Memory:
    """Pairs of the training data, to be looked up."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Keep the pairs, (source, translation)."""
        self._pairs = list(pairs)

    @cached_property
    def _index(self) -> tuple[Any, Any]:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3))
        return vectorizer, vectorizer.fit_transform([source for source, _ in self._pairs]).T.tocsr()

    def matches(self, texts: Sequence[str]) -> list[Match | None]:
        """The most alike pair of each text; None where none is alike."""
        if not self._pairs or not any(source.strip() for source, _ in self._pairs):
            return [None] * len(texts)
        vectorizer, table = self._index
        found: list[Match | None] = []
        for start in range(0, len(texts), _AT_ONCE):
            some = texts[start : start + _AT_ONCE]
            near = vectorizer.transform(some) @ table
            found += [self._best(text, near[row]) for row, text in enumerate(some)]
        return found

    def _best(self, text: str, near: Any) -> Match | None:
        order = np.lexsort((near.indices, -near.data))[:_COMPARED]
        best: Match | None = None
        for place in near.indices[order]:
            source, translation = self._pairs[place]
            score = SequenceMatcher(None, text, source, autojunk=False).ratio()
            if score >= (_LEAST_SCORE if best is None else np.nextafter(best.score, 2)):
                best = Match(translation, source, score)
        return best


def read_memory(bundle: Path) -> Memory:
    """The pairs that a bundle for translation learnt from.

    Raises:
        RecipeError: it keeps no training content, or is of another task.
    """
    path = bundle / PRIVATE / _TRAINED
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        pairs = [(str(row["input"]), str(row["target"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        raise RecipeError(
            "This bundle keeps no training data to look matches up in.",
            where=str(path),
            how="Use the bundle that fit wrote, with its folder private, or leave --matches out.",
        ) from None
    return Memory(pairs)


def with_matches(inputs: Inputs, memory: Memory) -> tuple[Inputs, list[Match | None]]:
    """Inputs with what is alike in the training data in columns of their own, and the matches."""
    found = memory.matches(inputs.values)
    cells = [("", "", "") if one is None else (one.translation, one.source, f"{one.score:.2f}") for one in found]
    rows = tuple((*row, *more) for row, more in zip(inputs.table.rows, cells, strict=True))
    table = replace(inputs.table, columns=(*inputs.table.columns, *COLUMNS), rows=rows)
    return replace(inputs, table=table), found
