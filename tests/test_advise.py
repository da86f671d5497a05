"""Advice comes from the ladder itself, and foresees what was not tried after the priors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fewtune import pipeline
from fewtune.advise import _Clock, _improved, _loss, _Rehearsed, _Stage
from fewtune.errors import DataError, RecipeError
from fewtune.interfaces import Cost, Prior, RunContext
from fewtune.recipe import Recipe
from fewtune.runtime.machine import peak_memory_mb
from fewtune.tasks.text_classification import TextClassification
from fewtune.types import Advice
from tests.conftest import needs_encoder
from tests.test_cli import run
from tests.test_ladder import Made

Pairs = list[tuple[str, str]]


@needs_encoder
def test_cheap_rungs_are_tried_and_the_rest_is_foreseen(tickets: Pairs) -> None:
    advice = pipeline.advise(Recipe(budget="10m"), source=tickets)
    known = {outlook.name: outlook for outlook in advice.outlooks}
    assert known["tfidf"].measured
    assert known["head:multilingual-e5-small"].measured
    assert known["head:multilingual-e5-small"].likely > known["tfidf"].likely + 0.2
    (taken,) = [outlook for outlook in advice.outlooks if outlook.taken]
    assert (advice.method, advice.model) == (taken.method, taken.model)
    assert advice.seconds > sum(outlook.seconds or 0.0 for outlook in advice.outlooks if outlook.measured)
    # What delivering an encoder opens comes on top of what this process took.
    assert advice.peak_memory_mb > peak_memory_mb() + 100
    assert advice.languages.keys() == {"en", "zh"}
    for outlook in advice.outlooks:
        assert 0 <= outlook.low <= outlook.likely <= outlook.high <= 1
    _check_foreseen(advice)


def _check_foreseen(advice: Advice) -> None:
    """A blend with a rung that was only foreseen is not called measured."""
    foreseen = {outlook.name for outlook in advice.outlooks if not outlook.measured and " + " not in outlook.name}
    for outlook in advice.outlooks:
        assert outlook.measured == (not foreseen & set(outlook.name.split(" + ")))


@needs_encoder
def test_a_tuned_method_alone_is_compared_with_the_frozen_encoder(tickets: Pairs) -> None:
    pytest.importorskip("lightning")
    recipe = Recipe(method="partial", model="multilingual-e5-small", budget="20m", settings={"layers": 1, "epochs": 1})
    advice = pipeline.advise(recipe, source=tickets[:40])
    assert [outlook.name for outlook in advice.outlooks] == ["partial:multilingual-e5-small"]
    assert not advice.outlooks[0].measured
    assert advice.outlooks[0].likely > 0.5


def test_folds_that_were_rehearsed_before_take_no_time_again() -> None:
    task, clock = TextClassification(), _Clock()
    dataset = task.read([(f"text number {i}", "ab"[i % 2]) for i in range(40)], Recipe(), "fit")
    run = RunContext(Path(), journal=clock)
    resampling = task.resample(dataset, run)
    stage = _Stage(clock, task.targets(dataset, dataset.labels))
    stage.answers["head:x"] = np.log(np.full((resampling.repeats, len(dataset), 2), 0.5, np.float32))
    rung = _Rehearsed(Made("lora:x", 0.8, Cost(10, 5, 1), Prior("head:x", -0.1, 0.1)), stage)
    rung.foresee(dataset, run)
    began = clock.seconds
    taken = []
    for folds in (1, 3):
        rung.cross_fit(dataset, resampling.first(folds), run)
        taken.append(clock.seconds - began)
    assert taken == pytest.approx([10 + 5, 10 + 3 * 5])


@pytest.mark.parametrize("ratio", [0.5, 0.8, 1.2])
def test_rehearsed_answers_lose_as_much_as_the_prior_says(ratio: float) -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(4, size=50)
    logits = generator.normal(size=(2, 50, 4)) + (np.arange(4) == targets[:, None])
    log_probs = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    log_probs[1, :20] = np.nan
    improved = _improved(log_probs, targets, ratio)
    assert _loss(improved, targets) == pytest.approx(ratio * _loss(log_probs, targets), rel=0.05)
    assert np.isnan(improved[1, :20]).all()


def test_bad_input_is_told_in_words(tmp_path: Path, csv_file: Path) -> None:
    with pytest.raises(DataError):
        pipeline.advise(Recipe(data=str(tmp_path / "nowhere.csv")))
    with pytest.raises(RecipeError):
        pipeline.advise(Recipe(data=str(csv_file), method="tfdif"))
    done = run("advise", csv_file, "--method", "tfidf", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["method"] == "tfidf"
    assert run("advise", csv_file, "--method", "tfidf").returncode == 0
