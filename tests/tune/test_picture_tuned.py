"""Tuning networks for pictures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lightning")

from fewtune.augment.picture_policy import PicturePolicy
from fewtune.interfaces import RunContext
from fewtune.progress import SilentProgress
from fewtune.tune.loop import DivergedError
from fewtune.tune.picture_tuned import PicturePartialCandidate, Plan


def test_what_a_diverged_attempt_was_seen_to_answer_is_not_mixed_with_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    rates: list[float] = []

    def attempt(self: Any, plan: Plan, rate: float, *arguments: Any) -> Any:
        unit, at_stop = arguments[4], arguments[-1]
        rates.append(rate)
        at_stop(unit, 0, len(rates))
        if len(rates) == 1:
            raise DivergedError("the loss is not a number")
        at_stop(unit, 1, len(rates))
        return len(rates)

    monkeypatch.setattr(PicturePartialCandidate, "_attempt", attempt)
    network: Any = SimpleNamespace(info=SimpleNamespace(name="tiny"))
    candidate = PicturePartialCandidate(network, {}, PicturePolicy())
    run = RunContext(tmp_path)
    plan: Any = SimpleNamespace(learning_rate=1.0)
    some = np.arange(2)
    pictures: Any = None
    with SilentProgress().step("folds") as step:

        def looks() -> np.ndarray:
            return candidate._looks(
                plan, pictures, some, some, 2, "unit", run, step, lambda objective: np.full((1, 2), objective)
            )

        assert looks()[:, 0, 0].tolist() == [2, 2]
        # What is known is not trained again.
        assert looks()[:, 0, 0].tolist() == [2, 2]
    assert len(rates) == 2
    assert rates[1] < rates[0]
