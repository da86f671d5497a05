"""How far unlabelled texts are from the labelled ones: how well a classifier tells which is which.

A classifier two-sample test (Lopez-Paz & Oquab 2017, arXiv:1610.06545) on how the texts are written, by character
n-grams: no encoder is needed, and texts of one kind are hardly told apart where those of two are nearly always
(benchmarks/README.md, "Unlabelled data").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from fewtune.types import Finding

OTHER_KIND_CODE = "pool-told-apart"
_FOLDS = 5
# With fewer labelled texts than these nothing can be said.
_FEWEST = 10
# Of each side, and of each text: more would tell no better, and take longer.
_MOST_TEXTS = 500
_MOST_CHARACTERS = 1000
# In what share of cases they must be told apart, two standard errors off, to be worth a word.
_APART = 0.65


def told_apart(texts: Sequence[str], known: Sequence[str]) -> float | None:
    """How often a classifier tells of two texts, one of each side, which is of which: 0.5 is chance, 1 always.

    It is the area under the ROC curve on texts that the classifier has not seen, the mean of five folds.

    Args:
        texts, known: the two sides.

    Returns:
        None where one side is too small for any answer.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    sides = [_some(texts), _some(known)]
    if min(map(len, sides)) < _FEWEST:
        return None
    side = np.repeat([0, 1], [len(some) for some in sides])
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, dtype=np.float32)
    rows = vectorizer.fit_transform([text for some in sides for text in some]).tocsr()
    areas = []
    for train, valid in StratifiedKFold(_FOLDS, shuffle=True, random_state=0).split(rows, side):
        model = LogisticRegression(solver="liblinear", class_weight="balanced").fit(rows[train], side[train])
        areas.append(float(roc_auc_score(side[valid], model.decision_function(rows[valid]))))
    return float(np.mean(areas))


def find_other_kind(texts: Sequence[str], known: Sequence[str]) -> Iterator[Finding]:
    """That the pool is of another kind than what is labelled, with how far it is from it."""
    area = told_apart(texts, known)
    if area is None or area - 2 * _deviation(area, len(_some(texts)), len(_some(known))) < _APART:
        return
    yield Finding(
        "warning",
        OTHER_KIND_CODE,
        "The unlabelled texts, or many of them, are of another kind than the labelled ones: shown one of each, a "
        f"classifier tells which is which in {math.floor(100 * area + 1e-9)} of 100 cases (50: by chance).",
        "If the model is to read texts of that kind, label some of them; else give others, like the labelled ones.",
        count=len(texts),
    )


def _some(texts: Sequence[str]) -> list[str]:
    """At most so many different ones, from all over."""
    different = list(dict.fromkeys(text[:_MOST_CHARACTERS] for text in texts))
    return different[:: math.ceil(len(different) / _MOST_TEXTS) or 1]


def _deviation(area: float, first: int, second: int) -> float:
    """The standard error of an area under the curve (Hanley & McNeil 1982, Radiology 143)."""
    above, below = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (first - 1) * (above - area**2) + (second - 1) * (below - area**2)
    return math.sqrt(max(0.0, spread) / (first * second))
