"""Where TextAttack is: in an environment of its own, because what it asks pip for does not go with the rest."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from fewtune.errors import MissingExtraError

VARIABLE = "FEWTUNE_ATTACK_PYTHON"
FOLDER = ".venv-attack"
_INSTALL = (
    f"python3 -m venv {FOLDER} && {FOLDER}/bin/pip install 'fewtune[attack]' && "
    f"{FOLDER}/bin/pip install --no-deps 'textattack>=0.3.11,<0.4'"
)


def find_python() -> Path:
    """The interpreter that has TextAttack.

    It is the one that the environment variable FEWTUNE_ATTACK_PYTHON names; else this one, if TextAttack is installed
    beside fewtune; else that of `.venv-attack` beside this environment or in the current folder.

    Raises:
        MissingExtraError: there is none.
    """
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_file():
            raise _missing(f"There is no interpreter {named}, which {VARIABLE} names.")
        return Path(named)
    if find_spec("textattack") is not None:
        return Path(sys.executable)
    for place in (Path(sys.prefix).parent / FOLDER, Path(FOLDER)):
        found = next((path for path in (place / "bin/python", place / "Scripts/python.exe") if path.is_file()), None)
        if found is not None:
            # Made absolute, but not resolved: an environment's interpreter is a link.
            return found.absolute()
    raise _missing("TextAttack, which is the extra [attack], is not installed.")


def has_environment() -> bool:
    """Whether there is an interpreter that should have TextAttack."""
    try:
        find_python()
    except MissingExtraError:
        return False
    return True


def broken_environment(python: Path, why: str) -> MissingExtraError:
    """What is wrong where TextAttack cannot be loaded with an interpreter that should have it."""
    return _missing(f"TextAttack cannot be loaded with {python} ({why}).")


def _missing(what: str) -> MissingExtraError:
    error = MissingExtraError("attack", needed_for="Attacking")
    error.what, error.how = what, f"In a copy of the source: make install. Elsewhere: {_INSTALL}"
    return error
