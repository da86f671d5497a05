"""What to label next, with a bundle and without one, and what bad pools get."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import fewtune
from fewtune.label.label_studio import labelling_config
from tests.conftest import needs_encoder
from tests.pictures import class_folders
from tests.test_cli import run

NEW = [
    "The parcel never came, what now?",
    "I was charged twice this month",
    "the app closes by itself",
    "What a lovely team, thank you",
    "My password does not work any more",
    "The parcel never came, what now!",
    "",
]


def codes(found: fewtune.Suggestions) -> set[str]:
    return {finding.code for finding in found.findings}


def test_a_bundle_says_what_to_label(head_model: fewtune.Model, tickets: list[tuple[str, str]]) -> None:
    pool = [*NEW, *(text for text, _ in tickets[:8])]
    found = head_model.suggest(pool, 3)
    assert len(found) == 3
    assert found.given == len(pool)
    assert {"already-labelled", "empty-input", "repeated-input"} <= codes(found)
    assert not {some.input for some in found} & {text for text, _ in tickets}
    assert all(pool[some.row] == some.input and some.prediction in head_model.labels for some in found)
    assert "wavers between" in found[0].why
    assert [some.row for some in head_model.suggest(pool, 3)] == [some.row for some in found]


def test_more_than_the_pool_has(head_model: fewtune.Model) -> None:
    found = head_model.suggest(NEW, 50)
    assert len(found) == 5
    assert "pool-too-small" in codes(found)


def test_what_the_user_has_labelled_is_left_out(head_model: fewtune.Model) -> None:
    found = head_model.suggest(NEW, 50, labeled=[(NEW[0], "delivery")])
    assert NEW[0] not in [some.input for some in found]
    assert NEW[5] not in [some.input for some in found]


def test_nothing_new_and_nothing_at_all(head_model: fewtune.Model, tickets: list[tuple[str, str]]) -> None:
    with pytest.raises(fewtune.DataError, match="nothing new"):
        head_model.suggest([text for text, _ in tickets])
    with pytest.raises(fewtune.DataError, match="empty"):
        head_model.suggest([])
    with pytest.raises(fewtune.RecipeError, match="cannot be suggested"):
        head_model.suggest(NEW, 0)


def test_test_data_is_not_suggested(tickets: list[tuple[str, str]], tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    with test.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *((NEW[i], "delivery") for i in (0, 1))])
    model = fewtune.fit(tickets, method="tfidf", test=str(test), out=tmp_path / "tested.fewtune")
    found = model.suggest(NEW, 50)
    assert "test-in-pool" in codes(found)
    # NEW[5] nearly is NEW[0].
    assert not {some.input for some in found} & {NEW[0], NEW[1], NEW[5]}


def test_another_kind_and_another_language_are_told(head_model: fewtune.Model) -> None:
    pool = [f"Η θερμοκρασία του δωματίου είναι {i} βαθμοί" for i in range(20)]
    assert "pool-in-another-language" in codes(head_model.suggest(pool, 2))


def test_a_bundle_for_texts_is_not_given_pictures(tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    with pytest.raises(fewtune.DataError, match="These are pictures"):
        tfidf_model.suggest(tmp_path / "photos")


@needs_encoder
def test_the_first_labels_need_no_bundle() -> None:
    found = fewtune.suggest(NEW, 4, model="multilingual-e5-small")
    assert len(found) == 4
    assert all(some.confidence is None for some in found)
    assert not {NEW[0], NEW[5]} <= {some.input for some in found}


def test_looks_are_kept_until_the_next_fit(head_model: fewtune.Model) -> None:
    head_model.suggest(NEW, 2)
    kept = head_model.bundle.with_name(f"{head_model.bundle.name}.work") / "suggest"
    written = sorted(kept.rglob("*.npy"))
    assert written
    head_model.suggest(NEW, 3)
    assert sorted(kept.rglob("*.npy")) == written


def test_the_command_writes_a_table_and_tasks(head_model: fewtune.Model, tmp_path: Path) -> None:
    pool = tmp_path / "pool.csv"
    with pool.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "text"), *enumerate(NEW)])
    done = run("suggest", head_model.bundle, pool, "-n", 2)
    assert done.returncode == 0, done.stderr
    lines = list(csv.DictReader(done.stdout.splitlines()))
    assert list(lines[0]) == ["id", "text", "prediction", "confidence", "why"]
    assert len(lines) == 2

    out = tmp_path / "tasks.json"
    done = run("suggest", head_model.bundle, pool, "-n", 2, "--format", "label-studio", "--out", out, "--json")
    assert [some["input"] for some in json.loads(done.stdout)["suggestions"]] == [line["text"] for line in lines]
    (task, _) = json.loads(out.read_text(encoding="utf-8"))
    assert task["data"]["text"] == lines[0]["text"]
    (prediction,) = task["predictions"]
    (result,) = prediction["result"]
    assert (result["from_name"], result["to_name"], result["type"]) == ("label", "text", "choices")
    assert result["value"]["choices"] == [lines[0]["prediction"]]
    assert 0 <= prediction["score"] <= 1
    assert '<Choice value="billing"/>' in labelling_config(head_model.labels, "text")


def test_mistakes_of_the_command(tfidf_model: fewtune.Model, tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("text\n")
    for arguments in ((tmp_path / "none.fewtune", empty), (tfidf_model.bundle, empty), (tfidf_model.bundle, "no.csv")):
        done = run("suggest", *arguments, "--json")
        assert done.returncode == 2, done.stderr
        assert set(json.loads(done.stdout)["error"]) == {"what", "where", "how"}
    assert run("suggest", tfidf_model.bundle, empty, "--format", "xml").returncode == 2


@needs_encoder
def test_a_plain_text_file_is_a_text_a_line(tmp_path: Path) -> None:
    pool = tmp_path / "pool.txt"
    pool.write_text("\n".join(NEW), encoding="utf-8")
    done = run("suggest", "none", pool, "-n", 2, "--model", "multilingual-e5-small")
    assert done.returncode == 0, done.stderr
    assert {line["text"] for line in csv.DictReader(done.stdout.splitlines())} < set(NEW)
