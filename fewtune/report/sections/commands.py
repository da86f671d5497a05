"""Lines to type, with names quoted for the shell."""

from __future__ import annotations

import shlex


def command(*arguments: str) -> str:
    """`fewtune` with its arguments, on one line."""
    return shlex.join(["fewtune", *(" ".join(argument.split()) for argument in arguments)])
