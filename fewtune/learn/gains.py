"""What learning from unlabelled data brought, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewtune.learn.learnt import learns_unlabelled
from fewtune.tune.self_training import WITH_UNLABELLED
from fewtune.types import Dataset, Rung, UnlabelledGain

_NOT_TRIED = "no rung that learns from them was tried"


def unlabelled_gain(dataset: Dataset, rungs: Sequence[Rung], taken: Mapping[str, Any]) -> UnlabelledGain | None:
    """The best rung that learns from unlabelled data beside the same one without; None where there is no such data.

    Args:
        dataset: what was learnt from.
        rungs: all that were tried.
        taken: settings of the one that was taken.
    """
    if dataset.unlabelled is None:
        return None
    learning = [rung for rung in rungs if rung.name.endswith(WITH_UNLABELLED) and " + " not in rung.name]
    best = min(learning, key=lambda rung: rung.expected_log_loss, default=None)
    plain = _without(best, rungs)
    kept = learns_unlabelled(taken)
    return UnlabelledGain(
        source=dataset.unlabelled.source,
        sha256=dataset.unlabelled.sha256,
        inputs=len(dataset.unlabelled),
        rung=best.name if best else "",
        against=plain.name if plain else "",
        log_loss=best.expected_log_loss if best else None,
        without=plain.expected_log_loss if plain else None,
        kept=kept,
        words=f"{len(dataset.unlabelled):,} unlabelled inputs: {_in_words(best, plain, kept)}.",
    )


def back_translated_gain(
    dataset: Dataset, rungs: Sequence[Rung], taken: Mapping[str, Any], metric: str
) -> UnlabelledGain | None:
    """The same where answers are no classes, by their primary metric."""
    if dataset.unlabelled is None:
        return None
    learning = next((rung for rung in rungs if rung.name.endswith(WITH_UNLABELLED)), None)
    plain = _without(learning, rungs)
    kept = learns_unlabelled(taken)
    words = _NOT_TRIED if learning is None else _became(kept)
    if learning and plain:
        values = [rung.scores[metric].value for rung in (learning, plain)]
        words += f"; {plain.name} has a {metric} of {values[0]:.1f} with them and {values[1]:.1f} without, out of fold"
    return UnlabelledGain(
        source=dataset.unlabelled.source,
        sha256=dataset.unlabelled.sha256,
        inputs=len(dataset.unlabelled),
        rung=learning.name if learning else "",
        against=plain.name if plain else "",
        log_loss=None,
        without=None,
        kept=kept,
        words=f"{len(dataset.unlabelled):,} unlabelled inputs: {words}.",
    )


def _without(rung: Rung | None, rungs: Sequence[Rung]) -> Rung | None:
    """The same rung without unlabelled inputs."""
    return next((other for other in rungs if rung and other.name == rung.name.removesuffix(WITH_UNLABELLED)), None)


def _became(kept: bool) -> str:
    return "the model learnt from them" if kept else "the model did not learn from them"


def _in_words(best: Rung | None, plain: Rung | None, kept: bool) -> str:
    if best is None:
        return _NOT_TRIED
    became = _became(kept)
    if plain is None:
        return became
    accuracies = [f"{100 * rung.scores['accuracy'].value:.1f} %" for rung in (best, plain)]
    losses = [f"{rung.expected_log_loss:.3f}" for rung in (best, plain)]
    return (
        f"{became}; {plain.name} loses {losses[0]} with them and {losses[1]} without, out of fold "
        f"(accuracy {accuracies[0]} and {accuracies[1]})"
    )
