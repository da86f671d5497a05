"""A bundle that takes another one's place remembers what that one was worth."""

from __future__ import annotations

import re
from pathlib import Path

import fewtune
from fewtune.bundle.read import read_manifest

WORDS = {"delivery": ("parcel", "late", "courier"), "billing": ("invoice", "refund", "charged")}
PAIRS = [
    (f"{words[i % 3]} and {words[(i + 1) % 3]} number {i}", label) for i in range(24) for label, words in WORDS.items()
]


def fit(pairs: list[tuple[str, str]], out: Path, overwrite: bool = True) -> fewtune.Model:
    return fewtune.fit(pairs, method="tfidf", out=out, overwrite=overwrite)


def test_what_came_true_stands_beside_what_was_foreseen(tmp_path: Path) -> None:
    first = fit(PAIRS[:16], tmp_path / "a")
    curve = first.manifest.learning_curve
    assert curve is not None
    assert curve.forecast
    added = curve.forecast[0].examples - 16
    second = fit(PAIRS[: 16 + added], tmp_path / "a")
    (earlier,) = second.manifest.earlier
    assert earlier.examples == 16
    assert earlier.foreseen == curve.forecast[0]
    assert earlier.score.value == first.manifest.scores["accuracy"]["value"]
    page = (tmp_path / "a" / "private" / "report.html").read_text(encoding="utf-8")
    assert "With 16 labelled examples" in re.sub(r"<[^>]+>", "", page)
    assert 'class="earlier"' in page


def test_it_goes_on_over_several_and_forgets_what_is_no_less(tmp_path: Path) -> None:
    for count in (12, 20, 20, 28):
        fit(PAIRS[:count], tmp_path / "a")
    assert [some.examples for some in read_manifest(tmp_path / "a").earlier] == [12, 20]
    fit(PAIRS[:16], tmp_path / "a")
    assert [some.examples for some in read_manifest(tmp_path / "a").earlier] == [12]


def test_other_classes_are_another_model(tmp_path: Path) -> None:
    fit(PAIRS[:16], tmp_path / "a")
    fit([(text, label.upper()) for text, label in PAIRS[:20]], tmp_path / "a")
    assert read_manifest(tmp_path / "a").earlier == ()


def test_scores_of_test_data_are_no_scores_out_of_fold(tmp_path: Path) -> None:
    fit(PAIRS[:16], tmp_path / "a")
    fewtune.fit(PAIRS[:20], method="tfidf", out=tmp_path / "a", overwrite=True, test=PAIRS[30:])
    assert read_manifest(tmp_path / "a").earlier == ()
