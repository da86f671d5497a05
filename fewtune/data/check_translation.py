"""What is wrong with texts and their translations, and how to mend it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fewtune.data.check import by_severity, places_of
from fewtune.data.duplicates import matches_across, normalise
from fewtune.data.language import main_languages
from fewtune.data.protection import kept_and_all
from fewtune.types import Dataset, Example, Finding

_PLACES = 5
# Characters below which a length says nothing, and by what factor one must differ from the others to be unlikely.
_SHORT, _UNLIKELY = 20, 2.5
_FEW = 50


def check_translation(dataset: Dataset, test: Dataset | None = None) -> list[Finding]:
    """Look for what spoils a translator. Findings, worst first."""
    findings = [
        *_languages(dataset),
        *_copied(dataset),
        *_lengths(dataset),
        *_markup(dataset),
        *_several_targets(dataset),
        *_duplicates(dataset),
        *_garbled(dataset),
        *_few(dataset),
    ]
    if test is not None:
        findings += [*_other_languages(dataset, test), *_leakage(dataset, test)]
    return by_severity(findings)


def _found(
    dataset: Dataset, is_so: Callable[[Example], bool], level: str, code: str, what: str, how: str
) -> Iterator[Finding]:
    """One finding on all examples of which something is so."""
    concerned = [example for example in dataset if is_so(example)]
    if concerned:
        count = len(concerned)
        noun = "pair" if count == 1 else "pairs"
        yield Finding(level, code, f"{count} {noun}: {what}", how, places_of(concerned), count)  # type: ignore[arg-type]


def _languages(dataset: Dataset) -> Iterator[Finding]:
    for side, language, texts in (
        ("texts", dataset.languages[0], [example.input for example in dataset]),
        ("translations", dataset.languages[1], [example.target for example in dataset]),
    ):
        shares = main_languages(texts)
        main = next(iter(shares), "")
        if language and main and main != language and shares[main] >= 0.5 and not main.startswith("und"):
            yield Finding(
                "warning",
                "wrong-language",
                f"The {side} are said to be in {language}, and {shares[main]:.0%} of them look like {main}.",
                "Check which column is which, or name them with --text and --label.",
            )


def _copied(dataset: Dataset) -> Iterator[Finding]:
    def is_copy(example: Example) -> bool:
        words = [word for word in example.input.split() if word.isalpha()]
        return len(words) >= 3 and normalise(example.input) == normalise(example.target)

    yield from _found(
        dataset,
        is_copy,
        "warning",
        "source-copied",
        "the translation is the text itself.",
        "Translate them, or delete them: a model learns to copy from them.",
    )


def _lengths(dataset: Dataset) -> Iterator[Finding]:
    def ratio(example: Example) -> float:
        return math.log((len(example.target) + 5) / (len(example.input) + 5))

    middle = float(np.median([ratio(example) for example in dataset])) if len(dataset) else 0.0

    def is_unlikely(example: Example) -> bool:
        long = max(len(example.input), len(example.target)) >= _SHORT
        return long and abs(ratio(example) - middle) > math.log(_UNLIKELY)

    yield from _found(
        dataset,
        is_unlikely,
        "warning",
        "length-ratio",
        "one side is far longer than the other, beside what is usual here.",
        "Check that they belong together; a missing line shifts all that follow.",
    )


def _markup(dataset: Dataset) -> Iterator[Finding]:
    def differs(example: Example) -> bool:
        (kept, wanted), (also, given) = (
            kept_and_all(example.input, example.target),
            kept_and_all(example.target, example.input),
        )
        return kept < wanted or also < given

    yield from _found(
        dataset,
        differs,
        "info",
        "markup-differs",
        "code, tags or placeholders differ between the sides.",
        "Make them the same where they should be: those that are the same on both sides are kept when translating.",
    )


def _several_targets(dataset: Dataset) -> Iterator[Finding]:
    by_source: dict[str, list[Example]] = defaultdict(list)
    for example in dataset:
        by_source[example.input.strip()].append(example)
    clashes = [some for some in by_source.values() if len({example.target.strip() for example in some}) > 1]
    if clashes:
        yield Finding(
            "info",
            "several-translations",
            f"{len(clashes)} {'text has' if len(clashes) == 1 else 'texts have'} several translations.",
            "Decide for one where the context does not call for both.",
            places_of(example for some in clashes for example in some),
            sum(map(len, clashes)),
        )


def _duplicates(dataset: Dataset) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    again: list[Example] = []
    for example in dataset:
        key = example.input.strip(), example.target.strip()
        if key in seen:
            again.append(example)
        seen.add(key)
    if again:
        yield Finding(
            "info",
            "duplicate-text",
            f"{len(again)} {'pair stands' if len(again) == 1 else 'pairs stand'} there already.",
            "Nothing need be done: repeats are never split between training and validation.",
            places_of(again),
            len(again),
        )


def _garbled(dataset: Dataset) -> Iterator[Finding]:
    yield from _found(
        dataset,
        lambda example: any(sign in example.input + example.target for sign in ("\ufffd", "Ã©", "Ã£")),
        "warning",
        "garbled-text",
        "characters were damaged by a wrong encoding.",
        "Export the data again as UTF-8.",
    )


def _few(dataset: Dataset) -> Iterator[Finding]:
    if len(dataset) < _FEW:
        yield Finding(
            "info",
            "few-pairs",
            f"There are {len(dataset)} pairs only.",
            "A few hundred teach a domain's words; from fewer, little can be expected, or tested.",
        )


def _other_languages(dataset: Dataset, test: Dataset) -> Iterator[Finding]:
    known = [pair for pair in zip(dataset.languages, test.languages, strict=True) if all(pair)]
    if any(first != second for first, second in known):
        first, second = (" to ".join(some.languages) for some in (dataset, test))
        yield Finding(
            "error",
            "other-languages-in-test",
            f"The test data goes from {second}, and the training data from {first}.",
            "Name the columns with --text and --label, or give other test data.",
        )


def _leakage(dataset: Dataset, test: Dataset) -> Iterator[Finding]:
    pairs: Sequence[tuple[int, int]] = matches_across(
        [example.input for example in dataset], [example.input for example in test]
    )
    if pairs:
        yield Finding(
            "warning",
            "test-in-training",
            f"{len(pairs)} texts of the test data stand, or nearly stand, in the training data: scores flatter.",
            "Delete them from one of the two files.",
            tuple(f"{test.examples[j].place} = {dataset.examples[i].place}" for i, j in pairs[:_PLACES]),
            len(pairs),
        )
