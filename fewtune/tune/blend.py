"""A blend of two rungs: their log probabilities are averaged, as in a product of experts (Hinton 2002).

A blend is delivered as one graph for each member, and costs what both cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np

from fewtune.errors import RecipeError
from fewtune.interfaces import Candidate, Cost, Fitted, Prior, RunContext, Trial, Tuner
from fewtune.recipe import Recipe
from fewtune.tune.encoder import TEMPERATURE_HELP
from fewtune.tune.linear_head import log_softmax
from fewtune.types import Dataset, FloatArray, Graph, LeftOut, Resampling

WEIGHTS = (0.3, 0.5, 0.7)


@dataclass(frozen=True, slots=True)
class Member:
    """One of two.

    Attributes:
        candidate: the rung.
        settings: its hyper-parameters, with the temperature of its logits.
        trial: what it answered out of fold, calibrated; None where that is not known.
    """

    candidate: Candidate
    settings: Mapping[str, Any]
    trial: Trial | None = None


def blended_models(recipe: Recipe) -> list[str]:
    """The models that a blend's recipe names; none where it is malformed."""
    members = recipe.settings.get("members")
    if not isinstance(members, list | tuple):
        return []
    named = [values.get("model") for values in members if isinstance(values, Mapping)]
    return list(dict.fromkeys(name for name in named if isinstance(name, str) and name))


class BlendTuner(Tuner):
    """Makes a blend again that a recipe describes; a new one is found by the ladder."""

    name = "blend"
    tasks = ("text-classification", "image-classification")
    settings = {"members": "method, model, weight and settings of each member", "temperature": TEMPERATURE_HELP}

    def __init__(self, tuners: Sequence[Tuner]) -> None:
        """Blend what these tuners offer."""
        self._tuners = {tuner.name: tuner for tuner in tuners}

    def candidates(self, dataset: Dataset, recipe: Recipe) -> tuple[list[Candidate], list[LeftOut]]:
        """The blend that the recipe describes, if it describes one.

        Raises:
            RecipeError: the method is blend, and the recipe does not say of what.
        """
        if recipe.method != self.name:
            return [], []
        described = recipe.settings.get("members")
        try:
            members = [self._member(values, dataset, recipe) for values in described or ()]
            weight = float(described[0]["weight"]) if described else 0.5
        except (TypeError, KeyError, ValueError, IndexError) as error:
            raise RecipeError(f"The blend's members are malformed ({error!r}).", where="settings.members") from None
        if len(members) != 2:
            raise RecipeError(
                "A blend is made of two members, and the recipe does not name them.",
                where="--method blend",
                how="Use --method auto, which finds out what to blend, or --config with a blend's recipe.toml.",
            )
        return [BlendCandidate((members[0], members[1]), weight)], []

    def _member(self, values: Mapping[str, Any], dataset: Dataset, recipe: Recipe) -> Member:
        wanted = recipe.model_copy(
            update={"method": values["method"], "model": values["model"] or "auto", "settings": values["settings"]}
        )
        found, left_out = self._tuners[values["method"]].candidates(dataset, wanted)
        for candidate in found:
            if candidate.model == values["model"]:
                return Member(candidate, values["settings"])
        reasons = "; ".join(some.why for some in left_out) or "it is not known here"
        raise RecipeError(f"The member {values['method']} {values['model']} cannot be had: {reasons}.")


