"""How long work tells what it is doing. The library is silent; the command line draws bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fewtune.types import Rung


class Step(Protocol):
    """A piece of work under way."""

    def advance(self, amount: float = 1) -> None:
        """Say that `amount` more of the total is done."""


class Progress(Protocol):
    """Where progress is shown."""

    def step(self, name: str, total: float | None = None) -> AbstractContextManager[Step]:
        """Begin a piece of work of `total` units (None: unknown); use it in a `with`."""
        ...

    def say(self, text: str) -> None:
        """Show one line of prose."""

    def rung(self, make: Callable[[], Rung]) -> None:
        """Show a rung that was scored, once more where that was on more folds.

        `make` tells it as far as it is known now, and need not be called.
        """


class _SilentStep:
    def advance(self, amount: float = 1) -> None:
        del amount


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def step(self, name: str, total: float | None = None) -> Iterator[Step]:
        """Do nothing with `name` and `total`."""
        del name, total
        yield _SilentStep()

    def say(self, text: str) -> None:
        """Do nothing with `text`."""
        del text

    def rung(self, make: Callable[[], Rung]) -> None:
        """Do nothing with `make`."""
        del make
