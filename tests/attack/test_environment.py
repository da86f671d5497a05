from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fewtune.attack import environment
from fewtune.errors import MissingExtraError


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Neither the current folder nor this environment's has TextAttack beside it."""
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "there" / ".venv"))
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_environment(folder: Path) -> Path:
    python = folder / ".venv-attack" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    return python


def test_it_is_found_beside_this_environment_and_in_the_current_folder(nowhere: Path) -> None:
    here = make_environment(nowhere)
    assert environment.find_python() == here
    beside = make_environment(nowhere / "there")
    assert environment.find_python() == beside


def test_the_variable_goes_before(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_environment(nowhere)
    other = make_environment(nowhere / "other")
    monkeypatch.setenv(environment.VARIABLE, str(other))
    assert environment.find_python() == other
    monkeypatch.setenv(environment.VARIABLE, str(nowhere / "gone"))
    with pytest.raises(MissingExtraError, match="gone"):
        environment.find_python()


def test_textattack_beside_fewtune_is_enough(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "find_spec", lambda name: object())
    assert environment.find_python() == Path(sys.executable)


def test_without_it_the_exact_command_is_told(nowhere: Path) -> None:
    with pytest.raises(MissingExtraError) as caught:
        environment.find_python()
    assert "make install" in caught.value.how
    assert "pip install --no-deps 'textattack" in caught.value.how
    assert not environment.has_environment()
