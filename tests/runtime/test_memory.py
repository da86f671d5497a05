"""What of the training data is like a text."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fewtune
from fewtune.cli import app
from fewtune.runtime.memory import Memory
from tests import marian
from tests.tasks.test_translation import MANY, table

PAIRS = [
    ("Press the green button.", "Aperte o botão verde."),
    ("The file was not found.", "O arquivo não foi encontrado."),
    ("ok", "certo"),
]


def test_the_most_alike_pair_is_found() -> None:
    memory = Memory(PAIRS)
    red, same, short, other, empty = memory.matches(["Press the red button.", PAIRS[1][0], "ok", "Zzz qqq xx.", ""])
    assert red is not None
    assert (red.source, red.translation) == PAIRS[0]
    assert 0.8 < red.score < 1
    assert same is not None
    assert (same.translation, same.score) == (PAIRS[1][1], 1.0)
    assert short is not None
    assert short.translation == "certo"
    assert other is None
    assert empty is None
    assert Memory([]).matches(["a"]) == [None]
    # The first of equals, wherever else they stand.
    assert Memory([("ab c", "1"), ("ab c", "2")]).matches(["ab c"])[0].translation == "1"  # type: ignore[union-attr]


def test_matches_stand_beside_translations(tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    student = str(marian.write_student(tmp_path / "student"))
    bundle = tmp_path / "a.fewtune"
    fewtune.fit(table(tmp_path / "pairs.csv", MANY), out=bundle, model=student, method="none")
    new = tmp_path / "new.csv"
    new.write_text("en\nthe cat sees the dog. 3\nqqq\n")
    out = tmp_path / "out.csv"
    run = CliRunner().invoke(app, ["predict", str(bundle), str(new), "--matches", "--out", str(out), "--json"])
    assert run.exit_code == 0, run.output
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert list(rows[0]) == ["en", "match", "match_source", "match_score", "prediction"]
    assert (rows[0]["match"], rows[0]["match_source"], rows[0]["match_score"]) == (MANY[12][1], MANY[12][0], "1.00")
    assert rows[1]["match"] == ""
    printed = json.loads(run.stdout)
    assert printed["matches"] == [{"translation": MANY[12][1], "source": MANY[12][0], "score": 1.0}, None]
    # Without the training content there is nothing to look up in.
    fewtune.load(bundle)
    for path in (bundle / "private").iterdir():
        path.unlink()
    refused = CliRunner().invoke(app, ["predict", str(bundle), str(new), "--matches"])
    assert refused.exit_code == 2
    assert "keeps no training data" in refused.output
