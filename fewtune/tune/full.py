"""Everything is tuned: the classic recipe (Devlin et al. 2019, arXiv:1810.04805).

Cross-entropy, AdamW, warm-up, linear decay, dropout; no trunk is frozen, so nothing is cached.
"""

from __future__ import annotations

from fewtune.tune.cross_entropy import CrossEntropyCandidate
from fewtune.tune.tuned import SETTINGS, TunedTuner


class FullCandidate(CrossEntropyCandidate):
    """All of one encoder, embeddings included."""

    method = "full"
    embeddings = True
    learning_rate = 1e-4
    gain = (-0.05, 0.15)

    def extra_settings(self) -> dict[str, float]:
        """Dropout on attention and hidden states."""
        return {"dropout": float(self._settings.get("dropout", 0.1))}

    def dropout(self) -> float:
        """As the recipe has it."""
        return self.extra_settings()["dropout"]


class FullTuner(TunedTuner):
    """Offers tuning of everything."""

    name = "full"
    candidate = FullCandidate
    settings = {**SETTINGS, "dropout": "on attention and hidden states while training"}