class BlendCandidate(Candidate):
    """Two rungs with a weight."""

    method = "blend"

    def __init__(self, members: tuple[Member, Member], weight: float | None = None, prior: Prior | None = None) -> None:
        """Blend two rungs; without a `weight` of the first, several are tried."""
        self._members = members
        self._weights = WEIGHTS if weight is None else (weight,)
        self.prior = prior
        self.name = " + ".join(member.candidate.name for member in members)
        self.model = " + ".join(dict.fromkeys(m.candidate.model for m in members if m.candidate.model))

    def foresee(self, dataset: Dataset, run: RunContext) -> Cost | None:
        """Not foreseen: its members are known when it is tried."""
        del dataset, run

    def cross_fit(self, dataset: Dataset, resampling: Resampling, run: RunContext) -> tuple[Trial, ...]:
        """Blend what the members answered out of fold."""
        first, second = (self._answers(member, dataset, resampling, run) for member in self._members)
        repeats = min(len(first.log_probs), len(second.log_probs))
        near = next((some.similarity for some in (first, second) if some.similarity is not None), None)
        return tuple(
            Trial(
                {"members": self._described(weight)},
                log_softmax_last(weight * first.log_probs[:repeats] + (1 - weight) * second.log_probs[:repeats]),
                None if near is None else near[:repeats],
            )
            for weight in self._weights
        )

    @staticmethod
    def _answers(member: Member, dataset: Dataset, resampling: Resampling, run: RunContext) -> Trial:
        if member.trial is not None:
            return member.trial
        (trial,) = member.candidate.cross_fit(dataset, resampling, run)
        temperature = float(member.settings.get("temperature", 1.0))
        return replace(trial, log_probs=log_softmax_last(np.asarray(trial.log_probs, np.float64) / temperature))

    def _described(self, weight: float) -> list[dict[str, Any]]:
        return [
            {
                "method": member.candidate.method,
                "model": member.candidate.model,
                "weight": share,
                "settings": dict(member.settings),
            }
            for member, share in zip(self._members, (weight, 1 - weight), strict=True)
        ]

    def fit(self, dataset: Dataset, settings: Mapping[str, Any], run: RunContext) -> Fitted:
        """Fit both members, and put them into one bundle."""
        temperature = float(settings.get("temperature", 1.0))
        shares = [float(values["weight"]) / temperature for values in settings["members"]]
        parts = [member.candidate.fit(dataset, member.settings, run) for member in self._members]

        def reference(texts: Sequence[Any]) -> FloatArray:
            return log_softmax(
                sum(share * part.reference(texts) for share, part in zip(shares, parts, strict=True))  # type: ignore[arg-type]
            )

        renamed = [
            _numbered(part, number, share) for number, (part, share) in enumerate(zip(parts, shares, strict=True), 1)
        ]
        return Fitted(
            graphs={name: graph for part in renamed for name, graph in part.graphs.items()},
            contracts=tuple(contract for part in renamed for contract in part.contracts),
            assets={name: asset for part in renamed for name, asset in part.assets.items()},
            backbone={
                "name": self.model,
                "licence": " and ".join(
                    dict.fromkeys(str(part.backbone["licence"]) for part in parts if "licence" in part.backbone)
                ),
                "members": [dict(part.backbone) for part in parts],
            },
            reference=reference,
            seconds=sum(part.seconds for part in parts),
            class_means=next((part.class_means for part in parts if part.class_means is not None), None),
        )


def log_softmax_last(logits: FloatArray) -> FloatArray:
    """Log probabilities over the last axis; NaN stays NaN."""
    shape = logits.shape
    return log_softmax(np.asarray(logits, np.float64).reshape(-1, shape[-1])).reshape(shape).astype(np.float32)


def _numbered(fitted: Fitted, number: int, weight: float) -> Fitted:
    """A member with a number in the names of its files."""

    def name(file: str) -> str:
        path = PurePath(file)
        return f"{path.stem}-{number}{path.suffix}"

    return replace(
        fitted,
        graphs={name(file): graph for file, graph in fitted.graphs.items()},
        assets={name(file): asset for file, asset in fitted.assets.items()},
        contracts=tuple(
            Graph(
                f"{contract.role}-{number}",
                name(contract.file),
                contract.inputs,
                contract.outputs,
                tokenizer=name(contract.tokenizer) if contract.tokenizer else "",
                preprocess=name(contract.preprocess) if contract.preprocess else "",
                weight=weight,
            )
            for contract in fitted.contracts
        ),
    )
