"""What learning from unlabelled data brought, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fewtune.learn.learnt import learns_unlabelled
from fewtune.tune.self_training import WITH_UNLABELLED
from fewtune.types import Dataset, Rung, UnlabelledGain


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
    plain = next((rung for rung in rungs if best and rung.name == best.name.removesuffix(WITH_UNLABELLED)), None)
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


def _in_words(best: Rung | None, plain: Rung | None, kept: bool) -> str:
    if best is None:
        return "no rung that learns from them was tried"
    became = "the model learnt from them" if kept else "the model did not learn from them"
    if plain is None:
        return became
    accuracies = [f"{100 * rung.scores['accuracy'].value:.1f} %" for rung in (best, plain)]
    losses = [f"{rung.expected_log_loss:.3f}" for rung in (best, plain)]
    return (
        f"{became}; {plain.name} loses {losses[0]} with them and {losses[1]} without, out of fold "
        f"(accuracy {accuracies[0]} and {accuracies[1]})"
    )
