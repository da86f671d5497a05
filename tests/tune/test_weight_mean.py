"""The running mean of weights."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from fewtune.tune.weight_mean import WeightMean  # noqa: E402


def test_the_mean_follows_the_weights_and_forgets_their_start() -> None:
    learning = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(learning.weight, -100.0)
    mean = WeightMean(learning)
    seen = []
    for step in range(400):
        torch.nn.init.constant_(learning.weight, float(step % 2))
        mean.update(learning)
        seen.append(mean.module.weight.item())
    assert seen[0] < -5
    assert all(0.45 < value < 0.55 for value in seen[300:])
    assert learning.weight.item() == 1.0


def test_a_mean_goes_on_from_a_checkpoint() -> None:
    learning = torch.nn.Linear(1, 1)
    first, second = WeightMean(learning), WeightMean(learning)
    for _ in range(20):
        first.update(learning)
    second.load_state_dict(first.state_dict())
    torch.nn.init.zeros_(learning.weight)
    first.update(learning)
    second.update(learning)
    assert torch.equal(first.module.weight, second.module.weight)
