"""Inputs without labels: which of them are new, and what is to be said of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fewtune.data.duplicates import normalise
from fewtune.data.language import main_languages
from fewtune.data.picture import facts
from fewtune.interfaces import Task
from fewtune.types import Dataset, Example, Finding

_PLACES = 5
# Shares of the inputs from which another language is worth a word, and below which the labelled ones have none of it.
OTHER_LANGUAGE = 0.2
_SELDOM = 0.02
OTHER_LANGUAGE_CODE = "pool-in-another-language"
EMPTY, LABELLED, TEST, REPEAT = "empty", "labelled", "test", "repeat"


@dataclass(frozen=True, slots=True)
class Sifted:
    """Which of n inputs are new.

    Attributes:
        kept: their indices, in their order.
        left_out: indices of the others, by the reason: EMPTY, LABELLED, TEST or REPEAT.
    """

    kept: list[int]
    left_out: Mapping[str, list[int]]


def key_of(value: Any, task: Task) -> str:
    """What equal inputs share; empty for one that cannot be used."""
    if task.reads == "pictures":
        known = facts(str(value)) if value else None
        return known.sha256 if known and not known.error else ""
    return normalise(str(value))


def sift(values: Sequence[Any], labelled: Sequence[Any], tested: Sequence[Any], task: Task) -> Sifted:
    """Leave out what is empty, labelled already, test data, or a repeat; what nearly is so stays (see `groups_of`)."""
    stands = {key_of(some, task): LABELLED for some in labelled} | {key_of(some, task): TEST for some in tested}
    left_out: dict[str, list[int]] = {EMPTY: [], LABELLED: [], TEST: [], REPEAT: []}
    kept: list[int] = []
    for i, value in enumerate(values):
        key = key_of(value, task)
        reason = stands.get(key, "") if key else EMPTY
        (left_out[reason] if reason else kept).append(i)
        if key and not reason:
            stands[key] = REPEAT
    return Sifted(kept, left_out)


def groups_of(values: Sequence[Any], task: Task) -> list[int]:
    """Of each input the number of its group: those that are, or nearly are, the same share one."""
    examples = tuple(Example(value, None) for value in values)
    return task.groups(Dataset(task.name, examples, (), "", "")).tolist()


def repeats(chosen: Sequence[Any], others: Sequence[Any], task: Task) -> list[int]:
    """Positions among the chosen that are, or nearly are, one of the others or one before them."""
    groups = groups_of([*others, *chosen], task)
    seen = set(groups[: len(others)])
    again: list[int] = []
    for position, group in enumerate(groups[len(others) :]):
        if group in seen:
            again.append(position)
        seen.add(group)
    return again


def left_out_findings(left_out: Mapping[str, Sequence[int]], places: Sequence[str]) -> list[Finding]:
    """What is to be said of inputs that were left out, by the reason; `places` are those of all inputs."""
    return [
        _left_out(reason, tuple(places[i] for i in some[:_PLACES]), len(some))
        for reason, some in left_out.items()
        if some
    ]


_LEFT_OUT = {
    EMPTY: (
        "empty-input",
        "{} of the pool {} empty or cannot be read, and {} left out.",
        "Nothing need be done.",
    ),
    LABELLED: (
        "already-labelled",
        "{} of the pool {} labelled already, and {} left out.",
        "Nothing need be done; give the pool without what is labelled to be spared this.",
    ),
    TEST: (
        "test-in-pool",
        "{} of the pool {} test data, and {} left out.",
        "Keep it so: what the scores stand on must not be learnt from.",
    ),
    REPEAT: ("repeated-input", "{} of the pool {} repeats, and {} left out.", "Nothing need be done."),
}


def _left_out(reason: str, places: tuple[str, ...], count: int) -> Finding:
    code, what, how = _LEFT_OUT[reason]
    verb = "is" if count == 1 else "are"
    level = "warning" if reason in (LABELLED, TEST) else "info"
    return Finding(level, code, what.format(count, verb, verb), how, places, count)


def draw(kept: Sequence[int], most: int, generator: np.random.Generator) -> tuple[list[int], list[Finding]]:
    """At most so many, drawn at random, in their order; and what is to be said of it."""
    if len(kept) <= most:
        return list(kept), []
    chosen = np.sort(generator.permutation(len(kept))[:most])
    return [kept[i] for i in chosen], [
        Finding(
            "info",
            "pool-sampled",
            f"The pool has {len(kept)} inputs; {most}, drawn at random, are looked at.",
            "Another --seed draws others.",
            count=len(kept) - most,
        )
    ]


def find_other_language(texts: Sequence[str], known: Sequence[str]) -> Iterator[Finding]:
    """A language of the pool that the labelled texts are not in."""
    ours = main_languages(known) if known else {}
    theirs = main_languages(texts)
    others = {language: share for language, share in theirs.items() if ours.get(language, 0.0) < _SELDOM}
    listed = ", ".join(f"{name} {share:.0%}" for name, share in others.items() if share >= OTHER_LANGUAGE)
    if ours and listed:
        yield Finding(
            "warning",
            OTHER_LANGUAGE_CODE,
            f"The pool is in a language that the labelled texts are not in: {listed}.",
            "If the model is to read that language, label some; else give another pool.",
        )
