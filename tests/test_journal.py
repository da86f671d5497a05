"""What was decided once stays decided, over processes that end in the middle of a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fewtune.journal import Journal


def test_a_decision_is_replayed(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    value = first.once("plan", lambda: {"folds": (1, 2), "seconds": 0.1 + 0.2})
    again = Journal(tmp_path)
    assert again.once("plan", lambda: pytest.fail("decided twice")) == value
    assert value["folds"] == [1, 2]


def test_a_torn_line_was_never_decided(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.once("a", lambda: 1)
    journal.once("b", lambda: 2)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-3])
    torn = Journal(tmp_path)
    assert torn.once("a", lambda: 9) == 1
    assert torn.once("b", lambda: 3) == 3
    assert Journal(tmp_path).once("b", lambda: 9) == 3


def test_arrays_are_computed_once(tmp_path: Path) -> None:
    values = np.array([[0.1, np.nan]], np.float32)
    assert Journal(tmp_path).array("fold", lambda: values).tobytes() == values.tobytes()
    assert Journal(tmp_path).array("fold", lambda: pytest.fail("computed twice")).tobytes() == values.tobytes()
    assert not Journal(tmp_path).has_array("other")


def test_time_goes_on_where_the_last_sitting_wrote_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    journal = Journal(tmp_path)
    clock[0] = 160.0
    journal.once("a", lambda: 1)
    clock[0] = 5.0
    again = Journal(tmp_path)
    clock[0] = 7.0
    assert again.elapsed == pytest.approx(62.0)
