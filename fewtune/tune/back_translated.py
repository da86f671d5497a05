"""A translator that learns from text in the language that it writes, too: that text is translated back.

Back-translation (Sennrich, Haddow & Birch 2016, P16-1009) by a model that goes the other way. The sources that it makes
begin with a tag (Caswell, Chelba & Grangier 2019, W19-5206): the words of people's translations are learnt, and a
machine's way of writing their sources is told from a person's. Behind a tag the likeliest translations serve as well
as sampled ones do without (ibid.).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fewtune.backbones.seq2seq import EMBEDDED_TRANSLATORS, TranslationModel
from fewtune.data.glossary import Glossary
from fewtune.interfaces import RunContext, StructuredCandidate
from fewtune.recipe import Recipe
from fewtune.runtime.translation import Translator
from fewtune.tune.self_training import UNLABELED, WITH_UNLABELLED, pool_shares
from fewtune.tune.translation import FullCandidate, Prepare, TranslationFullTuner
from fewtune.tune.translation_data import Pair
from fewtune.types import Dataset, LeftOut

# Every vocabulary can write it, and hardly a text begins with it.
_TAG = "BT: "
# Made pairs for each of the data's own, where nothing else is said.
_MADE = 2.0
_PROBED = 24
UNLABELED_TEXTS_HELP = "share of the texts without a translation that are translated back and learnt from; 0: none"


class BackTranslatedCandidate(FullCandidate):
    """All parameters, by pairs and by text in the target's language that was translated back."""

    def __init__(self, plain: FullCandidate, back: TranslationModel, texts: Sequence[str], share: float) -> None:
        """Learn as `plain` does, and from texts too.

        Args:
            plain: the same without.
            back: translates into the language that `plain` reads.
            texts: in the language that it writes; all of them are learnt from.
            share: of the texts that were given which these are, for the recipe.
        """
        settings = {**plain._settings, UNLABELED: share}
        super().__init__(plain._model, settings, plain._languages, plain._glossary)
        self._back, self._texts = back, tuple(texts)
        self._terms = Glossary(tuple((target, source) for source, target in plain._glossary.terms))
        self.name = f"{plain.name}{WITH_UNLABELLED}"

    def added(self, prepared: Prepare, run: RunContext) -> list[Pair]:
        """The texts with what they were translated back to; made once a run."""

        def made() -> list[str]:
            return self._translator(run).translate(self._texts)

        sources = run.memo.once(("translated back", self._back.info.name, self._texts, self._terms), made)
        return _tagged(sources, self._texts, prepared)

    def foreseen(self, prepared: Prepare, run: RunContext) -> tuple[list[Pair], float]:
        """The texts with themselves as sources, and what translating them back will take."""
        some = self._texts[:: max(1, len(self._texts) // _PROBED)]
        translator = self._translator(run)
        translator.translate(some[:2])
        started = time.perf_counter()
        translator.translate(some)
        seconds = (time.perf_counter() - started) * len(self._texts) / max(1, len(some))
        return _tagged(self._texts, self._texts, prepared), seconds

    def _translator(self, run: RunContext) -> Translator:
        parts = self._back.parts
        marks = parts.marks()
        return Translator(parts.graph(threads=run.threads), parts.subwords(marks), parts.words(marks), self._terms)


class BackTranslatingTuner(TranslationFullTuner):
    """All of the model's parameters; beside that, with text that was translated back, where there is some."""

    settings = {**TranslationFullTuner.settings, UNLABELED: UNLABELED_TEXTS_HELP}
    learns_unlabelled = True

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[StructuredCandidate], list[LeftOut]]:
        """A rung for each model, and one that learns from text without a translation too.

        Raises:
            RecipeError: there is no model of these languages, or none where it is said to learn from such text.
        """
        plain, left_out = super().candidates(dataset, recipe)
        share = _share(dataset, recipe.settings)
        if not share or dataset.unlabelled is None:
            return plain, left_out
        given = dataset.unlabelled.inputs
        chosen = np.linspace(0, len(given), max(1, round(share * len(given))), endpoint=False).astype(int)
        found: list[StructuredCandidate] = []
        for candidate in plain:
            assert isinstance(candidate, FullCandidate)
            source, target = candidate._languages
            back = next((some for some in self._others() if some.pair == (target, source)), None)
            if back is None:
                why = f"no model that is installed translates from {target or '?'} back to {source or '?'}"
                left_out.append(LeftOut(f"{candidate.name}{WITH_UNLABELLED}", why))
            else:
                found.append(BackTranslatedCandidate(candidate, back, [given[i] for i in chosen], share))
        return (found if UNLABELED in recipe.settings else [*plain, *found]), left_out

    def _others(self) -> list[TranslationModel]:
        """Models that may lead back."""
        return [model for model in (*self._models, *EMBEDDED_TRANSLATORS) if model.info.installed]


def _share(dataset: Dataset, settings: Mapping[str, Any]) -> float:
    """The share of the texts without a translation that is learnt from; raises RecipeError where there are none."""
    share = pool_shares(dataset, settings)[-1]
    if dataset.unlabelled is None or UNLABELED in settings:
        return share
    return round(min(1.0, _MADE * len(dataset) / len(dataset.unlabelled)), 4)


def _tagged(sources: Sequence[str], targets: Sequence[str], prepared: Prepare) -> list[Pair]:
    pairs = zip(sources, targets, strict=True)
    return prepared([(f"{_TAG}{source}", target) for source, target in pairs if source.strip()])
