"""General text for a translator to rehearse, drawn from its own vocabulary: no corpus is needed.

Words are drawn as often as the vocabulary's maker saw them, so that a sentence looks like none that was ever written,
yet holds what texts hold.
"""

from __future__ import annotations

import numpy as np

from fewtune.backbones.translator import TranslatorParts
from fewtune.runtime.subwords import SPACE

_FEWEST, _MOST = 4, 24


def general_texts(parts: TranslatorParts, language: str, count: int, generator: np.random.Generator) -> list[str]:
    """`count` texts in a model's source language."""
    del language
    pieces, shares = parts.spoken()
    texts = []
    for length in generator.integers(_FEWEST, _MOST, count):
        drawn = generator.choice(len(pieces), int(length), p=shares)
        texts.append("".join(pieces[i] for i in drawn).replace(SPACE, " ").strip())
    return texts
