"""Few labels, a small machine, a real model.

import fewtune
model = fewtune.fit("tickets.csv")
model.predict(["where is my refund?"])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewtune.errors import (
        BundleError,
        DataError,
        FewtuneError,
        InternalError,
        MissingExtraError,
        OutputError,
        RecipeError,
        UserError,
    )
    from fewtune.model import Evaluation, Model, fit, load, suggest
    from fewtune.types import AttackResult, Finding, FitResult, LeftOut, Rung, Score, Scores, Suggestion, Suggestions

# Names are loaded when they are first used: `import fewtune` costs next to nothing.
_HOMES = {
    "fewtune.errors": (
        "BundleError",
        "DataError",
        "FewtuneError",
        "InternalError",
        "MissingExtraError",
        "OutputError",
        "RecipeError",
        "UserError",
    ),
    "fewtune.model": ("Evaluation", "Model", "fit", "load", "suggest"),
    "fewtune.types": (
        "AttackResult",
        "Finding",
        "FitResult",
        "LeftOut",
        "Rung",
        "Score",
        "Scores",
        "Suggestion",
        "Suggestions",
    ),
}

__all__ = [
    "AttackResult",
    "BundleError",
    "DataError",
    "Evaluation",
    "FewtuneError",
    "Finding",
    "FitResult",
    "InternalError",
    "LeftOut",
    "MissingExtraError",
    "Model",
    "OutputError",
    "RecipeError",
    "Rung",
    "Score",
    "Scores",
    "Suggestion",
    "Suggestions",
    "UserError",
    "fit",
    "load",
    "suggest",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'fewtune' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
