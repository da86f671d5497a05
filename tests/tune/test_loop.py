"""The loop steps as it is told, and a resumed training is the uninterrupted one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from fewtune.progress import SilentProgress  # noqa: E402
from fewtune.tune import loop  # noqa: E402
from fewtune.tune.loop import DivergedError, Objective, Schedule, train  # noqa: E402


class Line(Objective):
    """A line through noisy points, with randomness of torch's own in every batch."""

    def __init__(self, breaks_at: int = -1, does: object = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.batches: list[int] = []
        self._breaks_at, self._does = breaks_at, does

    def loss(self, batch: int) -> Any:
        self.batches.append(batch)
        if batch == self._breaks_at and callable(self._does):
            self._does()
        noise = torch.randn(3)
        return ((self.weight - torch.tensor([1.0, -2.0, 0.5]) + 0.01 * noise) ** 2).sum()


def run(objective: Line, checkpoint: Path | None = None, **options: object) -> None:
    with SilentProgress().step("x") as step:
        train(
            objective,
            options.pop("schedule", Schedule(60, 0.2)),  # type: ignore[arg-type]
            seed_of=lambda number: 7 + number,
            checkpoint=checkpoint,
            step=step,
            **options,  # type: ignore[arg-type]
        )


def test_it_minimises_and_sees_each_batch_once() -> None:
    line = Line()
    run(line)
    assert line.batches == list(range(60))
    assert torch.allclose(line.weight, torch.tensor([1.0, -2.0, 0.5]), atol=0.1)


def test_stops_are_looked_at_and_the_last_one_ends_it() -> None:
    line, seen = Line(), []
    run(line, stops=[13, 20], at_stop=lambda number: seen.append((number, len(line.batches))))
    assert seen == [(13, 13), (20, 20)]
    assert len(line.batches) == 20


def test_gradients_are_summed_over_batches() -> None:
    line = Line()
    run(line, schedule=Schedule(10, 0.2, accumulate=3))
    assert line.batches == list(range(30))


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole = Line()
    run(whole)
    checkpoint = tmp_path / "state.ckpt"

    def power_cut() -> None:
        raise MemoryError

    broken = Line(33, power_cut)
    with pytest.raises(MemoryError):
        run(broken, checkpoint)
    assert checkpoint.is_file()
    resumed = Line()
    run(resumed, checkpoint)
    assert resumed.batches == list(range(30, 60))
    assert np.array_equal(whole.weight.detach().numpy(), resumed.weight.detach().numpy())
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_no_number_ends_it() -> None:
    line = Line()
    with torch.no_grad():
        line.weight[0] = float("nan")
    with pytest.raises(DivergedError, match="step 1"):
        run(line)


def test_ctrl_c_is_an_interruption_and_the_next_one_too() -> None:
    """Lightning would end the process and ignore every later Ctrl-C."""
    handler = signal.getsignal(signal.SIGINT)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(Line(5, lambda: os.kill(os.getpid(), signal.SIGINT)))
        assert signal.getsignal(signal.SIGINT) is handler


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [Schedule(100, 1.0).rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[-1] == pytest.approx(1 / 90)
    assert rates.index(1.0) == 9
