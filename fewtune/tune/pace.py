"""How many steps a training takes where the clock has its say: those that were planned, or as many as still fit.

How long a step takes is measured before a training; the machine may become slower under it. What the clock decides is
kept by the journal, for a resumed run, and written down with the model's settings: these alone give the same again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from fewtune.errors import RecipeError
from fewtune.interfaces import RunContext

# A step, and how many there are from then on.
Turn = tuple[int, int]

PACE_HELP = (
    "planned/step:steps, where the clock changed on the way how many of the planned steps are taken; written down, not "
    "chosen; nothing where another number is planned"
)

_TURNS = re.compile(r"\d+/\d+:\d+(,\d+:\d+)*")
# The clock is looked at so often in a training, but not after fewer steps than tell how long one takes.
_LOOKS = 20
_FEWEST_STEPS = 5
_FEWEST_TIMED = 3
# A change of the steps that are left by no more than this share is none.
_NEAR = 0.02


@dataclass(slots=True)
class Deadline:
    """When a training is to end.

    Attributes:
        run: its budget is when, its journal's clock is looked at, and what was decided is kept there.
        unit: the training's name.
        first: from this step on, one takes as long as another.
    """

    run: RunContext
    unit: str
    first: int = 0
    _since: tuple[int, float] = field(default=(0, 0.0), init=False)

    def begin(self, step: int) -> None:
        """Begin to measure, with so many steps done."""
        self._since = step, self.run.journal.elapsed

    def steps(self, done: int, now: int, planned: int, every: int) -> int:
        """How many steps there are to be, after a look at the clock; decided once.

        Args:
            done: steps done.
            now: how many there were to be so far.
            planned: how many there may be at most.
            every: how many are taken at least before the end, for the learning rate to fall in.
        """
        total = self.run.journal.once(
            f"{self.unit}/steps after {done}", lambda: self._fitting(done, now, planned, every)
        )
        self.begin(done)
        return int(total)

    def _fitting(self, done: int, now: int, planned: int, every: int) -> int:
        since, started = self._since
        if done - since < _FEWEST_TIMED:  # a resumed run has just begun
            return now
        seconds = max(1e-9, (self.run.journal.elapsed - started) / (done - since))
        left = now - done
        fitting = min(planned - done, max(min(every, left), self.run.seconds_left / seconds))
        return now if abs(fitting - left) <= _NEAR * left else done + int(fitting)


class Course:
    """The steps of a training, and the place of each in what was planned.

    The learning rate is that of the place. Where there are fewer steps than planned, places pass faster from then on:
    the last step is at the last place, whenever it comes.
    """

    def __init__(self, planned: int, turns: Sequence[Turn] = (), deadline: Deadline | None = None) -> None:
        """Plan so many steps, with turns that are known beforehand, or a clock that is looked at."""
        self.planned = planned
        self.turns = list(turns)
        self._deadline = deadline
        self._every = max(_FEWEST_STEPS, planned // _LOOKS)
        self._timed_from = 0

    @property
    def steps(self) -> int:
        """How many there are to be, as far as is known now."""
        return self.turns[-1][1] if self.turns else self.planned

    def place(self, step: int) -> float:
        """Of a step, counted from 0, in what was planned."""
        before, place, steps = 0, 0.0, self.planned
        for at, then in self.turns:
            if at >= step:
                break
            place += (at - before) * (self.planned - place) / (steps - before)
            before, steps = at, then
        return place + (step - before) * (self.planned - place) / (steps - before)

    def begin(self, done: int) -> None:
        """Begin a sitting with so many steps done: what was decided after them is known."""
        for step in range(1, done + 1):
            self.reach(step)
        if self._deadline is not None:
            # The first step of a sitting, and of a kind, takes longer than the others.
            self._timed_from = max(done, self._deadline.first) + 1

    def reach(self, done: int) -> None:
        """Say that so many steps are done; the clock is looked at now and then."""
        deadline = self._deadline
        if deadline is None:
            return
        if done == self._timed_from:
            deadline.begin(done)
        elif deadline.first < done < self.steps and (done - deadline.first) % self._every == 0:
            steps = deadline.steps(done, self.steps, self.planned, self._every)
            if steps != self.steps:
                self.turns.append((done, steps))

    def __str__(self) -> str:
        """The turns as a setting keeps them, after what was planned; nothing where all went as planned."""
        turns = ",".join(f"{at}:{steps}" for at, steps in self.turns)
        return f"{self.planned}/{turns}" if turns else ""


def turns_of(setting: str, planned: int | None = None) -> list[Turn]:
    """The turns that a setting names; none where it is of a training with another number of planned steps than this.

    Raises:
        RecipeError: it is no such setting.
    """
    total, _, parts = setting.partition("/")
    pairs = [part.split(":") for part in parts.split(",")] if _TURNS.fullmatch(setting) else []
    turns = [(int(at), int(steps)) for at, steps in pairs]
    rising = all(one < other for one, other in pairwise([0, *(at for at, _ in turns)]))
    if setting and not (turns and rising and all(at < steps <= int(total) for at, steps in turns)):
        raise RecipeError(
            f"pace cannot be {setting!r}: it is {PACE_HELP}.", where="--set pace", how="For example 600/300:420"
        )
    return turns if turns and planned in (None, int(total)) else []


def with_part(run: RunContext, unit: str, waiting: int) -> RunContext:
    """The run with an equal part of its time left for a training, the first of so many that wait; decided once."""
    until = run.journal.once(f"{unit} is to end", lambda: run.journal.elapsed + run.seconds_left / waiting)
    return replace(run, budget_seconds=until)
