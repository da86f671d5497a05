"""One temperature mends what is too sure of itself, and is fitted on others' answers where it is scored."""

from __future__ import annotations

import numpy as np
import pytest

from fewtune.evaluate.calibration import cross_calibrated, fit_temperature, out_of_fold_temperature, rescaled


def answers(n: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities whose logits are `factor` times those that the truth was drawn from."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(n, 4)) * 2
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = np.array([generator.choice(4, p=row) for row in honest])
    return rescaled(logits, 1 / factor), targets


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_the_factor(factor: float) -> None:
    log_probs, targets = answers(4000, factor)
    assert fit_temperature(log_probs, targets) == pytest.approx(factor, rel=0.1)


def test_few_examples_move_it_little() -> None:
    log_probs, targets = answers(4, 4.0)
    assert 0.5 < fit_temperature(log_probs[:1], targets[:1]) < 2.0
    assert fit_temperature(log_probs[:0], targets[:0]) == 1.0


def test_what_was_not_validated_stays_unknown() -> None:
    log_probs, targets = answers(60, 3.0)
    some = np.stack([log_probs, log_probs])
    some[1, :40] = np.nan
    calibrated = cross_calibrated(some, targets, np.arange(60) // 2, np.random.default_rng(1))
    assert (np.isnan(calibrated) == np.isnan(some)).all()
    assert np.allclose(np.exp(calibrated[0]).sum(axis=1), 1, atol=1e-5)
    assert 1.3 < out_of_fold_temperature(some, targets) < 6


def test_no_example_calibrates_itself() -> None:
    log_probs, targets = answers(50, 3.0)
    other = targets.copy()
    other[7] = (other[7] + 1) % 4
    groups = np.arange(50)
    plain, changed = (
        cross_calibrated(log_probs[None], some, groups, np.random.default_rng(2)) for some in (targets, other)
    )
    assert (plain[0, 7] == changed[0, 7]).all()
    assert (plain != changed).any()
