"""What is wrong with labelled texts, and how to mend it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from fewtune.data.duplicates import matches_across, normalise
from fewtune.data.language import main_languages
from fewtune.types import Dataset, Example, Finding

_PLACES = 5
_FEW = 5
_IMBALANCE = 10
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,100}>")
_ORDER = {"error": 0, "warning": 1, "info": 2}


def check_text_classification(dataset: Dataset, test: Dataset | None = None, *, max_tokens: int = 512) -> list[Finding]:
    """Look for what spoils a text classifier.

    Args:
        dataset: what to learn from.
        test: what to score on, if any.
        max_tokens: what the model reads of a text.

    Returns:
        Findings, worst first.
    """
    findings = [
        *_same_text_two_labels(dataset),
        *_duplicates(dataset),
        *find_small_classes(dataset),
        *find_imbalance(dataset),
        *find_labels_alike(dataset),
        *_long_texts(dataset, max_tokens),
        *_markup(dataset),
        *_languages(dataset),
    ]
    if test is not None:
        findings += [*_leakage(dataset, test), *find_unseen_labels(dataset, test)]
    return by_severity(findings)


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first."""
    return sorted(findings, key=lambda finding: _ORDER[finding.level])


def check_language(texts: Sequence[str], known: Collection[str], model: str) -> list[Finding]:
    """Warn where texts are in a language that the model was not trained on ("*" in `known`: it reads all)."""
    if "*" in known:
        return []
    shares = {language: share for language, share in main_languages(texts).items() if language not in known}
    unread = {language: share for language, share in shares.items() if share >= 0.1}
    if not unread:
        return []
    listed = ", ".join(f"{language} ({share:.0%})" for language, share in unread.items())
    return [
        Finding(
            "warning",
            "language-unknown-to-model",
            f"{model} reads {', '.join(sorted(known))} only, and texts are in {listed}.",
            "Use --model multilingual-e5-small, or leave --model at auto.",
        )
    ]


def _by_text(dataset: Dataset) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = defaultdict(list)
    for example in dataset:
        found[normalise(example.input)].append(example)
    return {key: examples for key, examples in found.items() if len(examples) > 1}


def _same_text_two_labels(dataset: Dataset) -> Iterator[Finding]:
    clashes = [some for some in _by_text(dataset).values() if len({example.target for example in some}) > 1]
    if clashes:
        labels = " and ".join(repr(label) for label in sorted({example.target for example in clashes[0]}))
        yield Finding(
            "warning",
            "same-text-two-labels",
            f"{_texts(len(clashes))} stand under several labels, such as {labels}.",
            "Decide for one label, and delete the other rows.",
            places_of(example for some in clashes for example in some),
            sum(map(len, clashes)),
        )


def _duplicates(dataset: Dataset) -> Iterator[Finding]:
    same = [some for some in _by_text(dataset).values() if len({example.target for example in some}) == 1]
    if same:
        extra = sum(len(some) - 1 for some in same)
        yield Finding(
            "info",
            "duplicate-text",
            f"{_texts(len(same))} occur more than once ({extra} repeats).",
            "Nothing need be done: repeats are never split between training and validation. Delete them if they are "
            "mistakes.",
            places_of(example for some in same for example in some),
            extra,
        )


def find_small_classes(dataset: Dataset) -> Iterator[Finding]:
    """Classes of one example, and of few."""
    counts = Counter(example.target for example in dataset)
    single = sorted(label for label, count in counts.items() if count == 1)
    few = sorted(label for label, count in counts.items() if 1 < count < _FEW)
    if single:
        yield Finding(
            "warning",
            "class-with-one-example",
            f"{_named(single)} {'has' if len(single) == 1 else 'have'} one example only.",
            "Add a few examples, or merge the class into another: what one example teaches cannot be tested.",
            places_of(example for example in dataset if example.target in set(single)),
            len(single),
        )
    if few:
        yield Finding(
            "info",
            "class-with-few-examples",
            f"{_named(few)} {'has' if len(few) == 1 else 'have'} fewer than {_FEW} examples.",
            "A few more examples of these classes are likely to help most.",
            count=len(few),
        )


def find_imbalance(dataset: Dataset) -> Iterator[Finding]:
    """Classes of very unlike size."""
    counts = Counter(example.target for example in dataset).most_common()
    (largest, most), (smallest, least) = counts[0], counts[-1]
    if least and most >= _IMBALANCE * least and most >= 20:
        yield Finding(
            "info",
            "imbalanced",
            f"{largest!r} has {most} examples and {smallest!r} {least}.",
            "Look at recall and F1 of the small classes rather than at accuracy.",
        )


