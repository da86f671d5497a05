"""Back-translation: to another language and back (Sennrich, Haddow & Birch 2016, P16-1009).

The words on the way there are sampled, which pays more than the likeliest translation (Edunov et al. 2018,
D18-1045), so that the views of a text differ (Xie et al. 2020, UDA, arXiv:1904.12848, section 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from fewtune.augment.protected import phrases
from fewtune.augment.round_trip import RoundTrip, is_as_good_as_same, masked_spans, open_round_trip
from fewtune.backbones.seq2seq import EMBEDDED_TRANSLATORS, TranslationModel, translator_from
from fewtune.data.glossary import Glossary
from fewtune.data.language import main_languages
from fewtune.data.protection import protect
from fewtune.errors import MissingExtraError, RecipeError, nearest
from fewtune.interfaces import Augmentation
from fewtune.progress import Step
from fewtune.runtime.passages import Cut, Passage, cut

_BETWEEN = "+"
# At least this share of the texts has to be in a language that is read.
_LEAST_READ = 0.5
# Views that come out unchanged, or like another one, are drawn once more.
_ROUNDS = 2
_ROUNDS_COST = 1.3
_PROBED = 16


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models that lead to another language and back."""

    there: TranslationModel
    back: TranslationModel

    def reads(self, language: str) -> bool:
        """Whether it reads a language; where the models do not say what they read, it is taken to."""
        return self.there.pair[0] in ("", language)

    def opened(self, threads: int) -> RoundTrip:
        """The models, opened once for the process. Raises UserError where one cannot be had."""
        return open_round_trip(self.there, self.back, threads)


