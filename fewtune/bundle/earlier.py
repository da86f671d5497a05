"""What bundles were worth that a new one takes the place of: the points of the learning curve that came true."""

from __future__ import annotations

from pathlib import Path

from fewtune.bundle.manifest import Manifest, scores_from_json
from fewtune.bundle.read import read_manifest
from fewtune.errors import BundleError
from fewtune.types import Earlier, Forecast

# A forecast is set beside what came true if it was of about as many examples: within this share of what was added.
_ABOUT = 0.25


def earlier_fits(place: Path, now: Manifest) -> tuple[Earlier, ...]:
    """Of the bundle that stands at `place`, and of those before it, fewest examples first.

    Only what was learnt from fewer examples of the same classes, and scored in the same way, can be
    set beside what `now` tells; nothing where no such bundle stands there.
    """
    try:
        before = read_manifest(place)
    except BundleError:
        return ()
    if (before.task, before.primary_metric, before.labels) != (now.task, now.primary_metric, now.labels):
        return ()
    examples, score = before.data["examples"], scores_from_json(before.scores)[before.primary_metric]
    foreseen = before.learning_curve.forecast if before.learning_curve else ()
    found = [*before.earlier, Earlier(examples, score, _tested(before), _of(foreseen, examples, now.data["examples"]))]
    fewer = {one.examples: one for one in found if one.examples < now.data["examples"] and one.tested == _tested(now)}
    return tuple(fewer[count] for count in sorted(fewer))


def _tested(manifest: Manifest) -> bool:
    """Whether the scores are of test data, not out of fold."""
    return not str(manifest.scores["how"]).startswith("out of fold")


def _of(foreseen: tuple[Forecast, ...], then: int, now: int) -> Forecast | None:
    near = [some for some in foreseen if abs(some.examples - now) <= _ABOUT * (now - then)]
    return min(near, key=lambda some: abs(some.examples - now), default=None)