def find_labels_alike(dataset: Dataset) -> Iterator[Finding]:
    """Labels that differ in case or spaces only."""
    alike: dict[str, list[str]] = defaultdict(list)
    for label in dataset.labels:
        alike["".join(label.casefold().split())].append(label)
    for labels in alike.values():
        if len(labels) > 1:
            yield Finding(
                "warning",
                "labels-alike",
                f"The labels {' and '.join(map(repr, labels))} differ in case or spaces only.",
                "Write them the same way if they are one class.",
                places_of(example for example in dataset if example.target in labels[1:]),
                len(labels),
            )


def _long_texts(dataset: Dataset, max_tokens: int) -> Iterator[Finding]:
    long = [example for example in dataset if _tokens(example.input) > max_tokens]
    if long:
        yield Finding(
            "warning" if len(long) > 0.05 * len(dataset) else "info",
            "text-too-long",
            f"{_texts(len(long))} are longer than the {max_tokens} tokens that a model reads; the rest is not seen.",
            "Put what decides first, or shorten the texts.",
            places_of(long),
            len(long),
        )


def _tokens(text: str) -> float:
    """About how many pieces a subword tokenizer makes: one a Han character, one for four other characters."""
    if len(text) < 400:
        return len(text)
    wide = sum(char > "\u2e80" for char in text)
    return wide * 0.8 + (len(text) - wide) / 4


def _markup(dataset: Dataset) -> Iterator[Finding]:
    tagged = [example for example in dataset if _TAG.search(example.input)]
    if len(tagged) >= max(2, 0.02 * len(dataset)):
        yield Finding(
            "info",
            "html-tags",
            f"{_texts(len(tagged))} hold HTML tags.",
            "Remove them if they say nothing about the class.",
            places_of(tagged),
            len(tagged),
        )
    garbled = [example for example in dataset if "\ufffd" in example.input or "Ã©" in example.input]
    if garbled:
        yield Finding(
            "warning",
            "garbled-text",
            f"{_texts(len(garbled))} hold characters that were damaged by a wrong encoding.",
            "Export the data again as UTF-8.",
            places_of(garbled),
            len(garbled),
        )


def _languages(dataset: Dataset) -> Iterator[Finding]:
    shares = main_languages([example.input for example in dataset])
    listed = ", ".join(f"{language} {share:.0%}" for language, share in shares.items() if share >= 0.02)
    if listed:
        yield Finding("info", "languages", f"The texts are in: {listed}.", "Nothing need be done.")


def _leakage(dataset: Dataset, test: Dataset) -> Iterator[Finding]:
    texts = [example.input for example in dataset]
    pairs = matches_across(texts, [example.input for example in test])
    if pairs:
        yield Finding(
            "warning",
            "test-in-training",
            f"{_texts(len(pairs))} of the test data stand, or nearly stand, in the training data: scores flatter.",
            "Delete them from one of the two files.",
            tuple(f"{test.examples[j].place} = {dataset.examples[i].place}" for i, j in pairs[:_PLACES]),
            len(pairs),
        )


def find_unseen_labels(dataset: Dataset, test: Dataset) -> Iterator[Finding]:
    """Labels of the test data that the training data has not."""
    unseen = sorted(set(test.labels) - set(dataset.labels))
    if unseen:
        concerned = [example for example in test if example.target in set(unseen)]
        yield Finding(
            "error",
            "label-unseen-in-training",
            f"The test data has labels that the training data has not: {', '.join(map(repr, unseen[:5]))}.",
            f"Use the labels of the training data: {', '.join(map(repr, dataset.labels[:10]))}.",
            places_of(concerned),
            len(concerned),
        )


def places_of(examples: Iterable[Example]) -> tuple[str, ...]:
    """Where the first few stand."""
    return tuple(example.place for _, example in zip(range(_PLACES), examples, strict=False))


def _texts(count: int) -> str:
    return f"{count} text{'s' if count > 1 else ''}"


def _named(labels: Sequence[str]) -> str:
    listed = ", ".join(map(repr, labels[:5])) + (", ..." if len(labels) > 5 else "")
    return f"The class {listed}" if len(labels) == 1 else f"{len(labels)} classes ({listed})"
