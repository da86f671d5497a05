"""What is wrong with prompts and replies, and how to mend it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from fewtune.data.check import places_of
from fewtune.data.duplicates import duplicate_groups, matches_across
from fewtune.types import Dataset, Example, Finding

_ORDER = {"error": 0, "warning": 1, "info": 2}
_PLACES = 5
# About what is still quickly learnt from: a token is some four characters.
_LONG_CHARACTERS = 8_000
_FEW = 20


def check_prompts(dataset: Dataset, test: Dataset | None) -> list[Finding]:
    """Everything that is found, worst first."""
    found = [*_repeats(dataset), *_long(dataset), *_echoes(dataset), *_few(dataset)]
    if test is not None:
        found += _leakage(dataset, test)
    return sorted(found, key=lambda finding: _ORDER[finding.level])


def _repeats(dataset: Dataset) -> Iterator[Finding]:
    groups: dict[int, list[Example]] = defaultdict(list)
    for group, example in zip(duplicate_groups([str(some.input) for some in dataset]), dataset, strict=True):
        groups[int(group)].append(example)
    several = [some for some in groups.values() if len({example.target for example in some}) > 1]
    same = [some for some in groups.values() if len(some) > len({example.target for example in some})]
    if several:
        yield Finding(
            "warning",
            "one-prompt-several-replies",
            f"{len(several)} prompts stand with different replies.",
            "Keep the reply that you want, if only one is right.",
            places_of(example for some in several for example in some),
            sum(map(len, several)),
        )
    if same:
        extra = sum(len(some) - len({example.target for example in some}) for some in same)
        yield Finding(
            "info",
            "duplicate-prompt",
            f"{extra} examples repeat another one's prompt and reply.",
            "Nothing need be done: repeats are never split between training and validation.",
            places_of(example for some in same for example in some),
            extra,
        )


def _long(dataset: Dataset) -> Iterator[Finding]:
    long = [example for example in dataset if len(str(example.input)) + len(example.target) > _LONG_CHARACTERS]
    if long:
        yield Finding(
            "warning",
            "example-too-long",
            f"{len(long)} examples have more than {_LONG_CHARACTERS:,} characters: they are likely to be left out.",
            "Shorten them, or raise --set max_tokens (training takes longer).",
            places_of(long),
            len(long),
        )


def _echoes(dataset: Dataset) -> Iterator[Finding]:
    echoes = [example for example in dataset if example.input.turns[-1][1].strip() == example.target.strip()]
    if echoes:
        yield Finding(
            "warning",
            "reply-repeats-prompt",
            f"{len(echoes)} replies are the same as their prompt.",
            "Look whether the columns were mixed up.",
            places_of(echoes),
            len(echoes),
        )


def _few(dataset: Dataset) -> Iterator[Finding]:
    if len(dataset) < _FEW:
        yield Finding(
            "warning",
            "few-examples",
            f"There are {len(dataset)} examples only.",
            "A model hardly learns a manner from so few; some hundred are a good start.",
        )


def _leakage(dataset: Dataset, test: Dataset) -> Iterator[Finding]:
    pairs = matches_across([str(some.input) for some in dataset], [str(some.input) for some in test])
    if pairs:
        yield Finding(
            "warning",
            "test-in-training",
            f"{len(pairs)} prompts of the test data stand, or nearly stand, in the training data: scores flatter.",
            "Delete them from one of the two files.",
            tuple(f"{test.examples[j].place} = {dataset.examples[i].place}" for i, j in pairs[:_PLACES]),
            len(pairs),
        )
