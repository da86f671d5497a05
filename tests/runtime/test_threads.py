"""How threads wait for each other."""

from __future__ import annotations

import os
import sys

import pytest

from fewtune.cli import main
from fewtune.runtime.threads import spin_briefly


def test_the_command_has_threads_spin_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setattr(sys, "argv", ["fewtune", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert int(os.environ["GOMP_SPINCOUNT"]) < 10_000


def test_what_somebody_wants_otherwise_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    spin_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
