"""How good written replies are: perplexity, exact match, ROUGE-L; from numbers of each example, which can be weighted.

Perplexity is the exponential of the mean negative log probability of a token of the wanted reply, its end
included. ROUGE-L (Lin 2004) is the F1 of the longest common subsequence of words; here the mean over the examples.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from fewtune.data.conversation import Generated
from fewtune.types import FloatArray

# A word, or a sign of a script that is written without spaces.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_MOST_WORDS = 1000


def reply_metrics(answers: Sequence[Generated], wanted: Sequence[str], weights: FloatArray) -> dict[str, FloatArray]:
    """Metrics under several weightings.

    Args:
        answers: (n,) replies with the probabilities of the wanted ones.
        wanted: (n,) replies.
        weights: (draws, n) how often each example counts.

    Returns:
        `perplexity`, `exact_match`, `rouge_l`: (draws,) each; NaN where none of the examples tells.
    """
    log_probs = np.array([answer.log_prob or 0.0 for answer in answers])
    tokens = np.array([answer.tokens for answer in answers], float)
    said = np.array([answer.text is not None for answer in answers], float)
    exact = np.array([_same(answer.text, text) for answer, text in zip(answers, wanted, strict=True)], float)
    shared = np.array([rouge_l(answer.text or "", text) for answer, text in zip(answers, wanted, strict=True)])
    return {
        "perplexity": np.exp(-_mean(weights, log_probs, tokens)),
        "exact_match": _mean(weights, exact, said),
        "rouge_l": _mean(weights, shared * said, said),
    }


def _mean(weights: FloatArray, sums: FloatArray, counts: FloatArray) -> FloatArray:
    total = weights @ counts
    return np.where(total > 0, (weights @ sums) / np.where(total > 0, total, 1), np.nan)


def _same(text: str | None, wanted: str) -> bool:
    return text is not None and text.split() == wanted.split()


def rouge_l(text: str, wanted: str) -> float:
    """F1 of the longest common subsequence of words, case and punctuation aside; 0 to 1."""
    first, second = (_WORD.findall(some.lower())[:_MOST_WORDS] for some in (text, wanted))
    if not first or not second:
        return float(first == second)
    return 2 * _common(first, second) / (len(first) + len(second))


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        before = 0
        for j, other in enumerate(second, start=1):
            above = row[j]
            row[j] = before + 1 if word == other else max(above, row[j - 1])
            before = above
    return row[-1]
