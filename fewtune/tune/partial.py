"""Head first, then the top layers: what an encoder knows of language at large is left as it is below them."""

from __future__ import annotations

from fewtune.tune.cross_entropy import CrossEntropyCandidate
from fewtune.tune.tuned import SETTINGS, TunedTuner


class PartialCandidate(CrossEntropyCandidate):
    """One encoder's three top layers."""

    method = "partial"
    most_layers = 3
    learning_rate = 5e-4
    gain = (0.0, 0.1)


class PartialTuner(TunedTuner):
    """Offers tuning of the top layers."""

    name = "partial"
    candidate = PartialCandidate
    settings = dict(SETTINGS)