class BackTranslation(Augmentation):
    """Says a text again, by way of another language."""

    name = "back-translation"
    help = "says it again by way of another language; back-translation:FORWARD+BACK names two translation models"
    strengths = (0.01, 1.0)
    names_sources = True
    is_slow = True

    def __init__(self, strength: float = 0.5, keep: Sequence[str] = (), source: str | None = None) -> None:
        """Set it up.

        Args:
            strength: share of the words on the way there that are drawn by chance, from the ten likeliest.
            keep: phrases that must not change, such as the names of the labels.
            source: the two models with a plus between them, by name or folder; None: the embedded pair, whichever of
                its two languages a text is in.

        Raises:
            RecipeError: the strength is out of range, or a model is not known, or the second does not lead back.
        """
        super().__init__(strength, keep)
        self._kept = phrases(self.keep)
        self._source = source
        self._pairs = _embedded_pairs() if source is None else (_named_pair(source),)

    @property
    def full_name(self) -> str:
        """With the models, where they were named."""
        return f"{self.name}:{self._source}" if self._source else self.name

    def check(self, texts: Sequence[str]) -> None:
        """Nothing, or an error.

        Raises:
            MissingExtraError: the models are not installed.
            RecipeError: most of the texts are in languages that the models do not read.
        """
        missing = [model for pair in self._pairs for model in (pair.there, pair.back) if not model.info.installed]
        if missing:
            raise MissingExtraError("translate", needed_for="Back-translation", where=f"--augment {self.name}")
        shares = main_languages(texts)
        unread = {code: share for code, share in shares.items() if self._pair_for(code) is None}
        if unread and 1 - sum(unread.values()) < _LEAST_READ:
            raise RecipeError(
                f"{self.full_name} reads {self._languages}, and {sum(unread.values()):.0%} of the texts are in "
                f"other languages ({', '.join(unread)}).",
                where=f"--augment {self.name}",
                how=f"Name two models for the texts' language with --augment {self.name}:FORWARD{_BETWEEN}BACK, or "
                "take another augmentation.",
            )

    def remark(self, texts: Sequence[str]) -> str:
        """How many of the texts get no views, as they are in languages that are not read; empty: none."""
        languages = _languages_of(texts)
        unread = sum(bool(code) and self._pair_for(code) is None for code in languages)
        if not unread:
            return ""
        return f"{self.name} reads {self._languages}: {unread} of {len(texts)} texts are in others and get no views"

    @property
    def _languages(self) -> str:
        return " and ".join(dict.fromkeys(pair.there.pair[0] for pair in self._pairs))

    def _pair_for(self, language: str) -> Pair | None:
        # A text whose words tell nothing is taken for one that can be read.
        known = (pair for pair in self._pairs if pair.reads(language) or language == "und-Latn")
        return next(known, None)

    def seconds(self, texts: Sequence[str], count: int, *, threads: int = 1) -> float:
        """What `count` views of each text will take, from some passages, scaled up by the characters."""
        return sum(
            self._seconds(pair, [texts[i] for i in own], count, threads)
            for pair, own in self._indices_by_pair(texts).items()
        )

    def _seconds(self, pair: Pair, texts: Sequence[str], count: int, threads: int) -> float:
        trip = pair.opened(threads)
        different = sorted(set(texts), key=lambda text: (len(text), text))
        passages = [
            passage.text
            for text in different[:: max(1, len(different) // _PROBED)]
            for passage in self._cut(text, trip).passages
            if _has_letters(passage)
        ]
        sample = passages[:: max(1, len(passages) // _PROBED)] * min(count, 2)
        if not sample:
            return 0.0
        characters = [sum(map(len, some)) for some in (texts, sample)]
        return _ROUNDS_COST * count * trip.seconds(sample) * characters[0] / characters[1]

    def views_of(
        self,
        texts: Sequence[str],
        count: int,
        generators: Sequence[np.random.Generator],
        *,
        threads: int = 1,
        step: Step | None = None,
    ) -> list[list[str]]:
        """At most `count` views of each text, all texts translated together."""
        found: list[list[str]] = [[] for _ in texts]
        for pair, own in self._indices_by_pair(texts).items():
            trip = pair.opened(threads)
            cuts = {i: self._cut(texts[i], trip) for i in own}
            for number in range(_ROUNDS):
                jobs = [(i, int(generators[i].integers(1 << 62))) for i in own for _ in range(count - len(found[i]))]
                for i, view in _said_again(trip, jobs, cuts, self.strength, None if number else step):
                    if not any(is_as_good_as_same(view, other) for other in (texts[i], *found[i])):
                        found[i].append(view)
        return found

    def views(self, text: str, count: int, generator: np.random.Generator) -> list[str]:
        """At most `count` views of a text."""
        return self.views_of([text], count, [generator])[0]

    def view(self, text: str, generator: np.random.Generator) -> str:
        """One view; the text itself where it gives none."""
        return next(iter(self.views(text, 1, generator)), text)

    def _indices_by_pair(self, texts: Sequence[str]) -> dict[Pair, list[int]]:
        """The texts that each pair of models reads; those that none reads are left out."""
        found: dict[Pair, list[int]] = {}
        for i, code in enumerate(_languages_of(texts)):
            if code and (pair := self._pair_for(code)):
                found.setdefault(pair, []).append(i)
        return found

    def _cut(self, text: str, trip: RoundTrip) -> Cut:
        return cut(protect(text, trip.lacks, self._terms(text)), trip.fits)

    def _terms(self, text: str) -> Glossary:
        """What must stay as it is in a text, as terms that are translated by themselves."""
        kept = [found[0] for found in self._kept.finditer(text)] if self._kept else []
        return Glossary(tuple((span, span) for span in dict.fromkeys([*kept, *masked_spans(text)])))


def _said_again(
    trip: RoundTrip, jobs: Sequence[tuple[int, int]], cuts: dict[int, Cut], share: float, step: Step | None
) -> Iterator[tuple[int, str]]:
    """What each job (index, seed) makes of the text of that index, with the index."""
    passages: list[str] = []
    seeds: list[tuple[int, ...]] = []
    for i, seed in jobs:
        worded = [passage.text for passage in cuts[i].passages if _has_letters(passage)]
        passages += worded
        seeds += [(seed, place) for place in range(len(worded))]
    part = _Part(step, len(cuts) / max(1, 2 * len(passages))) if step is not None else None
    views = iter(trip.views(passages, seeds, share, step=part))
    for i, _ in jobs:
        yield i, cuts[i].joined([next(views) if _has_letters(some) else some.text for some in cuts[i].passages])


def _has_letters(passage: Passage) -> bool:
    """What has none has nothing to be translated."""
    return any(map(str.isalpha, passage.text))


class _Part:
    """A step that counts ways of passages as parts of texts."""

    def __init__(self, step: Step, share: float) -> None:
        self._step, self._share = step, share

    def advance(self, amount: float = 1) -> None:
        self._step.advance(amount * self._share)


def _languages_of(texts: Sequence[str]) -> list[str]:
    """The language of each text; that of most of them where its own words tell nothing, "" where it has no letters."""
    main = next(iter(main_languages(texts)), "")
    found = [next(iter(main_languages([text])), "") for text in texts]
    return [main if code == "und-Latn" else code for code in found]


def _embedded_pairs() -> tuple[Pair, ...]:
    one, other = EMBEDDED_TRANSLATORS
    return Pair(one, other), Pair(other, one)


def _named_pair(source: str) -> Pair:
    names = source.split(_BETWEEN)
    where = f"--augment {BackTranslation.name}:{source}"
    if len(names) != 2 or not all(name.strip() for name in names):
        raise RecipeError(
            "Back-translation needs two translation models: one there, one back.",
            where=where,
            how=f"Write their names or folders with a plus between them: {BackTranslation.name}:FORWARD{_BETWEEN}BACK.",
        )
    there, back = (_model(name.strip(), where) for name in names)
    if not all(one in ("", other) or not other for one, other in zip(there.pair, back.pair[::-1], strict=True)):
        raise RecipeError(
            f"{names[1].strip()} does not lead back: it goes from {' to '.join(back.pair)}, and {names[0].strip()} "
            f"from {' to '.join(there.pair)}.",
            where=where,
            how="Name first the model that reads the texts, then one from its language to theirs.",
        )
    return Pair(there, back)


def _model(name: str, where: str) -> TranslationModel:
    embedded = {model.info.name: model for model in EMBEDDED_TRANSLATORS}
    try:
        return embedded[name] if name in embedded else _other_model(name)
    except RecipeError as error:
        near = nearest(name, embedded)
        raise RecipeError(error.what, where=where, how=near if near.startswith("Did") else error.how) from None


@cache
def _other_model(name: str) -> TranslationModel:
    return translator_from(name)
