"""TextAttack's augmenters; how views are checked is tested without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewtune import catalog
from fewtune.attack import augmentation
from fewtune.attack.augmentation import TextAttackViews
from fewtune.attack.environment import VARIABLE, has_environment
from fewtune.attack.process import JobError
from fewtune.augment.neighbours import has_english
from fewtune.augment.policy import Policies
from fewtune.augment.wordnet import find_wordnet
from fewtune.errors import InternalError, MissingExtraError, RecipeError

needs_textattack = pytest.mark.skipif(not has_environment(), reason="TextAttack's environment is not there")
TEXT = "The courier did not find 42 Elm Street, write to me@example.org or call {name} in London quickly"


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Maker:
    """Stands for the process, and makes what it is told to."""

    def __init__(self, *made: str, error: str = "IndexError") -> None:
        self.made, self.error, self.jobs = made, error, []

    def do(self, job: Any, answers: Any) -> list[str]:
        self.jobs.append(job)
        if not self.made:
            raise JobError(self.error)
        return list(self.made)


def views_of(maker: Maker, text: str, monkeypatch: pytest.MonkeyPatch, count: int = 4) -> list[str]:
    monkeypatch.setattr(augmentation, "the_process", lambda: maker)
    return TextAttackViews(keep=["gold plan"], source="charswap").views(text, count, generator())


def test_a_view_that_lost_what_must_stay_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "I do not like my Gold Plan of 42 euro"
    maker = Maker(
        "I do not like my Gold Plan of 42 eruo",
        "I do not like my Gold Plan of 4 euro",
        "I do not like my Glod Plan of 42 euro",
        "I do like my Gold Plan of 42 euro",
        "I do like not my Gold Plan of 42 euro",
        "I never do not like my Gold Plan of 42 euro",
        text,
        " ",
    )
    assert views_of(maker, text, monkeypatch) == ["I do not like my Gold Plan of 42 eruo"]
    assert {"not", "like", "Gold Plan", "42"} <= set(maker.jobs[0]["fixed"])


def test_what_textattack_cannot_take_has_no_views(monkeypatch: pytest.MonkeyPatch) -> None:
    assert views_of(Maker(), "some words", monkeypatch) == []
    with pytest.raises(InternalError, match="AttributeError"):
        views_of(Maker(error="AttributeError: no"), "some words", monkeypatch)
    maker = Maker("a")
    for text in ("", "😀", "42", "not"):
        assert views_of(maker, text, monkeypatch) == []
    assert maker.jobs == []


def test_what_they_take_is_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker("some word")
    monkeypatch.setattr(augmentation, "the_process", lambda: maker)
    monkeypatch.setattr(maker, "start", lambda: None, raising=False)
    ticks = iter(range(100))
    monkeypatch.setattr(augmentation.time, "monotonic", lambda: float(next(ticks)))
    assert TextAttackViews(source="swap").seconds(["some words"] * 40, 2) == 40
    assert TextAttackViews(source="swap").seconds([], 2) == 0


def test_names_are_known_and_unknown_ones_get_the_nearest() -> None:
    policies = Policies(catalog.augmentations())
    assert policies.named(["textattack"]).full_name == "textattack:easy"
    policy = policies.named(["textattack:wordnet", "textattack:swap", "synonym:wordnet"])
    assert policy.full_name == "textattack:wordnet,textattack:swap,synonym:wordnet"
    assert policy.name == "textattack:wordnet,textattack:swap,synonym"
    for wrong in ("textattack:wordnte", "textattack:clare"):
        with pytest.raises(RecipeError, match="no augmentation") as caught:
            policies.named([wrong])
        assert "textattack:" in caught.value.how


def test_what_it_needs_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, sys.executable)
    with pytest.raises(RecipeError, match="the texts are Chinese") as caught:
        TextAttackViews(source="embedding" if has_english() else "checklist").check(["酒店很干净"])
    assert "charswap" in caught.value.how
    TextAttackViews(source="charswap").check(["酒店很干净"])
    monkeypatch.setattr(augmentation, "find_wordnet", lambda: None)
    with pytest.raises(RecipeError, match="needs WordNet"):
        TextAttackViews(source="easy").check(["a text"])
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(MissingExtraError):
        TextAttackViews(source="charswap").check(["a text"])


@needs_textattack
@pytest.mark.parametrize("source", TextAttackViews.sources)
def test_every_augmenter_makes_views_that_keep_what_must_stay(source: str) -> None:
    if find_wordnet() is None and source in ("easy", "wordnet", "insertion"):
        pytest.skip("WordNet is not installed")
    if source == "embedding" and not has_english():
        pytest.skip("the English encoder is not installed")
    some = TextAttackViews(0.3, source=source)
    some.check([TEXT])
    views = some.views(TEXT, 4, generator())
    assert views == some.views(TEXT, 4, generator())
    assert 0 < len(views) == len(set(views)) <= 4
    for view in views:
        assert view != TEXT
        for piece in ("not", "42", "me@example.org", "{name}"):
            assert piece in view


@needs_textattack
def test_the_command_writes_them(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(
        "text,label\nwhere is the parcel that I have ordered,x\n酒店的房间很干净,y\n", "utf-8"
    )
    command = ["augment", "data.csv", "--out", "out.csv", "--with", "textattack:charswap,swap", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "fewtune", *command], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["augmentations"]["textattack:charswap"]
    assert counts["wanted"] == 4
    assert counts["views"] >= 2
