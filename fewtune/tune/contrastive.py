"""Contrastive tuning: texts of one class are drawn together before a linear head is put on them.

As SetFit does (Tunstall et al. 2022, arXiv:2209.11055), but by the supervised contrastive loss, which
compares all texts of a batch with each other in one pass: the cost is linear in the examples, where
pairs are quadratic.

Unlabelled texts are learnt from in a second round (pseudo-labels, Lee 2013, ICML workshop on representation learning;
with a student that begins anew, Xie et al. 2020, arXiv:1911.04252): what was tuned on the labels gives each its class,
those that are surest after classes spread among neighbours are kept, as in `self_training.py`, and the pretrained
layers are tuned again on both, half of each batch labelled. What it brings: benchmarks/README.md, "Unlabelled data".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.backbones.text_encoder import TextEncoder
from fewtune.interfaces import Candidate, Cost, Prior, RunContext
from fewtune.recipe import Recipe
from fewtune.tune.batches import Beside, Dealt, Numbered, Paired
from fewtune.tune.head import NAME_WEIGHTS, HeadTuner
from fewtune.tune.linear_head import LinearHead, fit_feature_heads, heads_seconds
from fewtune.tune.search import Range
from fewtune.tune.self_training import UNLABELED, UNLABELED_HELP, WITH_UNLABELLED, UnlabelledPool, pool_shares
from fewtune.tune.tuned import SETTINGS, Lesson, Look, Part, Plan, Timings, TunedCandidate, TunedTuner, unreachable
from fewtune.types import Dataset, FloatArray, IntArray

if TYPE_CHECKING:
    from fewtune.tune.layers import TunedLayers
    from fewtune.tune.objectives import TextObjective, Views

# Tuned features lie closer together than frozen ones, so that weaker heads are of no use.
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
# Share of the unlabelled texts that is learnt from. More than a head alone learns from: what is tuned is surer of them,
# and the surest teach it little.
SHARE = 0.9
# Logarithm of the log loss with unlabelled texts over that without, mean and deviation (benchmarks/README.md).
UNLABELED_GAIN = (-0.15, 0.15)
# Each fold's tuned layers read all of them.
_MOST_UNLABELLED = 1_000
# Of the head that gives unlabelled texts their classes.
_TEACHER_STRENGTH = 3.0


class ContrastiveCandidate(TunedCandidate):
    """One encoder's upper layers, tuned contrastively."""

    method = "contrastive"
    gain = (-0.25, 0.35)

    def batches(self, targets: IntArray, size: int, run: RunContext, unit: str) -> Dealt:
        """Pairs of one class, shuffled."""
        return Paired(targets, size, lambda epoch: run.generator(unit, "epoch", epoch))

    def objective(
        self, layers: TunedLayers, views: Views, targets: IntArray, classes: int, batches: Numbered
    ) -> TextObjective:
        """The supervised contrastive loss."""
        from fewtune.tune.objectives import SupervisedContrastive

        del classes
        return SupervisedContrastive(layers, views, targets, batches, sharpness=self.extra_settings()["sharpness"])

    def head_settings(self) -> list[dict[str, float]]:
        """Strengths of regularisation, with the label names read or not."""
        strengths = [float(self._settings["C"])] if "C" in self._settings else STRENGTHS
        weights = [float(self._settings["label_names"])] if "label_names" in self._settings else NAME_WEIGHTS
        return [{"C": strength, "label_names": weight} for weight in weights for strength in strengths]

    def heads(
        self, objective: TextObjective, features: FloatArray, targets: IntArray, names: FloatArray
    ) -> Iterator[LinearHead]:
        """Logistic regressions, as on a frozen encoder."""
        del objective
        tried = self.head_settings()
        for weight in dict.fromkeys(each["label_names"] for each in tried):
            strengths = [each["C"] for each in tried if each["label_names"] == weight]
            yield from fit_feature_heads(features, targets, len(names), strengths, names=names, name_weight=weight)

    def heads_seconds(self, dataset: Dataset, run: RunContext) -> float:
        """What fitting all heads takes."""
        return heads_seconds(dataset, self._encoder.parts.width, len(self.head_settings()), run)

    def search_space(self, dataset: Dataset) -> dict[str, Range]:
        """What cosines are divided by as well."""
        return {**super().search_space(dataset), "sharpness": Range(0.03, 0.3, log=True)}

    def extra_settings(self) -> dict[str, float]:
        """What cosines are divided by."""
        return {"sharpness": float(self._settings.get("sharpness", 0.1))}


