"""What a student of another kind learns: texts, and how sure the original is of every class of each.

The texts are those that are at hand, labelled or not, views of them, and halves of two of them put together: the
original says what is right for any input (Hinton, Vinyals & Dean 2015, arXiv:1503.02531). No PyTorch is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fewtune.augment.policy import Policies
from fewtune.interfaces import Content, ImpossibleError, RunContext
from fewtune.progress import Step
from fewtune.recipe import Recipe
from fewtune.runtime.classification import blended
from fewtune.runtime.text_graph import TextGraph
from fewtune.tune.augmented import AugmentedTexts
from fewtune.tune.linear_head import LinearHead, log_softmax
from fewtune.types import Dataset, Example, FloatArray, IntArray

FEWEST_TEXTS = 8
_MOST_TEXTS = 20_000
# Texts that are halves of two: so many for each, and at most.
_MIXED_EACH, _MOST_MIXED = 4, 3_000
# Share of the texts that tell how strongly to regularise, and what is tried.
_HELD_OUT = 0.2
_STRENGTHS = (1.0, 10.0, 100.0)
_ITERATIONS = 200


@dataclass(frozen=True, slots=True)
class Lessons:
    """n texts, and what the original makes of them.

    Attributes:
        texts: those at hand first, then their views, then halves of two.
        owners: (n, 2) indices of the texts that each is made of; twice the same where it is made of one.
        at_hand: how many are neither views nor halves.
        answers: (n, classes) probabilities.
    """

    texts: Sequence[str]
    owners: IntArray
    at_hand: int
    answers: FloatArray


def lessons(content: Content, examples: Sequence[Example], policies: Policies, run: RunContext) -> Lessons:
    """Ask the original.

    Args:
        content: of its bundle.
        examples: what may be learnt from.
        policies: make views.
        run: threads, randomness, progress.

    Raises:
        ImpossibleError: there are too few texts.
    """
    given = tuple(dict.fromkeys(str(example.input) for example in examples))[:_MOST_TEXTS]
    if len(given) < FEWEST_TEXTS:
        raise ImpossibleError(
            f"there are only {len(given)} texts to learn from; give some with --unlabeled, labels are not needed"
        )
    dataset = Dataset(content.task, tuple(Example(text) for text in given), (), "what may be learnt from", "")
    policy = policies.of(dataset, Recipe())[-1]
    viewed = AugmentedTexts.of(dataset, policy, run)
    mixed = _pairs(len(given), run.generator("lessons"))
    texts = [*viewed.texts, *(halves(given[i], given[j]) for i, j in mixed.tolist())]
    owners = np.concatenate([np.stack([viewed.owners, viewed.owners], axis=1), mixed])
    with run.progress.step("Ask the original", total=len(texts) * len(content.contracts)) as step:
        logits = [
            TextGraph(content.graphs[some.file], content.assets[some.tokenizer], threads=run.threads).run(
                texts, "logits", step=step
            )
            for some in content.contracts
        ]
    answers = np.exp(blended(logits, [some.weight for some in content.contracts]))
    return Lessons(texts, owners, len(given), answers)


def _pairs(count: int, generator: np.random.Generator) -> IntArray:
    """(m, 2) indices of two texts each."""
    wanted = min(_MIXED_EACH * count, _MOST_MIXED)
    return np.stack([generator.integers(count, size=wanted), generator.integers(count, size=wanted)], axis=1)


def halves(first: str, second: str) -> str:
    """The first half of one text and the second of the other: of the words, or where none are parted, the letters."""
    between = " " if " " in first and " " in second else ""
    start, end = (text.split() if between else list(text) for text in (first, second))
    return between.join([*start[: (len(start) + 1) // 2], *end[(len(end) + 1) // 2 :]])


def taught_head(rows: Any, taught: Lessons, run: RunContext) -> LinearHead:
    """A linear head that answers as the original does, regularised as texts that it has not seen ask for.

    Args:
        rows: (n, width) of the lessons' texts, dense or sparse.
        taught: n lessons.
        run: draws the texts that decide how strongly to regularise.
    """
    order = run.generator("held out").permutation(taught.at_hand)
    held_out = order[: max(1, round(_HELD_OUT * taught.at_hand))]
    learnt = np.flatnonzero(~np.isin(taught.owners, held_out).any(axis=1))
    with run.progress.step("Teach the student", total=2 * len(_STRENGTHS)) as step:
        tried = _heads(rows[learnt], taught.answers[learnt], _STRENGTHS, step)
        losses = [_loss(head, rows[held_out], taught.answers[held_out]) for head in tried]
        best = int(np.argmin(losses))
        return _heads(rows, taught.answers, _STRENGTHS[: best + 1], step)[-1]


def _heads(rows: Any, answers: FloatArray, strengths: Sequence[float], step: Step) -> list[LinearHead]:
    """For each strength the head of the least cross-entropy to the answers, each from where the last one ended."""
    from scipy.optimize import minimize
    from threadpoolctl import ThreadpoolController

    width, classes = rows.shape[1], answers.shape[1]
    wanted, place = answers.astype(np.float64), np.zeros((width + 1) * classes)

    def loss(flat: FloatArray, strength: float) -> tuple[float, FloatArray]:
        weight, bias = flat[:-classes].reshape(width, classes), flat[-classes:]
        log_probs = log_softmax(np.asarray(rows @ weight) + bias)
        missed = strength * (np.exp(log_probs) - wanted)
        gradient = np.concatenate([(weight + rows.T @ missed).ravel(), missed.sum(axis=0)])
        return 0.5 * float((weight * weight).sum()) - strength * float((wanted * log_probs).sum()), gradient

    heads = []
    # The optimiser's vectors are too short for a second thread.
    with ThreadpoolController().limit(limits=1, user_api="blas"):
        for strength in strengths:
            found = minimize(
                loss, place, (strength,), method="L-BFGS-B", jac=True, options={"maxiter": _ITERATIONS, "ftol": 1e-7}
            )
            place = found.x
            heads.append(LinearHead(place[:-classes].reshape(width, classes), place[-classes:]))
            step.advance()
    return heads


def _loss(head: LinearHead, rows: Any, answers: FloatArray) -> float:
    return float(-(answers * head.log_probs(rows)).sum(axis=1).mean())
