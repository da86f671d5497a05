"""General text for a translator to rehearse, drawn from its own vocabulary: no corpus is needed.

Words are drawn as often as SentencePiece saw them (its scores are logarithms of their shares), so that a sentence
looks like none that was ever written, yet holds what texts hold.
"""

from __future__ import annotations

import numpy as np

from fewtune.backbones.seq2seq import TranslatorParts
from fewtune.runtime.subwords import SPACE

_FEWEST, _MOST = 4, 24


def general_texts(parts: TranslatorParts, language: str, count: int, generator: np.random.Generator) -> list[str]:
    """`count` texts in a model's source language."""
    del language
    never = parts.source.never() | {parts.source.unknown, parts.source.end}
    known = [i for i, (piece, _, _) in enumerate(parts.source.pieces) if i not in never and piece != SPACE]
    shares = np.exp(np.array([parts.source.pieces[i][1] for i in known]))
    shares /= shares.sum()
    texts = []
    for length in generator.integers(_FEWEST, _MOST, count):
        drawn = generator.choice(known, int(length), p=shares)
        texts.append("".join(parts.source.vocabulary[i] for i in drawn).replace(SPACE, " ").strip())
    return texts
