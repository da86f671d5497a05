"""The second round of contrastive tuning: what unlabelled texts it learns, and that no fold's answers are in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

import fewtune
from fewtune import pipeline
from fewtune.backbones.text_encoder import encoder_from
from fewtune.interfaces import RunContext, Trial
from fewtune.journal import Journal
from fewtune.recipe import Recipe, make_recipe, read_recipe
from fewtune.tasks.text_classification import TextClassification
from fewtune.tune import contrastive
from fewtune.tune.contrastive import ContrastiveCandidate, ContrastiveTuner, SelfTrainedCandidate
from fewtune.tune.tuned import Lesson, TunedCandidate
from fewtune.types import Dataset, Resampling, Unlabelled
from tests.backbones.test_text_encoder import tiny_bert

WORDS = ("small", "test", "another", "longer", "very", "same", "thing")
QUICK = {"epochs": 2, "stop": 1.0, "C": 3.0, "label_names": 0.0}
SHARE = {"unlabeled": 0.5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bert(tmp_path_factory.mktemp("encoder") / "bert"))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    generator = np.random.default_rng(0)
    return [" ".join(generator.choice(WORDS, size=6)) + f" n{i}" + " small" * (i % 2) for i in range(70)]


@pytest.fixture(scope="module")
def dataset(texts: list[str]) -> Dataset:
    found = TextClassification().read([(text, "ab"[i % 2]) for i, text in enumerate(texts[:30])], Recipe(), "fit")
    return replace(found, unlabelled=Unlabelled(tuple(texts[30:]), "pool", ""))


def folds_of(dataset: Dataset, run: RunContext) -> Resampling:
    resampling = TextClassification().resample(dataset, run)
    return resampling.first(resampling.folds)


def test_the_rung_is_offered_beside_the_plain_one(folder: str, dataset: Dataset) -> None:
    tuner, recipe = ContrastiveTuner([encoder_from(folder)]), Recipe(method="contrastive", model=folder)
    (plain, beside), _ = tuner.candidates(dataset, recipe)
    assert beside.name == f"{plain.name} with unlabelled"
    assert beside.prior is not None
    assert beside.prior.over == plain.name
    with_share = recipe.model_copy(update={"settings": SHARE})
    assert [rung.name for rung in tuner.candidates(dataset, with_share)[0]] == [beside.name]
    without = recipe.model_copy(update={"settings": {"unlabeled": 0}})
    assert [rung.name for rung in tuner.candidates(dataset, without)[0]] == [plain.name]
    assert [rung.name for rung in tuner.candidates(replace(dataset, unlabelled=None), recipe)[0]] == [plain.name]


def test_a_fold_gives_classes_by_what_learnt_from_its_training_part_alone(
    folder: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[Lesson] = []
    surest, train = SelfTrainedCandidate._surest, TunedCandidate._train

    def watching_surest(self: SelfTrainedCandidate, objective: Any, lesson: Lesson) -> Any:
        taught.append(lesson)
        return surest(self, objective, lesson)

    def watching_train(self: TunedCandidate, plan: Any, lesson: Lesson, *some: Any, **more: Any) -> Any:
        taught.append(lesson)
        return train(self, plan, lesson, *some, **more)

    monkeypatch.setattr(SelfTrainedCandidate, "_surest", watching_surest)
    monkeypatch.setattr(TunedCandidate, "_train", watching_train)
    run = RunContext(tmp_path, threads=1)
    resampling = folds_of(dataset, run)
    candidate = SelfTrainedCandidate(encoder_from(folder), QUICK | SHARE)
    candidate.cross_fit(dataset, resampling, run)
    whole = candidate._lesson(dataset, candidate.plan(dataset), run)
    assert len(taught) == 3 * len(resampling.splits)
    for number, split in enumerate(resampling.splits):
        held_out = [np.asarray(whole.views[i]).tobytes() for i in split.valid]
        first, classes_by, second = taught[3 * number : 3 * number + 3]
        for lesson in (first, classes_by, second):
            seen = {np.asarray(view).tobytes() for view in (*lesson.views, *lesson.pool)}
            assert not seen.intersection(held_out)
        assert len(first.views) == len(classes_by.views) == len(split.train)
        chosen = [np.asarray(view).tobytes() for view in second.views[len(split.train) :]]
        assert len(chosen) == pytest.approx(0.5 * len(whole.pool), abs=2)
        assert len(set(chosen)) == len(chosen)
        assert {np.asarray(view).tobytes() for view in whole.pool}.issuperset(chosen)


def test_at_most_so_many_unlabelled_texts_are_read_from_all_over(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dataset.unlabelled is not None
    monkeypatch.setattr(contrastive, "_MOST_UNLABELLED", 10)
    some = contrastive._some(dataset)
    assert some == list(dataset.unlabelled.inputs[::4])
    assert contrastive._some(replace(dataset, unlabelled=None)) == []


def test_it_is_foreseen_to_take_more_than_the_plain_rung(folder: str, dataset: Dataset, tmp_path: Path) -> None:
    encoder, run = encoder_from(folder), RunContext(tmp_path, threads=1)
    plain, beside = ContrastiveCandidate(encoder, QUICK), SelfTrainedCandidate(encoder, QUICK | SHARE)
    timed = plain._timings(dataset, run)
    ours, theirs = beside._cost(dataset, timed), plain._cost(dataset, timed)
    assert ours.each - theirs.each == pytest.approx(2 * timed.training() + timed.encode * 70)
    assert ours.final > theirs.final
    assert len(beside._trunk_texts(dataset)) == 70


def test_a_resumed_run_goes_on_behind_the_first_round(
    folder: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    attempt = TunedCandidate._attempt

    def watching(self: TunedCandidate, plan: Any, lesson: Lesson, unit: str, *more: Any) -> Any:
        trained.append(unit)
        if len(trained) == stop_at:
            raise KeyboardInterrupt
        return attempt(self, plan, lesson, unit, *more)

    def fit(folder_of_run: Path) -> tuple[Trial, ...]:
        folder_of_run.mkdir(exist_ok=True)
        run = RunContext(folder_of_run, threads=1, journal=Journal(folder_of_run))
        candidate = SelfTrainedCandidate(encoder_from(folder), QUICK | SHARE)
        return candidate.cross_fit(dataset, folds_of(dataset, run), run)

    monkeypatch.setattr(TunedCandidate, "_attempt", watching)
    stop_at = 0
    (whole,) = fit(tmp_path / "whole")
    units, trained = trained, []
    stop_at = 4
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut")
    stop_at, trained = 0, []
    (resumed,) = fit(tmp_path / "cut")
    assert trained == units[3:], "a training was done twice, or left out"
    np.testing.assert_array_equal(resumed.log_probs, whole.log_probs)


def test_the_bundle_says_so_and_its_recipe_makes_it_again(folder: str, texts: list[str], tmp_path: Path) -> None:
    pairs, pool = [(text, "ab"[i % 2]) for i, text in enumerate(texts[:30])], tmp_path / "pool.txt"
    pool.write_text("\n".join(texts[30:]), encoding="utf-8")
    options: dict[str, Any] = {"model": folder, "method": "contrastive", "budget": "1h", "compress": "none"}
    model = fewtune.fit(pairs, unlabeled=pool, settings=QUICK | SHARE, out=tmp_path / "a", **options)
    assert model.result is not None
    assert model.result.unlabelled is not None
    assert model.result.unlabelled.kept
    assert model.result.unlabelled.rung.startswith("contrastive:")
    assert model.manifest.recipe["unlabeled"] == "pool.txt"
    values = read_recipe(model.bundle / "recipe.toml") | {"data": "", "unlabeled": str(pool)}
    again = pipeline.fit(make_recipe(values), source=pairs, out=tmp_path / "b")
    assert (again.bundle / "model.onnx").read_bytes() == (model.bundle / "model.onnx").read_bytes()
    plain = fewtune.fit(pairs, settings=QUICK, out=tmp_path / "c", **options)
    assert np.abs(plain.predict_proba(texts) - model.predict_proba(texts)).max() > 1e-3
