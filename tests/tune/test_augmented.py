"""Views follow their example through every split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest

import fewtune
from fewtune import catalog
from fewtune.augment.policy import Policy
from fewtune.errors import RecipeError
from fewtune.interfaces import Augmentation, Candidate, Prior, RunContext, TuningError
from fewtune.journal import Journal
from fewtune.ladder import NothingTriedError, climb
from fewtune.recipe import Recipe
from fewtune.tasks.image_classification import ImageClassification
from fewtune.tasks.text_classification import TextClassification
from fewtune.tasks.translation import Translation
from fewtune.tune import head, tfidf
from fewtune.tune.augmented import AugmentedTexts
from fewtune.tune.head import HeadCandidate
from fewtune.tune.linear_head import class_indices
from fewtune.tune.tfidf import TfidfCandidate
from fewtune.types import Dataset, Example
from tests.conftest import needs_encoder


class Marked(Augmentation):
    """Views that are nearly the text: whoever has seen one knows the answer."""

    name = "marked"
    help = "for tests"

    def view(self, text: str, generator: np.random.Generator) -> str:
        return f"{text} again{generator.integers(9)}"


class Encoder:
    """Every word has a random direction of its own; the last word of a view, none."""

    graph = b""
    fingerprint = "f" * 64

    class info:
        name = "random"

    class parts:
        width, max_tokens = 64, 128

    def features(self, texts: Sequence[str], *, threads: int = 1, step: Any = None) -> np.ndarray:
        del threads, step
        words = [[word for word in text.split() if not word.startswith("again")] for text in texts]
        seeds = [[int.from_bytes(word.encode(), "little") for word in some] or [0] for some in words]
        return np.array([sum(np.random.default_rng(s).normal(size=64) for s in some) for some in seeds], np.float32)


def random_data(count: int = 60) -> Dataset:
    """Texts of words that occur once, and labels that have nothing to do with them."""
    labels = np.random.default_rng(3).permutation(count) % 2
    examples = tuple(Example(f"word{i} other{i} third{i}", "ab"[label]) for i, label in enumerate(labels))
    return Dataset("text-classification", examples, ("a", "b"), "data", "")


POLICY = Policy((Marked(),), 3)


def candidates() -> list[Candidate]:
    encoder: Any = Encoder()
    return [TfidfCandidate({}, POLICY), HeadCandidate(encoder, {"label_names": 0.0}, POLICY)]


@pytest.mark.parametrize("candidate", candidates(), ids=lambda candidate: candidate.method)
def test_no_view_of_a_validation_example_is_learnt_from(
    candidate: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = random_data(), RunContext(tmp_path)
    resampling = TextClassification().resample(data, run)
    learnt: list[int] = []

    def counted(plain: Callable[..., Any]) -> Callable[..., Any]:
        def fit(rows: Any, *arguments: Any, **named: Any) -> Any:
            learnt.append(rows.shape[0])
            return plain(rows, *arguments, **named)

        return fit

    monkeypatch.setattr(head, "fit_feature_heads", counted(head.fit_feature_heads))
    monkeypatch.setattr(tfidf, "fit_linear_heads", counted(tfidf.fit_linear_heads))
    trials = candidate.cross_fit(data, resampling, run)
    # Three views of every training example, and of no other.
    assert learnt[: len(resampling.splits)] == [4 * len(split.train) for split in resampling.splits]
    # Labels are random: who is right more often than by chance has seen the answers.
    targets = class_indices(data)
    for trial in trials:
        right = (trial.log_probs.argmax(axis=2) == targets).mean()
        assert right < 0.7, trial.settings


def test_rows_and_weights(tmp_path: Path) -> None:
    data = random_data(6)
    texts = AugmentedTexts.of(data, Policy((Marked(),), 2), RunContext(tmp_path))
    chosen = np.array([4, 0])
    rows, weight = texts.training_rows(chosen)
    assert rows[:2].tolist() == [4, 0]
    assert sorted(texts.owners[rows].tolist()) == [0, 0, 0, 4, 4, 4]
    for example in chosen:
        assert weight[texts.owners[rows] == example].sum() == pytest.approx(1.0)
        assert all(data.examples[example].input in texts.texts[row] for row in rows[texts.owners[rows] == example])
    plain = AugmentedTexts.of(data, None, RunContext(tmp_path))
    rows, weight = plain.training_rows(chosen)
    assert rows.tolist() == [4, 0]
    assert weight.tolist() == [1.0, 1.0]


def test_views_are_made_once_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    plain = Marked.view

    def view(self: Marked, text: str, generator: np.random.Generator) -> str:
        made.append(text)
        return plain(self, text, generator)

    monkeypatch.setattr(Marked, "view", view)
    data, run = random_data(), RunContext(tmp_path)
    encoder: Any = Encoder()
    before = AugmentedTexts.of(data, POLICY, run)
    once = len(made)
    for policy in (POLICY, Policy((Marked(),), 3)):
        candidate = HeadCandidate(encoder, {"C": 1.0, "label_names": 0.0}, policy)
        candidate.foresee(data, run)
        candidate.cross_fit(data, TextClassification().resample(data, run), replace(run, threads=2))
    assert len(made) == once
    AugmentedTexts.of(data, Policy((Marked(0.5),), 3), run)
    assert len(made) > once
    other = AugmentedTexts.of(data, POLICY, RunContext(tmp_path, seed=1))
    assert other.texts != before.texts


class Slow(Marked):
    """Takes a second a view."""

    name = "slow"
    is_slow = True
    made: ClassVar[list[int]] = []

    def seconds(self, texts: Sequence[str], count: int, *, threads: int = 1) -> float:
        return float(len(texts) * count)

    def views_of(self, texts: Sequence[str], *arguments: Any, **named: Any) -> list[list[str]]:
        self.made.append(len(texts))
        return super().views_of(texts, *arguments, **named)


def test_slow_views_are_foreseen_and_not_begun_where_they_do_not_fit(tmp_path: Path) -> None:
    data, policy, task = random_data(), Policy((Slow(),), 3), TextClassification()
    candidate = HeadCandidate(cast(Any, Encoder()), {"label_names": 0.0, "C": 1.0}, policy)
    Slow.made.clear()
    cost = candidate.foresee(data, RunContext(tmp_path, budget_seconds=300))
    assert 180 < cost.once < 190
    assert not Slow.made
    short = RunContext(tmp_path, budget_seconds=200)
    with pytest.raises(TuningError, match="180 s"):
        candidate.foresee(data, short)
    with pytest.raises(TuningError, match="180 s"):
        TfidfCandidate({}, policy).fit(data, {"C": 1.0}, short)
    with pytest.raises(NothingTriedError, match="180 s"):
        climb([TfidfCandidate({}, policy)], data, task.resample(data, short), task, short)
    assert not Slow.made
    long = RunContext(tmp_path, budget_seconds=300)
    climb([TfidfCandidate({}, policy), candidate], data, task.resample(data, long), task, long)
    assert Slow.made == [len(data)]


def test_slow_views_are_made_once_for_all_sittings(tmp_path: Path) -> None:
    data, policy = random_data(6), Policy((Slow(),), 2)
    Slow.made.clear()
    first, again = (
        AugmentedTexts.of(data, policy, RunContext(tmp_path, journal=Journal(tmp_path), budget_seconds=99))
        for _ in range(2)
    )
    assert Slow.made == [6]
    assert list(again.texts) == list(first.texts)
    assert again.owners.tolist() == first.owners.tolist()
    other = RunContext(tmp_path, seed=1, journal=Journal(tmp_path), budget_seconds=99)
    assert list(AugmentedTexts.of(data, policy, other).texts) != list(first.texts)


def test_an_example_without_views_keeps_its_weight() -> None:
    texts = AugmentedTexts(["a", "b", "a view"], np.array([0, 1, 0]), 2)
    rows, weight = texts.training_rows(np.array([0, 1]))
    assert rows.tolist() == [0, 1, 2]
    assert weight.tolist() == [0.5, 1.0, 0.5]


@needs_encoder
def test_with_views_the_same_rung_is_offered_beside_the_plain_one() -> None:
    data, auto = random_data(), Recipe(method="head", model="multilingual-e5-small")
    (tuner,) = catalog.find_tuners(auto, TextClassification())
    plain, *others = tuner.candidates(data, auto)[0]
    assert plain.name == "head:multilingual-e5-small"
    assert plain.prior is None
    for other in others:
        assert other.name == f"{plain.name} with synonym"
        assert other.prior is not None
        assert other.prior.over == plain.name
    (fixed,) = tuner.candidates(data, auto.model_copy(update={"augment": "swap"}))[0]
    assert fixed.name == plain.name
    assert fixed.prior is None


def test_methods_that_learn_from_no_views_say_so() -> None:
    task = TextClassification()
    with pytest.raises(RecipeError, match="learns from no views"):
        catalog.find_tuners(Recipe(method="contrastive", augment="swap"), task)
    with pytest.raises(RecipeError, match="swop") as caught:
        catalog.find_tuners(Recipe(augment="swop"), task)
    assert "swap" in caught.value.how
    assert catalog.find_tuners(Recipe(augment="swap"), task)


def test_pictures_have_augmentations_of_their_own() -> None:
    task = ImageClassification()
    for augment in ("synonym", "mirror"):
        with pytest.raises(RecipeError, match="pictures") as caught:
            catalog.find_tuners(Recipe(augment=augment), task)
        assert "flip" in caught.value.how
    for augment in ("none", "flip,rotation:20"):
        assert catalog.find_tuners(Recipe(augment=augment), task)
    with pytest.raises(RecipeError, match="nothing that learns from views"):
        catalog.find_methods(Recipe(augment="swap"), Translation())


def test_rare_terms_are_counted_in_examples(tmp_path: Path) -> None:
    def terms(count: int) -> int:
        fitted = TfidfCandidate({"C": 1.0}, POLICY).fit(random_data(count), {"C": 1.0}, RunContext(tmp_path))
        return fitted.backbone["terms"]

    # Below 2,000 examples every term counts, however many views there are: of each text three words and two pairs,
    # of its views three pairs. From there on a term of one example goes: its views do not make it a common one.
    assert terms(500) > 500 * 7
    assert terms(2000) < 100


def test_a_rung_is_not_blended_with_its_own_views(tmp_path: Path) -> None:
    data, run, task = random_data(), RunContext(tmp_path), TextClassification()
    encoder: Any = Encoder()
    settings = {"C": 1.0, "label_names": 0.0}
    plain, viewed = HeadCandidate(encoder, settings), HeadCandidate(encoder, settings, POLICY, beside_plain=True)
    viewed.prior = Prior(plain.name, -1.0, 0.5)  # so that it is tried
    climbed = climb([plain, viewed], data, task.resample(data, run), task, run)
    assert [rung.name for rung in climbed.rungs] == ["head:random", "head:random with marked"]
    assert climbed.rungs[1].settings["augment"] == "marked"


def test_a_fit_with_views_runs_again_to_the_same_bytes(tickets: list[tuple[str, str]], tmp_path: Path) -> None:
    first = fewtune.fit(tickets, method="tfidf", augment="swap,deletion", out=tmp_path / "first")
    assert first.result is not None
    assert first.result.rungs[0].settings["augment"] == "swap,deletion"
    recipe = first.manifest.recipe
    assert recipe["augment"] == "swap,deletion"
    again = fewtune.fit(tickets, method="tfidf", settings=recipe["settings"], out=tmp_path / "again")
    assert (tmp_path / "first/model.onnx").read_bytes() == (tmp_path / "again/model.onnx").read_bytes()
    assert again.manifest.recipe["settings"] == recipe["settings"]