class SelfTrainedCandidate(ContrastiveCandidate):
    """Tuned twice: on the labels, and on them beside the unlabelled texts with the classes that the first gave them.

    Nothing of a fold's validated examples is in either: the first round of a fold learns from its training part alone.
    """

    texts_beside = 2

    def __init__(self, encoder: TextEncoder, settings: Mapping[str, Any]) -> None:
        """Tune `encoder` with the share of the unlabelled texts that `settings` name."""
        super().__init__(encoder, settings)
        plain = self.name
        self.name = f"{plain}{WITH_UNLABELLED}"
        self.prior = Prior(plain, *UNLABELED_GAIN)

    def extra_settings(self) -> dict[str, float]:
        """The share of the unlabelled texts as well."""
        return {**super().extra_settings(), UNLABELED: float(self._settings[UNLABELED])}

    def _cost(self, dataset: Dataset, timed: Timings) -> Cost:
        # Beside the plain rung's: the first round, the other half of the batches, and the unlabelled texts to read.
        cost = super()._cost(dataset, timed)
        more = 2 * timed.training() + timed.encode * (len(_some(dataset)) + len(dataset))
        return replace(cost, each=cost.each + more, final=cost.final + more)

    def _trunk_texts(self, dataset: Dataset) -> list[str]:
        return [*super()._trunk_texts(dataset), *_some(dataset)]

    def _lesson(self, dataset: Dataset, plan: Plan, run: RunContext) -> Lesson:
        return replace(super()._lesson(dataset, plan, run), pool=self._views(_some(dataset), plan, run))

    def _train(
        self,
        plan: Plan,
        lesson: Lesson,
        unit: str,
        run: RunContext,
        step: Part,
        *,
        looks: Callable[[str], Sequence[Look]],
    ) -> tuple[TextObjective, str]:
        rows, classes = self._given_classes(plan, lesson, f"{unit}/first round", run, step.shared(1 / 3))
        both = Lesson(
            views=[*lesson.views, *(lesson.pool[i] for i in rows)],
            targets=np.concatenate([lesson.targets, classes]),
            names=lesson.names,
        )
        student = _Student(self._encoder, self._settings, labelled=len(lesson.views))
        return student._train(plan, both, unit, run, step.shared(2 / 3), looks=looks)

    def _given_classes(self, plan: Plan, lesson: Lesson, unit: str, run: RunContext, step: Part) -> IntArray:
        """(2, m) which unlabelled texts are learnt, and the class of each."""
        entry = f"{unit}/classes"
        if run.journal.has_array(entry):
            step.advance()
        else:
            teacher = ContrastiveCandidate(self._encoder, {**self._settings, "stop": 1.0})

            def look(objective: TextObjective) -> None:
                run.journal.array(entry, lambda: self._surest(objective, lesson))

            teacher._train(plan, lesson, unit, run, step, looks=lambda _: [look])
        return run.journal.array(entry, unreachable).astype(np.int64)

    def _surest(self, objective: TextObjective, lesson: Lesson) -> FloatArray:
        features = objective.layers.features([*lesson.names, *lesson.views, *lesson.pool])
        count = len(lesson.names)
        names, labelled, unlabelled = np.split(features, [count, count + len(lesson.views)])
        weights = [float(self._settings["label_names"])] if "label_names" in self._settings else NAME_WEIGHTS
        heads = [
            head
            for weight in weights
            for head in fit_feature_heads(
                labelled, lesson.targets, count, [_TEACHER_STRENGTH], names=names, name_weight=weight
            )
        ]
        # No fold tells here whether the names help: half as if they did.
        mean = LinearHead(np.mean([head.weight for head in heads], 0), np.mean([head.bias for head in heads], 0))
        chosen = UnlabelledPool.of(unlabelled).surest(mean, self.extra_settings()[UNLABELED])
        return np.stack(chosen).astype(np.float64)


class _Student(ContrastiveCandidate):
    """Learns from labelled texts and, beside them in each batch, from as many others."""

    def __init__(self, encoder: TextEncoder, settings: Mapping[str, Any], *, labelled: int) -> None:
        """The first `labelled` texts of what is learnt from are labelled."""
        super().__init__(encoder, settings)
        self._labelled = labelled

    def batches(self, targets: IntArray, size: int, run: RunContext, unit: str) -> Dealt:
        """Pairs of one class of both kinds; the labelled ones' epochs count."""
        labelled, others = np.split(targets, [self._labelled])
        first = Paired(labelled, size, lambda epoch: run.generator(unit, "epoch", epoch))
        second = Paired(others, size, lambda epoch: run.generator(unit, "epoch of others", epoch))
        return Beside(first, second, self._labelled)


def _some(dataset: Dataset) -> list[str]:
    """At most so many of the unlabelled texts, from all over."""
    texts = list(dataset.unlabelled.inputs) if dataset.unlabelled else []
    return texts[:: math.ceil(len(texts) / _MOST_UNLABELLED) or 1]


class ContrastiveTuner(TunedTuner):
    """Offers contrastive tuning, and the same with unlabelled texts where there are some."""

    name = "contrastive"
    candidate = ContrastiveCandidate
    settings = {
        **SETTINGS,
        "C": HeadTuner.settings["C"],
        "label_names": HeadTuner.settings["label_names"],
        "sharpness": "what cosines are divided by in the contrastive loss; smaller is harder",
        UNLABELED: UNLABELED_HELP,
    }
    learns_unlabelled = True

    def rungs(self, encoder: TextEncoder, dataset: Dataset, recipe: Recipe) -> list[Candidate]:
        """Without the unlabelled texts, and with them, as far as the settings leave it open."""
        plain, shares = recipe.settings, pool_shares(dataset, recipe.settings, SHARE)
        return [
            SelfTrainedCandidate(encoder, {**plain, UNLABELED: share})
            if share
            else ContrastiveCandidate(encoder, plain)
            for share in shares
        ]
