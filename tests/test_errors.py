"""What a library's error becomes in a message."""

from __future__ import annotations

import pytest

from fewtune.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("sizes differ\nin three places"), "sizes differ"),
        (RuntimeError("\n  no such operation"), "no such operation"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_its_first_line_is_taken_or_its_kind(error: Exception, line: str) -> None:
    assert first_line(error) == line
